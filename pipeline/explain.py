"""The documentation of the config, printed from where it is written: the docstrings under the settings' fields."""

from __future__ import annotations

import inspect
import json
import textwrap
import types
from collections.abc import Collection
from typing import Any, Final, Literal, Union, get_args, get_origin

import pydantic
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipeline.settings_tree import Sections, sections

_WIDTH: Final = 110
_BELOW: Final = {"one": "", "list": "[]", "mapping": ".NAME"}
_KINDS: Final = {"one": "section", "list": "list of sections", "mapping": "mapping of names to sections"}


def _type_name(annotation: Any) -> str:
    """A field's type as a user of YAML would say it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(str(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(_type_name(argument) for argument in arguments))
    if origin in (list, tuple, set, frozenset):
        return f"list of {_type_name(arguments[0])}" if arguments else "list"
    if origin is dict:
        return f"mapping of {_type_name(arguments[0])} to {_type_name(arguments[1])}"
    if arguments:
        return _type_name(arguments[0])
    if annotation is type(None):
        return "null"
    names = {str: "text", int: "whole number", float: "number", bool: "true | false"}
    name = getattr(annotation, "__name__", str(annotation))
    return names.get(annotation, "path" if name in ("Path", "PosixPath") else name)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    return f"default {json.dumps(value, default=str)}"


def _paragraph(heading: str, documentation: str | None) -> str:
    text = inspect.cleandoc(documentation or "").partition("\n\n")[0].replace("\n", " ")
    return heading + "\n" + textwrap.fill(text, _WIDTH, initial_indent="    ", subsequent_indent="    ")


def explain(model: type[pydantic.BaseModel], prefix: str = "", only: Collection[str] | None = None) -> str:
    """Every key of a settings class: its dotted path, type, default and docstring, sections after plain keys.

    Of a field that holds one of several settings classes, what all have in common stands once, then each member's own.

    Args:
      model: the settings class.
      prefix: its path in the config, with the dot.
      only: these fields; all when None.
    """
    plain, below = [], []
    for name, field in model.model_fields.items():
        if only is not None and name not in only:
            continue
        path, found = f"{prefix}{name}", sections(field.annotation)
        if found.members:
            by = f" by {found.discriminator}: {' | '.join(found.members)}" if found.discriminator else ""
            below.append(_paragraph(f"{path}: {_KINDS[found.container]}{by}", field.description))
            below.append(_explain_sections(found, f"{path}{_BELOW[found.container]}"))
        else:
            plain.append(_paragraph(f"{path}: {_type_name(field.annotation)} ({_default(field)})", field.description))
    return "\n\n".join(filter(None, plain + below))


def _explain_sections(found: Sections, path: str) -> str:
    first, *others = found.classes
    if not others:
        return explain(first, f"{path}.")
    telling = found.discriminator
    common = [name for name in first.model_fields if len({_signature(cls, name) for cls in found.classes}) == 1]
    paragraphs = [_explain_discriminator(found, path, telling)] if telling else []
    paragraphs.append(explain(first, f"{path}.", common))
    for cls in found.classes:
        names = " | ".join(found.names(cls))
        heading = f"{path} with {telling} {names}:" if telling else f"{path} for {names}:"
        paragraphs.append(_paragraph(heading, cls.__doc__))
        paragraphs.append(explain(cls, f"{path}.", set(cls.model_fields) - {*common, telling or ""}))
    return "\n\n".join(filter(None, paragraphs))


def _explain_discriminator(found: Sections, path: str, name: str) -> str:
    """The key that tells the members apart, in the words of the class that they all stand on, where it has such."""
    first = found.classes[0]
    stands_on = [
        base
        for base in first.__mro__
        if issubclass(base, pydantic.BaseModel) and name in base.model_fields
        if all(issubclass(cls, base) for cls in found.classes)
    ]
    field = (stands_on or [first])[-1].model_fields[name]
    heading = f"{path}.{name}: {' | '.join(found.members)} ({_default(first.model_fields[name])})"
    return _paragraph(heading, field.description)


def _signature(cls: type[pydantic.BaseModel], name: str) -> str | None:
    """What is said about a field; None when the class has none of that name."""
    field = cls.model_fields.get(name)
    return None if field is None else f"{_type_name(field.annotation)} ({_default(field)}) {field.description}"
