"""TFRecord with the TF Object Detection API's keys, plain or gzip: files people already have.

Boxes are in 0..1; ``class/text`` names the class, or ``class/label`` together with ``data.label_map`` where there is no
text. ``image/meta/*`` is kept; other features (hashes, masks, keypoints) are not. A file can only be read from its
start, so its records stay together: each file becomes one shard for each split, and is read twice, once for its ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError

from components.example_gen import files
from components.example_gen.annotations import (
    DataError,
    ImageAnnotation,
    Item,
    LoadedImage,
    MetadataValue,
    ObjectAnnotation,
    RecordSkippedError,
    Source,
)
from components.example_gen.coercion import Coercions, describe_ids
from components.example_gen.formats.record_file import DamagedFileError, example_message, read_records
from components.example_gen.metadata import scalars
from components.example_gen.settings import DataSettings
from components.example_gen.splits import split_of_path
from components.findings import Finding
from schema import features
from schema.label_map import read_label_map

RECORD_FILE: Final = re.compile(
    r"\.(tfrecords?|tfrec|records?)(-\d+-of-\d+)?(\.gz)?$|-\d{5}-of-\d{5}(\.gz)?$", re.IGNORECASE
)


class TFRecord:
    """TFRecord files; implements ``AnnotationFormat``."""

    def __init__(self, settings: DataSettings) -> None:
        self._settings = settings
        self._bad_input = settings.bad_input
        self._class_names: dict[int, str] = {}
        if settings.label_map is not None:
            self._class_names = dict(read_label_map(settings.label_map))

    def sources(self, root: str) -> list[Source]:
        """One source a file; its split by its name or folder, or by the pattern of ``data.annotations``."""
        paths = [entry.path for entry in files.list_files(root)]
        asked = self._settings.annotations
        if asked is not None:
            patterns = {None: asked} if isinstance(asked, str) else dict(asked)
            sources = []
            for split, pattern in patterns.items():
                regex = re.escape(pattern).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
                matched = [path for path in paths if re.fullmatch(regex, path)]
                if not matched:
                    key = "data.annotations" if split is None else f"data.annotations.{split}"
                    raise DataError(f"{key}: no file matches {pattern} in {root}")
                sources += [Source(root, path, split) for path in matched]
            return sources
        found = [Source(root, path, split_of_path(path)) for path in paths if RECORD_FILE.search(path)]
        if not found:
            raise DataError(f"no TFRecord files (*.tfrecord, *.record) in {root}; name them in data.annotations")
        return found

    def items(self, source: Source) -> Iterator[Item | Finding]:
        """Ids and metadata of a file's records."""
        ids: dict[str, str] = {}
        for position, entry in enumerate(self._read(source.root, source.path)):
            if isinstance(entry, Finding):
                yield entry
                continue
            filename = _text(entry, features.IMAGE_FILENAME)
            key = _text(entry, features.IMAGE_SOURCE_ID) or filename or f"{source.path}#{position}"
            if filename and ids.setdefault(key, filename) != filename:  # converters write one id into all records
                key = filename
            yield Item(
                key=source.key_prefix + key,
                name=filename or key,
                split=source.split,
                root=source.root,
                order=(source.index, position),
                metadata=scalars(_metadata(entry), self._settings.columns_to_read),
                file=source.path,
                stream=source.index,
            )

    def load(self, items: Sequence[Item]) -> Iterator[LoadedImage | Finding]:
        """Reads the file the items are in once from start to end; items must be in its order."""
        if not items:
            return
        wanted = {item.order[1]: item for item in items}
        path = items[0].file
        for position, entry in enumerate(self._read(items[0].root, path)):
            item = wanted.get(position)
            if item is None or isinstance(entry, Finding):  # findings were reported while listing
                continue
            where = _text(entry, features.IMAGE_FILENAME) or f"{path}#{position}"
            encoded = entry.features.feature[features.IMAGE_ENCODED].bytes_list.value
            if not encoded:
                keys = ", ".join(
                    sorted(key for key, value in entry.features.feature.items() if value.WhichOneof("kind"))
                )
                found = f"no bytes in {features.IMAGE_ENCODED}; the record has {keys[:200] or 'nothing'}"
                yield self._bad_input.finding("empty_image", path, f"record {position}", found)
                continue
            try:
                yield LoadedImage(item, where, encoded[0], self._annotation(entry, path, position))
            except RecordSkippedError as skipped:
                yield skipped.finding

    def _read(self, root: str, path: str) -> Iterator[Any]:
        """The records of a file as messages, a finding for each that is none and for damage."""
        position = 0
        try:
            for record in read_records(files.join(root, path)):
                try:
                    yield example_message().FromString(record)
                except DecodeError as error:
                    found = f"no tf.train.Example: {error}"
                    yield self._bad_input.finding("malformed_annotation", path, f"record {position}", found)
                position += 1
        except DamagedFileError as error:
            found = f"cannot be read from here on: {error}"
            yield self._bad_input.finding("damaged_record_file", path, f"record {position}", found)

    def _annotation(self, example: Any, path: str, position: int) -> ImageAnnotation:
        values = example.features.feature
        where, coercions = f"record {position}", Coercions()

        def numbers(key: str) -> list[float]:
            return [*values[key].float_list.value, *values[key].int64_list.value]

        def column(key: str) -> list[float]:
            found = numbers(key)
            return found if len(found) == count else []

        boxes = [
            numbers(key)
            for key in (features.OBJECT_XMIN, features.OBJECT_YMIN, features.OBJECT_XMAX, features.OBJECT_YMAX)
        ]
        count = len(boxes[0])
        try:
            texts = [text.decode() for text in values[features.OBJECT_CLASS_TEXT].bytes_list.value]
            labels = [
                coercions.whole(features.OBJECT_CLASS_LABEL, label) for label in numbers(features.OBJECT_CLASS_LABEL)
            ]
            lengths = [len(column) for column in boxes] + [len(column) for column in (texts, labels) if column]
            if any(length != count for length in lengths):
                raise ValueError(f"lists of {lengths} boxes and classes; expected equal lengths")
            if count and not texts and not labels:
                raise ValueError(
                    f"{count} boxes, but neither {features.OBJECT_CLASS_TEXT} nor {features.OBJECT_CLASS_LABEL}"
                )
        except UnicodeDecodeError as error:
            found = f"class name that is not UTF-8: {error}"
            raise RecordSkippedError(self._bad_input.finding("malformed_annotation", path, where, found)) from error
        except ValueError as error:
            raise RecordSkippedError(
                self._bad_input.finding("malformed_annotation", path, where, str(error))
            ) from error

        crowds, difficult, areas = (
            column(key) for key in (features.OBJECT_IS_CROWD, features.OBJECT_DIFFICULT, features.OBJECT_AREA)
        )
        objects = []
        for i in range(count):
            label = labels[i] if labels else 0
            name = texts[i] if texts and texts[i] else self._class_names.get(label)
            objects.append(
                ObjectAnnotation(
                    box_xyxy=(boxes[0][i], boxes[1][i], boxes[2][i], boxes[3][i]),
                    class_name=name,
                    class_id=label,
                    class_found=self._unnamed(label) if name is None else name,
                    is_crowd=bool(crowds and crowds[i]),
                    is_difficult=bool(difficult and difficult[i]),
                    area_pixels=areas[i] if areas else None,
                    where=f"object {i + 1}",
                )
            )
        return ImageAnnotation(
            objects=tuple(objects),
            width_pixels=_int(example, features.IMAGE_WIDTH),
            height_pixels=_int(example, features.IMAGE_HEIGHT),
            normalized=True,
            findings=tuple(coercions.findings(self._bad_input, f"{path} {where}")),
        )

    def _unnamed(self, label: int) -> str:
        known = f"its ids are {describe_ids(self._class_names)}" if self._class_names else "set data.label_map"
        return f"label {label}, which only a label map could name; {known}"


def _text(example: Any, key: str) -> str:
    values = example.features.feature[key].bytes_list.value
    return values[0].decode("utf-8", "replace") if values else ""


def _int(example: Any, key: str) -> int | None:
    values = example.features.feature[key].int64_list.value
    return int(values[0]) if values and values[0] > 0 else None


def _metadata(example: Any) -> dict[str, MetadataValue]:
    found: dict[str, MetadataValue] = {}
    for key, feature in example.features.feature.items():
        if not key.startswith(features.META_PREFIX):
            continue
        name = key.removeprefix(features.META_PREFIX)
        if feature.bytes_list.value:
            found[name] = feature.bytes_list.value[0].decode("utf-8", "replace")
        elif feature.float_list.value:
            found[name] = feature.float_list.value[0]
        elif feature.int64_list.value:
            found[name] = feature.int64_list.value[0]
    return found
