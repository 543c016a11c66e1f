"""YOLO: a txt file an image with ``class cx cy width height`` in 0..1, and a data.yaml with names and splits.

``images`` in an image's path becomes ``labels`` (its last occurrence), the suffix ``.txt``; a txt file beside the image
is found as well. As in Ultralytics' tools an image without a txt file, or with an empty one, has no objects; a sixth
number (confidence) is ignored, and a line of more points is a polygon, of which the bounding box is taken.

``train``, ``val`` and ``test`` of data.yaml name a folder, a list of folders, or a txt file of image paths, relative to
``path`` in there or to the file. Exporters write ``../train/images`` where ``train/images`` is meant: a path that leads
nowhere is tried without the leading ``../``.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from components.example_gen import files
from components.example_gen.annotations import (
    DataError,
    ImageAnnotation,
    Item,
    LoadedImage,
    ObjectAnnotation,
    RecordSkippedError,
    Source,
)
from components.example_gen.metadata import Sidecar
from components.example_gen.settings import DataSettings
from components.example_gen.sources import listed_lines, named_sources
from components.findings import Finding
from schema.label_map import read_label_map


class Yolo:
    """YOLO txt files; implements ``AnnotationFormat``."""

    def __init__(self, settings: DataSettings) -> None:
        self._settings = settings
        self._bad_input = settings.bad_input
        self._names_of_root: dict[str, dict[int, str]] = {}

    def sources(self, root: str) -> list[Source]:
        """One source an image folder or image list of a split."""
        if self._settings.annotations is not None:
            self._names(root)
            return named_sources(root, self._settings.annotations)
        path = _data_yaml(root)
        data = _read_yaml(files.join(root, path))
        sources = []
        for name, split in (("train", "train"), ("val", "eval"), ("valid", "eval"), ("test", "test")):
            entries = data.get(name) or []
            for entry in [entries] if isinstance(entries, str) else entries:
                relative = _resolve(root, path, str(data.get("path") or ""), str(entry))
                if relative is not None:
                    sources.append(Source(root, relative, split))
                elif name != "test":  # a test folder that was not shipped is common and harms nobody
                    raise DataError(f"{files.join(root, path)}: {name}: {entry} is not in the data folder {root}")
        if not sources:
            raise DataError(
                f"{files.join(root, path)}: expected `train`, `val` or `test` with a folder, found {list(data)}"
            )
        self._names(root)
        only = {source.split for source in sources}
        return [Source(root, s.path, s.split if len(only) > 1 or s.split == "test" else None) for s in sources]

    def items(self, source: Source) -> Iterator[Item | Finding]:
        """Images of a folder or list; then txt files that have no image."""
        sidecar = Sidecar(source.root, self._settings.columns_to_read)
        if source.path.endswith(".txt"):
            listed: Iterator[str | Finding] = self._of_list(source)
        else:
            listed = self._of_folder(source)
        label_paths: set[str] = set()
        for position, path in enumerate(listed):
            if isinstance(path, Finding):
                yield path
                continue
            label_paths.update(_label_paths(path))
            yield Item(
                key=source.key_prefix + path,
                name=path,
                split=source.split,
                root=source.root,
                order=(source.index, position),
                metadata=sidecar.of(path),
                file=path,
            )
        if source.path.endswith(".txt"):
            return
        labels_folder = _labels_folder(source.path)
        labels = 0
        for entry in _below(source.root, labels_folder, (".txt",)):
            if posixpath.splitext(posixpath.basename(entry))[0] in ("classes", "notes"):
                continue
            labels += 1
            if entry not in label_paths:
                yield self._bad_input.finding("missing_image", entry, "", f"no image in {source.path} looks here")
        beside = _below(source.root, source.path, (".txt",))
        if label_paths and not labels and not any(entry in label_paths for entry in beside):
            raise DataError(
                f"{files.join(source.root, source.path)}: images, but no txt file of theirs in {labels_folder}; "
                "expected labels in a folder `labels` beside `images`, or beside the images"
            )

    def load(self, items: Sequence[Item]) -> Iterator[LoadedImage | Finding]:
        """Reads image and txt file of each item."""
        for item in items:
            try:
                encoded = files.read_image(item.root, item.file, self._bad_input)
                yield LoadedImage(item, item.file, encoded, self._annotation(item.root, item.file))
            except RecordSkippedError as skipped:
                yield skipped.finding

    def _of_folder(self, source: Source) -> Iterator[str]:
        return _below(source.root, source.path, files.IMAGE_SUFFIXES)

    def _of_list(self, source: Source) -> Iterator[str | Finding]:
        folders = [posixpath.dirname(source.path), ""]
        for number, name in listed_lines(source):
            try:
                yield files.find_image(source.root, folders, name, self._bad_input, f"line {number}")
            except RecordSkippedError as skipped:
                yield skipped.finding

    def _annotation(self, root: str, path: str) -> ImageAnnotation:
        names = self._names(root)
        label_path = next((label for label in _label_paths(path) if files.exists(files.join(root, label))), None)
        if label_path is None:
            return ImageAnnotation((), normalized=True)
        try:
            lines = files.read_text(files.join(root, label_path)).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            finding = self._bad_input.finding("malformed_annotation", label_path, "", f"cannot be read: {error}")
            raise RecordSkippedError(finding) from error
        objects, findings = [], []
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    objects.append(parse_line(line, f"{label_path} line {number}", names))
                except ValueError as error:
                    found = str(error)
                    findings.append(self._bad_input.finding("malformed_box", label_path, f"line {number}", found))
        return ImageAnnotation(tuple(objects), normalized=True, findings=tuple(findings))

    def _names(self, root: str) -> dict[int, str]:
        """Class names by 0-based class number."""
        if root not in self._names_of_root:
            self._names_of_root[root] = self._read_names(root)
        return self._names_of_root[root]

    def _read_names(self, root: str) -> dict[int, str]:
        if self._settings.label_map is not None and not _data_yamls(root):
            return {number - 1: name for number, name in read_label_map(self._settings.label_map)}
        path = files.join(root, _data_yaml(root))
        names = _read_yaml(path).get("names")
        try:
            pairs = names.items() if isinstance(names, Mapping) else enumerate(names or [])
            by_number = {int(number): str(name) for number, name in pairs}
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: `names` must be a list, or a map of numbers to names: {error}") from error
        if not by_number:
            raise DataError(f"{path}: expected `names`: the class names in the order of their numbers; found none")
        return by_number


def parse_line(line: str, where: str, names: Mapping[int, str]) -> ObjectAnnotation:
    """An object of a line ``class cx cy width height [confidence]`` or ``class x1 y1 x2 y2 x3 y3 ...``.

    Raises:
      ValueError: the line is neither; the message shows it.
    """
    fields = line.split()
    try:
        numbers = [float(field) for field in fields]
    except ValueError as error:
        raise ValueError(
            f"{line[:80]!r} has something that is no number; expected: class cx cy width height"
        ) from error
    if len(numbers) in (5, 6):
        _, cx, cy, width, height = numbers[:5]
        box = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    elif len(numbers) >= 7 and len(numbers) % 2 == 1:
        xs, ys = numbers[1::2], numbers[2::2]
        box = (min(xs), min(ys), max(xs), max(ys))
    else:
        raise ValueError(f"{len(numbers)} numbers in {line[:80]!r}; expected: class cx cy width height")
    known = numbers[0].is_integer() and int(numbers[0]) in names
    number = int(numbers[0]) if known else -1
    return ObjectAnnotation(
        box_xyxy=box,
        class_name=names[number] if known else None,
        class_id=number + 1,
        class_found=f"class {fields[0]}",
        where=where,
    )


def _labels_folder(path: str) -> str:
    """The path with the last ``images`` component as ``labels``; unchanged when there is none."""
    parts = path.split("/")
    for position in range(len(parts) - 1, -1, -1):
        if parts[position].lower() == "images":
            return "/".join([*parts[:position], "labels", *parts[position + 1 :]])
    return path


def _label_paths(path: str) -> tuple[str, str]:
    """Where the txt file of an image may be, the first that exists counts: in ``labels``, beside the image."""
    return posixpath.splitext(_labels_folder(path))[0] + ".txt", posixpath.splitext(path)[0] + ".txt"


def _below(root: str, folder: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    for entry in files.list_files(files.join(root, folder)):
        if entry.path.lower().endswith(suffixes):
            yield posixpath.normpath(posixpath.join(folder, entry.path))


def _data_yamls(root: str) -> list[str]:
    return [e.path for e in files.list_files(root) if posixpath.basename(e.path).lower() in ("data.yaml", "data.yml")]


def _data_yaml(root: str) -> str:
    found = _data_yamls(root)
    if len(found) == 1:
        return found[0]
    what = f"several: {', '.join(found[:5])}; set data.path to one data set" if found else "none"
    raise DataError(f"{root}: expected one data.yaml with `names`, `train` and `val`, found {what}")


def _read_yaml(path: str) -> dict[str, Any]:
    try:
        data = yaml.safe_load(files.read_text(path))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(data, dict):
        raise DataError(f"{path}: expected a map with `names`, `train` and `val`, found {type(data).__name__}")
    return data


def _resolve(root: str, yaml_path: str, base: str, entry: str) -> str | None:
    """Path relative to the root of a folder that data.yaml names; None when it is not there."""
    folder = posixpath.dirname(yaml_path)
    without_climbing = entry
    while without_climbing.startswith("../"):
        without_climbing = without_climbing[3:]
    for start in dict.fromkeys((posixpath.join(folder, base) if not base.startswith("/") else base, folder)):
        for candidate in dict.fromkeys((entry, without_climbing)):
            try:
                relative = files.safe_relative(root, "", files.join(start, candidate))
            except files.PathOutsideError:
                continue
            if files.exists(files.join(root, relative)):
                return relative
    return None
