"""Which annotation format a folder has, told by its files."""

from __future__ import annotations

import collections
import csv
import dataclasses
import itertools
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from components.example_gen import files
from components.example_gen.formats.csv_table import REQUIRED, columns_of, delimiter_of
from components.example_gen.formats.tfrecord import RECORD_FILE
from components.example_gen.image_lookup import is_image_name
from components.user_error import UserError

FORMATS: Final = ("pascal_voc", "coco", "yolo", "csv", "tfrecord")
"""As ``data.format`` names them."""

_LOOKED_INTO: Final = 20
"""Files of a kind that are opened to see whether they are what they are called."""
_START_BYTES: Final = 4096
_YOLO_FILES: Final = ("data.yaml", "data.yml", "obj.data", "classes.txt", "notes.json")
_LABEL_MAPS: Final = ("label_map.pbtxt", "labelmap.pbtxt", "labels.txt")
_EXPECTED: Final = """Expected one of
  pascal_voc  an XML file an image, with <annotation>
  coco        JSON with `images`, `annotations` and `categories`
  yolo        a txt file an image in `labels` beside `images`, and a data.yaml (or obj.data, or classes.txt)
  csv         columns filename, class, xmin, ymin, xmax, ymax
  tfrecord    *.tfrecord or *.record with the keys of the TF Object Detection API"""


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """A format that a folder may have.

    Attributes:
      format: as ``data.format`` names it.
      evidence: the files that say so.
      label_map: path of a file of class names, for a format that may need one; None where there is none.
    """

    format: str
    evidence: tuple[str, ...]
    label_map: str | None = None

    @property
    def described(self) -> str:
        """``12 files: a.xml, b.xml, c.xml, ...``."""
        shown = ", ".join(self.evidence[:3])
        count = len(self.evidence)
        return shown if count == 1 else f"{count} files: {shown}{', ...' if count > 3 else ''}"


class NoLayoutError(UserError):
    """A folder that holds nothing to read; the message says what it holds and what was expected."""


def layouts(folder: str) -> list[Layout]:
    """The formats whose files a folder has, the likeliest first.

    Raises:
      NoLayoutError: it is no folder, is empty, or has files of no format that is read.
    """
    if not files.is_folder(folder):
        kind = "a file; give the folder it is in" if files.exists(folder) else "not there"
        raise NoLayoutError(f"{folder} is {kind}")
    paths = [entry.path for entry in files.list_files(folder)]
    if not paths:
        raise NoLayoutError(f"{folder} is empty. {_EXPECTED}")
    found = [
        Layout(name, evidence, _label_map(folder, paths) if name == "tfrecord" else None)
        for name, tell in _TELLERS.items()
        if (evidence := tuple(tell(folder, paths)))
    ]
    if not found:
        raise NoLayoutError(_nothing(folder, paths))
    return found


def _nothing(folder: str, paths: Sequence[str]) -> str:
    images = [path for path in paths if is_image_name(path)]
    others = collections.Counter(posixpath.splitext(path)[1].lower() for path in paths if not is_image_name(path))
    kinds = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in others.most_common(5))
    if images and not others:
        return (
            f"{folder} holds {len(images)} images and nothing else: annotations are missing, or lie in a folder beside "
            f"this one; then give the folder that holds both. {_EXPECTED}"
        )
    return f"{folder} holds {len(images)} images, but no annotations that are read (other files: {kinds}). {_EXPECTED}"


def _starts(folder: str, paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for path in itertools.islice(paths, _LOOKED_INTO):
        try:
            with files.open_binary(files.join(folder, path)) as file:
                yield path, file.read(_START_BYTES)
        except OSError:  # what cannot be read tells nothing; reading the data says why
            continue


def _ending(paths: Sequence[str], *suffixes: str) -> list[str]:
    return [path for path in paths if path.lower().endswith(suffixes)]


def _voc(folder: str, paths: Sequence[str]) -> Sequence[str]:
    found = _ending(paths, ".xml")
    # Not <annotations>, with which CVAT starts a file of all images.
    return found if any(re.search(rb"<annotation[\s>]", start) for _, start in _starts(folder, found)) else ()


def _coco(folder: str, paths: Sequence[str]) -> Sequence[str]:
    found = []
    for path in _ending(paths, ".json")[:_LOOKED_INTO]:
        content = files.read_bytes(files.join(folder, path))
        if b'"categories"' in content and b'"images"' in content and b'"annotations"' in content:
            found.append(path)
    return found


def _yolo(folder: str, paths: Sequence[str]) -> Sequence[str]:
    described = [path for path in paths if posixpath.basename(path).lower() in _YOLO_FILES or path.endswith(".names")]
    if described:
        return [path for path in described if not path.lower().endswith("notes.json")] or described
    pictures = {posixpath.splitext(posixpath.basename(path))[0] for path in paths if is_image_name(path)}
    labels = [path for path in _ending(paths, ".txt") if posixpath.splitext(posixpath.basename(path))[0] in pictures]
    return labels if any(_is_row(start.split(b"\n")[0]) for _, start in _starts(folder, labels)) else ()


def _is_row(line: bytes) -> bool:
    fields = line.split()
    return len(fields) >= 5 and all(field[:1] in b"+-.0123456789" for field in fields)


def _csv(folder: str, paths: Sequence[str]) -> Sequence[str]:
    found = []
    for path, start in _starts(folder, _ending(paths, ".csv")):
        header = next(iter(start.decode("utf-8-sig", "replace").splitlines()), "")
        columns, _ = columns_of(next(csv.reader([header], delimiter=delimiter_of(header)), []))
        if set(REQUIRED) <= set(columns):
            found.append(path)
    return found


def _tfrecord(_: str, paths: Sequence[str]) -> Sequence[str]:
    return [path for path in paths if RECORD_FILE.search(path)]


def _label_map(folder: str, paths: Sequence[str]) -> str | None:
    named = [path for path in paths if posixpath.basename(path).lower() in _LABEL_MAPS or path.endswith(".pbtxt")]
    return files.join(folder, named[0]) if len(named) == 1 else None


_TELLERS: Final[dict[str, Callable[[str, Sequence[str]], Sequence[str]]]] = {
    "tfrecord": _tfrecord,
    "coco": _coco,
    "pascal_voc": _voc,
    "yolo": _yolo,
    "csv": _csv,
}
