"""CSV: one row an object, ``filename,width,height,class,xmin,ymin,xmax,ymax`` in pixels, in any order of columns.

A row with empty class and box is an image without objects. One file for each split, or one for all, perhaps with a
``split`` column. Any further column is per-image metadata (the first row of an image that has a value counts).
``width`` and ``height`` may be missing or empty. Columns are parted by comma, semicolon or tab, as the first line is.
Columns may have the names of OpenImages, Kaggle and VoTT (``_OTHER_NAMES``); a file without a header whose first field
is an image has keras-retinanet's columns, or all of the above in that order.
``metadata.csv`` is not an annotation file.
"""

from __future__ import annotations

import csv
import io
import itertools
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
from components.example_gen.coercion import to_float, to_size
from components.example_gen.image_lookup import ImageFinder, is_image_name
from components.example_gen.metadata import SIDECAR_FILE, Sidecar, parse_value, scalars
from components.example_gen.settings import DataSettings
from components.example_gen.sources import image_folders, load_files, named_sources, one_source_a_split
from components.example_gen.splits import SPLIT_ALIASES, split_of_name
from components.findings import Finding

_BOX_COLUMNS: Final = ("xmin", "ymin", "xmax", "ymax")
REQUIRED: Final = ("filename", "class", *_BOX_COLUMNS)
"""The columns that a table of boxes has, whatever they are called in it."""
_KNOWN: Final = (*REQUIRED, "width", "height", "split")
_DELIMITERS: Final = (",", ";", "\t")
_OTHER_NAMES: Final = {
    "filename": ("file_name", "image", "image_name", "image_path", "path", "image_id", "imageid", "img"),
    "class": ("label", "class_name", "category", "labelname", "label_name"),
    "xmin": ("x_min", "x1"),
    "ymin": ("y_min", "y1"),
    "xmax": ("x_max", "x2"),
    "ymax": ("y_max", "y2"),
}
"""What other tools call a column, in lower case; the first that is there stands in for one that is not."""
_WITHOUT_HEADER: Final = {
    6: ("filename", *_BOX_COLUMNS, "class"),
    8: ("filename", "width", "height", "class", *_BOX_COLUMNS),
}
"""Columns by their number."""
_NO_VALUE: Final = ("", "nan", "none", "null")
_ODD_ROW: Final = "\0"
"""Key of what is wrong with a row that has another number of fields than the first line."""


class CsvTable:
    """CSV files; implements ``AnnotationFormat``."""

    def __init__(self, settings: DataSettings) -> None:
        self._settings = settings
        self._bad_input = settings.bad_input
        self._finder = ImageFinder(settings)

    def sources(self, root: str) -> list[Source]:
        """One source a file, or one for each value of its ``split`` column."""
        if self._settings.annotations is not None:
            found = named_sources(root, self._settings.annotations, self._settings.split)
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
            values = {row["split"]: split_of_name(row["split"]) for _, row in rows}
            unknown = sorted(value for value, split in values.items() if split is None)
            if unknown:
                path = files.join(root, source.path)
                raise DataError(f"{path}: split column: {unknown[0]!r} is none of {', '.join(SPLIT_ALIASES)}")
            names = set(values.values())
            sources += [Source(root, source.path, split) for split in ("train", "eval", "test") if split in names]
        return sources

    def items(self, source: Source) -> Iterator[Item | Finding]:
        """Images of one file with their boxes."""
        columns, rows = _table(source)
        images: dict[str, list[tuple[int, dict[str, str]]]] = {}
        for line, row in rows:
            name = row["filename"]
            if "split" in columns and split_of_name(row["split"]) != source.split:
                continue
            if not name:
                yield self._bad_input.finding("malformed_annotation", source.path, f"line {line}", "empty filename")
                continue
            images.setdefault(name, []).append((line, row))
        folders = image_folders(self._settings.images, source)
        sidecar = Sidecar(source.root, self._settings.columns_to_read)
        extra = [column for column in columns if column and column not in _KNOWN]
        for position, (name, entries) in enumerate(images.items()):
            where = f"{source.path} line {entries[0][0]}"
            try:
                image = self._finder.find(source.root, folders, name, source.split, where)
            except RecordSkippedError as skipped:
                yield skipped.finding
                continue
            if image.finding is not None:
                yield image.finding
            metadata: dict[str, MetadataValue] = {}
            for _, row in reversed(entries):
                metadata |= {column: parse_value(row[column]) for column in extra if row[column]}
            yield Item(
                key=source.key_prefix + image.path,
                name=image.path,
                split=source.split,
                root=source.root,
                order=(source.index, position),
                metadata=sidecar.of(image.path) | scalars(metadata, self._settings.columns_to_read),
                file=image.path,
                annotation=self._annotation(entries, source.path),
            )

    def load(self, items: Sequence[Item]) -> Iterator[LoadedImage | Finding]:
        """Reads the image files; annotations came with the items."""
        return load_files(items, self._bad_input)

    def _annotation(self, entries: list[tuple[int, dict[str, str]]], path: str) -> ImageAnnotation:
        objects, findings = [], []
        for line, row in entries:
            if _ODD_ROW in row:
                findings.append(self._bad_input.finding("malformed_box", path, f"line {line}", row[_ODD_ROW]))
                continue
            if all(row[column].lower() in _NO_VALUE for column in ("class", *_BOX_COLUMNS)):
                continue
            try:
                xmin, ymin, xmax, ymax = (to_float(row[column]) for column in _BOX_COLUMNS)
            except ValueError as error:
                columns = ", ".join(f"{column} {row[column]!r}" for column in _BOX_COLUMNS)
                found = f"expected numbers, found {columns}: {error}"
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
            width_pixels=to_size(first.get("width", "")),
            height_pixels=to_size(first.get("height", "")),
            findings=tuple(findings),
        )


def _table(source: Source) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Column names, and rows with their line numbers; every row has every column, spaces around values removed."""
    path = files.join(source.root, source.path)
    try:
        text = files.read_text(path)
        header = next(iter(text.splitlines()), "")
        reader = csv.reader(io.StringIO(text, newline=None), skipinitialspace=True, delimiter=delimiter_of(header))
        first = next(reader, [])
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}; save the file as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}") from error
    columns, has_header = columns_of(first)
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        raise DataError(
            f"{path}: line 1: expected the columns {', '.join(REQUIRED)}; {', '.join(missing)} missing, "
            f"found {', '.join(first) or 'nothing'}; write a first line with these names"
        )

    def rows() -> Iterator[tuple[int, dict[str, str]]]:
        try:
            for fields in reader if has_header else itertools.chain([first], reader):
                if not fields:
                    continue
                row = dict.fromkeys(columns, "") | {
                    column: field.strip() for column, field in zip(columns, fields, strict=False)
                }
                cut = any(column in REQUIRED for column in columns[len(fields) :])
                if cut or any(field.strip() for field in fields[len(columns) :]):
                    row[_ODD_ROW] = f"{len(fields)} fields, expected {len(columns)} as in line 1"
                yield reader.line_num, row
        except csv.Error as error:  # a quote that is never closed swallows lines up to the limit of a field
            raise DataError(f"{path}: line {reader.line_num}: cannot be read as CSV: {error}") from error

    return columns, rows()


def delimiter_of(line: str) -> str:
    """What parts the columns in the first line of a table."""
    return max(_DELIMITERS, key=line.count)


def columns_of(first: Sequence[str]) -> tuple[list[str], bool]:
    """Names of the columns, and whether the first row is a header.

    Args:
      first: fields of the first row.

    Returns:
      Our names where the header has them in any case, or as another tool calls them; without a header those that tables
      of this number of columns have, none where that is unknown.
    """
    if is_image_name(first[0].strip() if first else ""):
        return list(_WITHOUT_HEADER.get(len(first), ())), False
    columns = [name.strip().lower() if name.strip().lower() in _KNOWN else name.strip() for name in first]
    lower = [column.lower() for column in columns]
    for ours, others in _OTHER_NAMES.items():
        other = next((name for name in others if name in lower), None)
        if ours not in columns and other is not None:
            columns[lower.index(other)] = ours
    return columns, True
