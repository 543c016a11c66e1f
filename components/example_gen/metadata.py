"""Per-image metadata columns: the ``metadata.csv`` beside the images, and one type a column.

A feature must have one type over the whole data set, so values keep the type they were read with until all are known
(``widest``), and are then converted (``convert``): integers stay integers only if no image has anything else there.
"""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterable, Mapping
from typing import Final

from components.example_gen import files
from components.example_gen.annotations import DataError, MetadataValue

SIDECAR_FILE: Final = "metadata.csv"
_TYPES: Final = ("int", "float", "str")
_INT64_END: Final = 2**63


def parse_value(text: str) -> MetadataValue:
    """``7`` an integer, ``0.5`` a float, anything else (``nan`` and ``007`` too) text."""
    text = text.strip()
    try:
        number = int(text)
    except ValueError:
        pass
    else:
        return number if str(number) == text and abs(number) < _INT64_END else text
    try:
        return float(text) if text[-1:].isdigit() else text
    except ValueError:
        return text


def scalars(values: Mapping[str, object], columns: list[str] | None) -> dict[str, MetadataValue]:
    """The strings, numbers and booleans (as ``true``/``false``) among values; of ``columns`` only, when given.

    Integers that are too big for a record (hashes, mostly) become text, halves of characters (JSON's ``\\ud800``) their
    escapes.
    """
    kept: dict[str, MetadataValue] = {}
    for column, value in values.items():
        if columns is not None and column not in columns:
            continue
        name = _writable(column)
        if isinstance(value, bool):
            kept[name] = "true" if value else "false"
        elif isinstance(value, int) and abs(value) >= _INT64_END:
            kept[name] = str(value)
        elif isinstance(value, (int, float)):
            kept[name] = value
        elif isinstance(value, str) and value:
            kept[name] = _writable(value)
    return kept


def _writable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def type_of(value: MetadataValue) -> str:
    """``int``, ``float`` or ``str``."""
    return type(value).__name__


def widest(types: Iterable[str]) -> str:
    """The narrowest type all values fit in: ``widest(["int", "float"]) == "float"``."""
    return max(types, key=_TYPES.index, default="int")


def convert(value: MetadataValue, type_name: str) -> MetadataValue:
    """A value in its column's type."""
    if type_name == "str":
        return str(value)
    return float(value) if type_name == "float" else value


class Sidecar:
    """The rows of a ``metadata.csv``, found by path, file name or stem; no rows when there is no such file."""

    def __init__(self, root: str, columns: list[str] | None) -> None:
        """Reads it.

        Raises:
          DataError: it is not UTF-8, or has no ``filename`` column.
        """
        self._rows: dict[str, dict[str, MetadataValue]] = {}
        path = files.join(root, SIDECAR_FILE)
        if not files.exists(path):
            return
        try:
            reader = csv.DictReader(io.StringIO(files.read_text(path)))
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read as CSV in UTF-8: {error}") from error
        if "filename" not in (reader.fieldnames or []):
            raise DataError(
                f"{path}: expected a `filename` column, found {', '.join(reader.fieldnames or []) or 'none'}"
            )
        for row in reader:
            name = row.pop("filename") or ""
            values = {column: parse_value(text) for column, text in row.items() if column and text}
            self._rows[name.replace("\\", "/")] = scalars(values, columns)

    def of(self, path: str) -> dict[str, MetadataValue]:
        """Columns of an image, by its path, its file name, or its file name without suffix."""
        if not self._rows:
            return {}
        name = posixpath.basename(path)
        for key in (path, name, *(posixpath.splitext(name)[0] + suffix for suffix in ("", *files.IMAGE_SUFFIXES))):
            if key in self._rows:
                return self._rows[key]
        return {}
