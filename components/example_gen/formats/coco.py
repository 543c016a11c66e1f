"""COCO JSON: one file for each split, or one file for all.

Boxes are ``[x, y, width, height]`` in pixels of the annotated size. ``iscrowd`` and ``area`` are kept. Category ids are
kept as class ids when all are positive; otherwise (Roboflow starts at 0) classes are numbered in the order of ids from
1. Extra scalar fields of an image entry are its metadata; the standard ones (licence, URLs, dates) are not.

A file is parsed once, in one place; segmentations are thrown away while it is being parsed, so that memory holds the
boxes only. Unique image ids are a file's own matter: ids of a train and a val file may be the same numbers.
"""

from __future__ import annotations

import json
import math
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any, Final

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
from components.example_gen.metadata import Sidecar, scalars
from components.example_gen.settings import DataSettings
from components.example_gen.sources import image_folders, load_files, named_sources, one_source_a_split
from components.findings import Finding

_STANDARD_FIELDS: Final = frozenset(
    ("id", "file_name", "width", "height", "license", "flickr_url", "coco_url", "date_captured")
)
_PROBED_IMAGES: Final = 20


class Coco:
    """COCO JSON files; implements ``AnnotationFormat``."""

    def __init__(self, settings: DataSettings) -> None:
        self._settings = settings
        self._bad_input = settings.bad_input

    def sources(self, root: str) -> list[Source]:
        """One source a JSON file."""
        if self._settings.annotations is not None:
            return named_sources(root, self._settings.annotations)
        found = [entry.path for entry in files.list_files(root) if entry.path.lower().endswith(".json")]
        instances = [path for path in found if posixpath.basename(path).startswith("instances_")]
        return one_source_a_split(root, instances or found, "COCO JSON files (*.json)")

    def items(self, source: Source) -> Iterator[Item | Finding]:
        """Images of one JSON file with their boxes."""
        data = _parse(files.join(source.root, source.path))
        label_names, class_ids = _categories(data, source.path)
        images, findings = self._images(data.pop("images"), source)
        yield from findings
        boxes: dict[Any, list[ObjectAnnotation]] = {image_id: [] for image_id in images}
        problems: dict[Any, list[Finding]] = {}
        for entry in _drain(data.pop("annotations", [])):
            image_id = entry.get("image_id") if isinstance(entry, dict) else None
            where = f"annotation id {entry.get('id')}" if isinstance(entry, dict) else "annotations"
            if not _hashable(image_id) or image_id not in boxes:
                found = f"image_id {image_id!r} is no image's id"
                yield self._bad_input.finding("orphan_box", source.path, where, found)
                continue
            try:
                boxes[image_id].append(_object(entry, where, label_names, class_ids))
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                found = f"{type(error).__name__}: {error}; expected bbox [x, y, width, height] and category_id"
                problem = self._bad_input.finding("malformed_box", source.path, where, found)
                problems.setdefault(image_id, []).append(problem)

        folders = self._folders(source, images)
        sidecar = Sidecar(source.root, self._settings.columns_to_read)
        for position, (image_id, entry) in enumerate(images.items()):
            where = f"image id {image_id}"
            try:
                path = files.find_image(source.root, folders, entry["file_name"], self._bad_input, where)
            except RecordSkippedError as skipped:
                yield skipped.finding
                continue
            extra = {name: value for name, value in entry.items() if name not in _STANDARD_FIELDS}
            yield Item(
                key=source.key_prefix + path,
                name=path,
                split=source.split,
                root=source.root,
                order=(source.index, position),
                metadata=sidecar.of(path) | scalars(extra, self._settings.columns_to_read),
                file=path,
                annotation=ImageAnnotation(
                    objects=tuple(boxes.pop(image_id)),
                    width_pixels=_size(entry.get("width")),
                    height_pixels=_size(entry.get("height")),
                    findings=tuple(problems.get(image_id, ())),
                ),
            )

    def load(self, items: Sequence[Item]) -> Iterator[LoadedImage | Finding]:
        """Reads the image files; annotations came with the items."""
        return load_files(items, self._bad_input)

    def _images(self, entries: list[Any], source: Source) -> tuple[dict[Any, dict[str, Any]], list[Finding]]:
        images: dict[Any, dict[str, Any]] = {}
        findings: list[Finding] = []
        ambiguous: dict[Any, list[str]] = {}
        for position, entry in enumerate(_drain(entries)):
            if (
                not isinstance(entry, dict)
                or not _hashable(entry.get("id"))
                or not isinstance(entry.get("file_name"), str)
            ):
                found = f"{str(entry)[:120]}; expected an object with `id` and `file_name`"
                findings.append(
                    self._bad_input.finding("malformed_annotation", source.path, f"images[{position}]", found)
                )
                continue
            image_id, name = entry["id"], entry["file_name"]
            if image_id not in images:
                images[image_id] = entry
            elif images[image_id]["file_name"] == name:
                found = f"image id {image_id} is listed again"
                findings.append(
                    self._bad_input.finding("duplicate_image", name, f"{source.path} images[{position}]", found)
                )
            else:
                ambiguous.setdefault(image_id, [images[image_id]["file_name"]]).append(name)
        for image_id, names in ambiguous.items():
            del images[image_id]
            for name in names:
                found = f"image id {image_id} stands for {', '.join(names)}"
                findings.append(self._bad_input.finding("ambiguous_image_id", name, source.path, found))
        return images, findings

    def _folders(self, source: Source, images: dict[Any, dict[str, Any]]) -> list[str]:
        """Folders to look for images in, the one that has most of the first images ahead."""
        folders = image_folders(self._settings.images, source)
        probed = [entry["file_name"] for entry in list(images.values())[:_PROBED_IMAGES]]

        def hits(folder: str) -> int:
            return sum(_exists_below(source.root, folder, name) for name in probed)

        return sorted(folders, key=hits, reverse=True)


def _exists_below(root: str, folder: str, name: str) -> bool:
    try:
        return files.exists(files.join(root, files.safe_relative(root, folder, name)))
    except files.PathOutsideError:
        return False


def _without_segmentation(entry: dict[str, Any]) -> dict[str, Any]:
    entry.pop("segmentation", None)
    entry.pop("keypoints", None)
    return entry


def _parse(path: str) -> dict[str, Any]:
    try:
        data = json.loads(files.read_text(path), object_hook=_without_segmentation)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON: {error}; expected a COCO annotation file") from error
    if not isinstance(data, dict) or not isinstance(data.get("images"), list) or "categories" not in data:
        found = ", ".join(data) if isinstance(data, dict) else type(data).__name__
        raise DataError(
            f"{path}: expected a COCO annotation file with `images`, `annotations` and `categories`, found {found}; "
            "name the right file in data.annotations"
        )
    return data


def _drain(entries: list[Any]) -> Iterator[Any]:
    """Yields entries in order and frees each, so that the parsed file does not stay beside what is made of it."""
    entries.reverse()
    while entries:
        yield entries.pop()


def _categories(data: dict[str, Any], path: str) -> tuple[dict[Any, str], dict[Any, int]]:
    try:
        names = {entry["id"]: str(entry["name"]) for entry in data["categories"]}
        ordered = sorted(names)
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: every entry of `categories` needs an `id` and a `name`: {error!r}") from error
    if all(isinstance(number, int) and number > 0 for number in ordered):
        return names, {number: number for number in ordered}
    return names, {number: position for position, number in enumerate(ordered, start=1)}


def _object(entry: dict[str, Any], where: str, names: dict[Any, str], class_ids: dict[Any, int]) -> ObjectAnnotation:
    x, y, width, height = (float(value) for value in entry["bbox"])
    category, area = entry["category_id"], entry.get("area")
    if isinstance(area, (int, float)) and not (math.isfinite(area) and area >= 0):
        area = None
    known = _hashable(category) and category in names
    return ObjectAnnotation(
        box_xyxy=(x, y, x + width, y + height),
        class_name=names[category] if known else None,
        class_id=class_ids[category] if known else 0,
        class_found=f"category_id {category!r}",
        is_crowd=bool(entry.get("iscrowd", 0)),
        area_pixels=None if area is None else float(area),
        where=where,
    )


def _size(value: object) -> int | None:
    return int(value) if isinstance(value, (int, float)) and math.isfinite(value) and value > 0 else None


def _hashable(value: object) -> bool:
    return isinstance(value, (int, str))
