"""The label map: class names and their 1-based ids, and the text files that hold it.

Two formats are read: ``labels.txt`` (one name a line, the line number is the id; what an exported model carries in
``assets/labels.txt``) and the TF Object Detection API's ``.pbtxt`` (``item { id: 1 name: 'car' }``).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from schema.text import clean_name, decode

_PBTXT_START: Final = re.compile(r"(\s|#.*\n)*item\s*:?\s*[{<]")
_OTHER_FORMATS: Final = (".csv", ".json", ".xml", ".yaml", ".yml")


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

    @property
    def name_by_index(self) -> list[str]:
        """Name of every id from 1 to the last, at index id - 1; empty for an id without a class."""
        by_id = dict(self)
        return [by_id.get(i, "") for i in range(1, (self.ids[-1] if self.ids else 0) + 1)]

    def extended_by(self, names: Iterable[str]) -> LabelMap:
        """This map with the names that it lacks, in their order, with ids behind its last."""
        new = [name for name in names if name not in self.names]
        last = self.ids[-1] if self.ids else 0
        return LabelMap((*self.ids, *range(last + 1, last + 1 + len(new))), (*self.names, *new))

    def to_labels_txt(self) -> str:
        """The text of a ``labels.txt``; an id without a class is an empty line."""
        return "".join(f"{name}\n" for name in self.name_by_index)


def parse_labels_txt(text: str) -> LabelMap:
    """Label map of a ``labels.txt``: line n (from 1) is the name of class n; empty lines are ids without a class."""
    # Not `splitlines`: it would also part a name at the likes of U+2028, and number what follows anew.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    names = ((number, clean_name(line)) for number, line in enumerate(lines, start=1))
    pairs = [(number, name) for number, name in names if name]
    return LabelMap(tuple(number for number, _ in pairs), tuple(name for _, name in pairs))


def parse_pbtxt(text: str) -> LabelMap:
    """Label map of a TF Object Detection API ``.pbtxt``; ``display_name`` wins over ``name`` as there.

    Read as protobuf's text format, so items may hold anything that the original's do, and what it does not know. An
    item 0 called ``background`` is allowed there, too, and is no class.

    Raises:
      LabelMapError: it is no such text (with line and column), or an item has no id or name.
    """
    pairs = []
    for position, item in enumerate(_parse_items(text), start=1):
        name = clean_name(item.display_name) or clean_name(item.name)
        if item.HasField("id") and item.id == 0 and name.lower() == "background":
            continue
        if not item.HasField("id") or not name:
            found = " ".join(str(item).split()) or "nothing"
            raise LabelMapError(f"label map item {position} needs `id` and `name`, found {found}")
        pairs.append((item.id, name))
    pairs.sort()
    for (number, name), (following, other) in itertools.pairwise(pairs):
        if number == following:
            raise LabelMapError(f"label map has the id {number} twice: for {name!r} and for {other!r}")
    if pairs and pairs[0][0] < 1:
        raise LabelMapError(f"label map has the id {pairs[0][0]} for {pairs[0][1]!r}; ids start at 1, 0 is no object")
    return LabelMap(tuple(number for number, _ in pairs), tuple(name for _, name in pairs))


def _parse_items(text: str) -> Iterable[Any]:
    from google.protobuf import text_format  # not on the way of a client that reads labels.txt

    try:
        return text_format.Parse(text, _label_map_message()(), allow_unknown_field=True).item
    except text_format.ParseError as error:
        found = str(error)
        if error.GetLine() is not None:
            found = f"line {error.GetLine()}, column {error.GetColumn()}: {found.partition(' : ')[2]}"
        raise LabelMapError(f"{found} Expected `item {{ id: 1 name: 'x' }}` for each class") from error


@functools.cache
def _label_map_message() -> Any:
    """The message class of the TF Object Detection API's ``string_int_label_map.proto``."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="string_int_label_map.proto", package="label_map", syntax="proto2")

    def add(message: Any, names: str, of_type: int, label: int, type_name: str | None = None) -> None:
        for name in names.split():
            number = len(message.field) + 1
            message.field.add(name=name, number=number, type=of_type, label=label, type_name=type_name)

    frequency = file.enum_type.add(name="LVISFrequency")
    for number, name in enumerate(("UNSPECIFIED", "FREQUENT", "COMMON", "RARE")):
        frequency.value.add(name=name, number=number)
    item = file.message_type.add(name="StringIntLabelMapItem")
    keypoint = item.nested_type.add(name="KeypointMap")
    add(keypoint, "id", field.TYPE_INT32, field.LABEL_OPTIONAL)
    add(keypoint, "label", field.TYPE_STRING, field.LABEL_OPTIONAL)
    add(item, "name", field.TYPE_STRING, field.LABEL_OPTIONAL)
    add(item, "id", field.TYPE_INT32, field.LABEL_OPTIONAL)
    add(item, "display_name", field.TYPE_STRING, field.LABEL_OPTIONAL)
    nested = ".label_map.StringIntLabelMapItem.KeypointMap"
    add(item, "keypoints", field.TYPE_MESSAGE, field.LABEL_REPEATED, nested)
    add(item, "ancestor_ids descendant_ids", field.TYPE_INT32, field.LABEL_REPEATED)
    add(item, "frequency", field.TYPE_ENUM, field.LABEL_OPTIONAL, ".label_map.LVISFrequency")
    add(item, "instance_count", field.TYPE_INT32, field.LABEL_OPTIONAL)
    items = file.message_type.add(name="StringIntLabelMap")
    add(items, "item", field.TYPE_MESSAGE, field.LABEL_REPEATED, ".label_map.StringIntLabelMapItem")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("label_map.StringIntLabelMap"))


def read_label_map(path: str | pathlib.Path) -> LabelMap:
    """Reads ``*.pbtxt`` or ``labels.txt``, told by what is in it.

    Raises:
      LabelMapError: the file is missing, empty or malformed; the message names it.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() in _OTHER_FORMATS:
        raise LabelMapError(f"{path}: expected a .pbtxt file, or a labels.txt with one name a line")
    try:
        text = decode(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise LabelMapError(f"{path}: cannot be read as a label map: {error}") from error
    try:
        is_pbtxt = path.suffix.lower() == ".pbtxt" or _PBTXT_START.match(text)
        label_map = parse_pbtxt(text) if is_pbtxt else parse_labels_txt(text)
    except LabelMapError as error:
        raise LabelMapError(f"{path}: {error}") from error
    if not label_map.ids:
        raise LabelMapError(f"{path}: no classes found; expected one name a line, or `item {{ id: 1 name: 'x' }}`")
    return label_map
