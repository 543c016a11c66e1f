"""CSV: one row an object, ``filename,width,height,class,xmin,ymin,xmax,ymax`` in pixels, in any order of columns.

A row with empty class and box is an image without objects. One file for each split, or one for all, perhaps with a
``split`` column. Any further column is per-image metadata (the first row of an image that has a value counts).
``width`` and ``height`` may be missing or empty. ``metadata.csv`` is not an annotation file.
"""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterator, Sequence
from typing import Final

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
from components.example_gen.metadata import SIDECAR_FILE, Sidecar, parse_value, scalars
from components.example_gen.settings import DataSettings
from components.example_gen.sources import image_folders, load_files, named_sources, one_source_a_split
from components.example_gen.splits import SPLIT_ALIASES
from components.findings import Finding

_BOX_COLUMNS: Final = ("xmin", "ymin", "xmax", "ymax")
_REQUIRED: Final = ("filename", "class", *_BOX_COLUMNS)
_KNOWN: Final = (*_REQUIRED, "width", "height", "split")


class CsvTable:
    """CSV files; implements ``AnnotationFormat``."""

    def __init__(self, settings: DataSettings) -> None:
        self._settings = settings
        self._bad_input = settings.bad_input

    def sources(self, root: str) -> list[Source]:
        """One source a file, or one for each value of its ``split`` column."""
        if self._settings.annotations is not None:
            found = named_sources(root, self._settings.annotations)
        else:
            paths = [entry.path for entry in files.list_files(root) if entry.path.lower().endswith(".csv")]
            tables = [path for path in paths if posixpath.basename(path) != SIDECAR_FILE]
            found = one_source_a_split(root, tables, "CSV files (*.csv)")
        sources = []
        for source in found:
            columns, rows = _table(source)
            if "split" not in columns:
                sources.append(source)
                continue
            values = {row.get("split", "") for _, row in rows}
            unknown = sorted(value for value in values if value.lower() not in SPLIT_ALIASES)
            if unknown:
                path = files.join(root, source.path)
                raise DataError(f"{path}: split column: {unknown[0]!r} is none of {', '.join(SPLIT_ALIASES)}")
            names = {SPLIT_ALIASES[value.lower()] for value in values}
            sources += [Source(root, source.path, split) for split in ("train", "eval", "test") if split in names]
        return sources

    def items(self, source: Source) -> Iterator[Item | Finding]:
        """Images of one file with their boxes."""
        columns, rows = _table(source)
        images: dict[str, list[tuple[int, dict[str, str]]]] = {}
        for line, row in rows:
            name = row["filename"]
            if "split" in columns and SPLIT_ALIASES.get(row["split"].lower()) != source.split:
                continue
            if not name:
                yield self._bad_input.finding("malformed_annotation", source.path, f"line {line}", "empty filename")
                continue
            images.setdefault(name, []).append((line, row))
        folders = image_folders(self._settings.images, source)
        sidecar = Sidecar(source.root, self._settings.columns_to_read)
        extra = [column for column in columns if column not in _KNOWN]
        for position, (name, entries) in enumerate(images.items()):
            where = f"{source.path} line {entries[0][0]}"
            try:
                path = files.find_image(source.root, folders, name, self._bad_input, where)
            except RecordSkippedError as skipped:
                yield skipped.finding
                continue
            metadata: dict[str, MetadataValue] = {}
            for _, row in reversed(entries):
                metadata |= {column: parse_value(row[column]) for column in extra if row[column]}
            yield Item(
                key=source.key_prefix + path,
                name=path,
                split=source.split,
                root=source.root,
                order=(source.index, position),
                metadata=sidecar.of(path) | scalars(metadata, self._settings.columns_to_read),
                file=path,
                annotation=self._annotation(entries, source.path),
            )

    def load(self, items: Sequence[Item]) -> Iterator[LoadedImage | Finding]:
        """Reads the image files; annotations came with the items."""
        return load_files(items, self._bad_input)

    def _annotation(self, entries: list[tuple[int, dict[str, str]]], path: str) -> ImageAnnotation:
        objects, findings = [], []
        for line, row in entries:
            if not row["class"] and not any(row[column] for column in _BOX_COLUMNS):
                continue
            try:
                xmin, ymin, xmax, ymax = (float(row[column]) for column in _BOX_COLUMNS)
            except ValueError:
                found = f"expected numbers, found {', '.join(f'{column} {row[column]!r}' for column in _BOX_COLUMNS)}"
                findings.append(self._bad_input.finding("malformed_box", path, f"line {line}", found))
                continue
            objects.append(
                ObjectAnnotation(
                    box_xyxy=(xmin, ymin, xmax, ymax),
                    class_name=row["class"] or None,
                    class_found=f"class {row['class']!r}",
                    where=f"{path} line {line}",
                )
            )
        first = entries[0][1]
        return ImageAnnotation(
            objects=tuple(objects),
            width_pixels=_size(first.get("width", "")),
            height_pixels=_size(first.get("height", "")),
            findings=tuple(findings),
        )


def _table(source: Source) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Column names, and rows with their line numbers; every row has every column, spaces around values removed."""
    path = files.join(source.root, source.path)
    try:
        reader = csv.DictReader(io.StringIO(files.read_text(path)), skipinitialspace=True)
        columns = [(column or "").strip() for column in reader.fieldnames or []]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}") from error
    missing = [column for column in _REQUIRED if column not in columns]
    if missing:
        raise DataError(
            f"{path}: line 1: expected the columns {', '.join(_REQUIRED)}; {', '.join(missing)} missing, "
            f"found {', '.join(columns) or 'nothing'}"
        )
    reader.fieldnames = columns

    def rows() -> Iterator[tuple[int, dict[str, str]]]:
        try:
            for row in reader:
                yield reader.line_num, {column: (row[column] or "").strip() for column in columns}
        except csv.Error as error:  # a quote that is never closed swallows lines up to the limit of a field
            raise DataError(f"{path}: line {reader.line_num}: cannot be read as CSV: {error}") from error

    return columns, rows()


def _size(text: str) -> int | None:
    try:
        value = int(float(text))
    except (ValueError, OverflowError):
        return None
    return value if value > 0 else None
