"""A config as it was written: YAML 1.2 whose values know where they stand.

In YAML 1.2 ``4e-5`` is a number, ``no`` and ``on`` are text, and JSON reads as what it is. A key is text whatever it
looks like; a value that the settings want as text is taken as it was typed (``02146`` and not 2146).
"""

from __future__ import annotations

import copy
import io
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pipeline.config_errors import ConfigError

_TEXT: Final = "tag:yaml.org,2002:str"
_NULL: Final = "tag:yaml.org,2002:null"
_MERGE: Final = "tag:yaml.org,2002:merge"
_MAPPING: Final = "tag:yaml.org,2002:map"
_COMMAND_LINE: Final = "--"


class _Constructor(SafeConstructor):
    """YAML's own rules of what a value is; dates, which the core schema of YAML 1.2 does not have, stay text."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        for key, _ in node.value:
            if not isinstance(key, ScalarNode):
                raise ConstructorError(None, None, "a list or mapping stands where a key is expected", key.start_mark)
            if key.tag != _MERGE:
                key.tag = _TEXT
        return super().construct_mapping(node, deep)


for _tag in ("timestamp", "value"):
    _Constructor.add_constructor(f"tag:yaml.org,2002:{_tag}", SafeConstructor.construct_yaml_str)


class _NamedText(io.StringIO):
    """Text that the YAML reader knows by a name: it stands in every position."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name


def _yaml() -> YAML:
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = _Constructor
    return reader


def parse_yaml(text: str, name: str) -> Node:
    """One YAML 1.2 document.

    Args:
      text: the document.
      name: what positions are told with.

    Raises:
      ConfigError: it is none; the message has name, line and problem.
    """
    try:
        node: Node | None = _yaml().compose(_NamedText(text, name))
    except YAMLError as error:
        raise _not_yaml(error, name) from error
    return node or ScalarNode(_NULL, "", StringMark(name, 0, 0, 0, "", 0))


def plain_value(node: Node) -> Any:
    """What a node holds, as dictionaries, lists, text, numbers, truth values and None.

    Raises:
      ConfigError: a key stands twice or is none, or a tag is unknown.
    """
    try:
        return _yaml().constructor.construct_document(node)
    except (YAMLError, ValueError) as error:
        raise _not_yaml(error, node.start_mark.name) from error


def _not_yaml(error: Exception, name: str) -> ConfigError:
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        where = _where(error.problem_mark)
        context = f"{error.context}, " if error.context else ""
        return ConfigError(f"{where}: not YAML: {context}{error.problem}")
    return ConfigError(f"{name}: not YAML: {error}")


def _where(mark: Any) -> str:
    return str(mark.name) if mark.name.startswith(_COMMAND_LINE) else f"{mark.name}:{mark.line + 1}"


class ConfigDocument:
    """A config file and what the command line puts over it.

    Args:
      text: the file's.
      name: of the file.

    Raises:
      ConfigError: the text is no YAML, or no mapping.
    """

    def __init__(self, text: str, name: str) -> None:
        root = parse_yaml(text, name)
        if not isinstance(root, MappingNode):
            raise ConfigError(f"{name}: expected a mapping of keys to values")
        self._root = root
        self._name = name

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> ConfigDocument:
        """Reads a file.

        Raises:
          ConfigError: it cannot be read, or is no YAML, or no mapping.
        """
        try:
            text = pathlib.Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: the config file cannot be read: {error}") from error
        return cls(text, str(path))

    def assign(self, assignment: str) -> None:
        """Applies ``a.b.c=VALUE``, the value in YAML.

        Raises:
          ConfigError: it is of another shape, or goes through a value that is no section.
        """
        key, equals, text = assignment.partition("=")
        name = f"--set {assignment}"
        if not equals or not key:
            raise ConfigError(f"{name}: expected KEY=VALUE, for example --set train.steps=200")
        self._put(key, parse_yaml(text, name), name)

    def copy(self, source: Sequence[str | int], key: str) -> None:
        """Puts what stands at ``source`` at a dotted key as well, as it was written.

        Raises:
          ConfigError: a part of the key is a value, not a section.
        """
        node = self.find(source)
        if node is not None:
            self._put(key, copy.deepcopy(node), self.where(source))

    def _put(self, dotted: str, value: Node, name: str) -> None:
        *sections, last = dotted.split(".")
        node = self._root
        for section in sections:
            found = next(((key, inner) for key, inner in _entries(node) if key.value == section), None)
            if found is None or found[1].tag == _NULL:
                found = ScalarNode(_TEXT, section, value.start_mark), MappingNode(_MAPPING, [], value.start_mark)
            if not isinstance(found[1], MappingNode):
                raise ConfigError(f"{name}: {section!r} is a value, not a section")
            # A copy: the mapping may have a second place in the document, by an alias.
            inner = MappingNode(_MAPPING, list(found[1].value), found[1].start_mark)
            _replace(node, found[0], inner)
            node = inner
        _replace(node, ScalarNode(_TEXT, last, value.start_mark), value)

    def values(self) -> Any:
        """The document as plain values.

        Raises:
          ConfigError: as ``plain_value``.
        """
        return plain_value(self._root)

    def find(self, path: Sequence[str | int]) -> Node | None:
        """The node at ``path``, keys and indices; None when it does not stand in the document."""
        node: Node | None = self._root
        for step in path:
            node = _child(node, step) if node is not None else None
        return node

    def where(self, path: Sequence[str | int]) -> str:
        """File and line of the deepest part of ``path`` that stands in the document, or the assignment it is from."""
        place: str = self._name
        node: Node = self._root
        for step in path:
            inner = _child(node, step)
            if inner is None:
                break
            key: Node = next((key for key, value in _entries(node) if value is inner), inner)
            place, node = _where(key.start_mark), inner
        return place

    def take_as_text(self, path: Sequence[str | int]) -> bool:
        """Makes the value at ``path`` the text that was typed; False where no other plain value than text stands."""
        node = self.find(path)
        if not isinstance(node, ScalarNode) or node.tag in (_TEXT, _NULL):
            return False
        node.tag = _TEXT
        return True


def _entries(node: Node) -> Iterator[tuple[ScalarNode, Node]]:
    """Keys and values of a mapping, those of merged mappings last."""
    if not isinstance(node, MappingNode):
        return
    for key, value in node.value:
        if key.tag != _MERGE:
            yield key, value
    for key, value in node.value:
        if key.tag == _MERGE:
            for merged in value.value if isinstance(value, SequenceNode) else [value]:
                yield from _entries(merged)


def _child(node: Node, step: str | int) -> Node | None:
    if isinstance(node, SequenceNode):
        return node.value[step] if isinstance(step, int) and step < len(node.value) else None
    return next((value for key, value in _entries(node) if key.value == str(step)), None)


def _replace(node: MappingNode, key: ScalarNode, value: Node) -> None:
    for index, (old, _) in enumerate(node.value):
        if old.tag != _MERGE and old.value == key.value:
            node.value[index] = (key, value)
            return
    node.value.append((key, value))
