"""The label map: class names and their 1-based ids, and the text files that hold it.

Two formats are read: ``labels.txt`` (one name a line, the line number is the id; what an exported model carries in
``assets/labels.txt``) and the TF Object Detection API's ``.pbtxt`` (``item { id: 1 name: 'car' }``).
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Iterator

_ITEM = re.compile(r"item\s*\{([^{}]*)\}")
_FIELD = re.compile(r"(\w+)\s*:\s*(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|(-?\d+))")


class LabelMapError(ValueError):
    """A label map file that cannot be used; the message names the file, what was found and what was expected."""


@dataclasses.dataclass(frozen=True)
class LabelMap:
    """Class names by id.

    Attributes:
      ids: 1-based, strictly increasing, not necessarily dense (COCO's 90 ids hold 80 classes).
      names: the class names, same order, unique.
    """

    ids: tuple[int, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.names):
            raise LabelMapError(f"label map with {len(self.ids)} ids but {len(self.names)} names")
        if any(later <= earlier for earlier, later in zip((0, *self.ids), self.ids, strict=False)):
            raise LabelMapError(f"label map ids must be positive and increasing, found {list(self.ids)}")
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated:
            raise LabelMapError(f"label map names a class more than once: {', '.join(repeated)}")

    @classmethod
    def of_names(cls, names: Iterable[str]) -> LabelMap:
        """Ids 1, 2, 3, ... in the order given."""
        ordered = tuple(names)
        return cls(tuple(range(1, len(ordered) + 1)), ordered)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return iter(zip(self.ids, self.names, strict=True))

    def id_of(self, name: str) -> int | None:
        """1-based id of a class name, None when the map does not hold it."""
        return self.ids[self.names.index(name)] if name in self.names else None

    def name_of(self, class_id: int) -> str | None:
        """Class name of a 1-based id, None when the map does not hold it."""
        return self.names[self.ids.index(class_id)] if class_id in self.ids else None

    @property
    def name_by_index(self) -> list[str]:
        """Name of every id from 1 to the last, at index id - 1; empty for an id without a class."""
        by_id = dict(self)
        return [by_id.get(i, "") for i in range(1, (self.ids[-1] if self.ids else 0) + 1)]

    def to_labels_txt(self) -> str:
        """The text of a ``labels.txt``; an id without a class is an empty line."""
        return "".join(f"{name}\n" for name in self.name_by_index)


def parse_labels_txt(text: str) -> LabelMap:
    """Label map of a ``labels.txt``: line n (from 1) is the name of class n; empty lines are ids without a class."""
    # Not `splitlines`: it would also part a name at the likes of U+2028, and number what follows anew.
    pairs = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    return LabelMap(tuple(number for number, _ in pairs), tuple(name for _, name in pairs))


def parse_pbtxt(text: str) -> LabelMap:
    """Label map of a TF Object Detection API ``.pbtxt``; ``display_name`` wins over ``name`` as there."""
    pairs = []
    for item in _ITEM.finditer(text):
        fields = {m[1]: m[4] or re.sub(r"\\(.)", r"\1", m[2] or m[3] or "") for m in _FIELD.finditer(item[1])}
        if not fields.get("id", "").isdigit() or not (fields.get("display_name") or fields.get("name")):
            raise LabelMapError(f"label map item needs `id` and `name`, found {item[0]!r}")
        pairs.append((int(fields["id"]), fields.get("display_name") or fields["name"]))
    pairs.sort()
    return LabelMap(tuple(number for number, _ in pairs), tuple(name for _, name in pairs))


def read_label_map(path: str | pathlib.Path) -> LabelMap:
    """Reads ``*.pbtxt`` or ``labels.txt``.

    Raises:
      LabelMapError: the file is missing, empty or malformed; the message names it.
    """
    path = pathlib.Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelMapError(f"{path}: cannot be read as a label map: {error}") from error
    try:
        label_map = parse_pbtxt(text) if path.suffix == ".pbtxt" else parse_labels_txt(text)
    except LabelMapError as error:
        raise LabelMapError(f"{path}: {error}") from error
    if not label_map.ids:
        raise LabelMapError(f"{path}: no classes found; expected one name a line, or `item {{ id: 1 name: 'x' }}`")
    return label_map
