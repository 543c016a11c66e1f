"""COCO JSON: one file for each split, or one file for all.

Boxes are ``[x, y, width, height]`` in pixels of the annotated size. ``iscrowd`` and ``area`` are kept. Category ids are
kept as class ids when all are positive; otherwise (Roboflow starts at 0) classes are numbered in the order of ids from
1. Numbers that other tools write as text are read as numbers, ids too where they can be no other. Extra scalar fields
of an image entry are its metadata; the standard ones (licence, URLs, dates) are not.

A file is parsed once, in one place; segmentations are thrown away while it is being parsed, so that memory holds the
boxes only; where there is no ``bbox`` it becomes the extent of the polygon. Images without ``file_name`` are found by
their ``coco_url`` (LVIS). Unique image ids are a file's own matter: ids of a train and a val file may be the same
numbers.
"""

from __future__ import annotations

import json
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
from components.example_gen.coercion import Coercions, Id, IdTable, canonical_id, describe_ids, is_id, to_float, to_size
from components.example_gen.image_lookup import ImageFinder
from components.example_gen.metadata import Sidecar, scalars
from components.example_gen.polygons import extent, once
from components.example_gen.settings import BadInputSettings, DataSettings
from components.example_gen.sources import image_folders, load_files, named_sources, one_source_a_split
from components.findings import DROP, Finding
from schema.text import clean_name

_STANDARD_FIELDS: Final = frozenset(
    ("id", "file_name", "width", "height", "license", "flickr_url", "coco_url", "date_captured")
)
_PROBED_IMAGES: Final = 20
_POLYGON: Final = "\0polygon"
"""Key of an annotation whose bbox is the extent of its segmentation."""


class Coco:
    """COCO JSON files; implements ``AnnotationFormat``."""

    def __init__(self, settings: DataSettings) -> None:
        self._settings = settings
        self._bad_input = settings.bad_input
        self._finder = ImageFinder(settings)

    def sources(self, root: str) -> list[Source]:
        """One source a JSON file."""
        if self._settings.annotations is not None:
            return named_sources(root, self._settings.annotations, self._settings.split)
        found = [entry.path for entry in files.list_files(root) if entry.path.lower().endswith(".json")]
        instances = [path for path in found if posixpath.basename(path).startswith("instances_")]
        try:
            return one_source_a_split(root, instances or found, "COCO JSON files (*.json)")
        except DataError:  # captions and files of other tools lie beside
            narrowed = [path for path in found if not _is_something_else(files.join(root, path))]
            if found and not narrowed:
                _parse(files.join(root, found[0]))  # says what it is instead
            if instances or not narrowed or narrowed == found:
                raise
            return one_source_a_split(root, narrowed, "COCO JSON files (*.json)")

    def items(self, source: Source) -> Iterator[Item | Finding]:
        """Images of one JSON file with their boxes."""
        data = _parse(files.join(source.root, source.path))
        coercions = Coercions()
        categories = _Categories(data, files.join(source.root, source.path))
        yield from categories.findings(self._bad_input, source.path)
        images, others, ambiguous, findings = self._images(data.pop("images"), source, coercions)
        yield from findings
        ids, ambiguous_ids = IdTable((*images, *others)), IdTable(ambiguous)
        boxes: dict[Id, list[ObjectAnnotation]] = {image_id: [] for image_id in images}
        problems: dict[Id, list[Finding]] = {}
        polygons: dict[Id, list[Finding]] = {}
        for position, entry in enumerate(_drain(data.pop("annotations"))):
            where = f"annotation id {entry['id']}" if isinstance(entry, dict) and "id" in entry else None
            where = where or f"annotations[{position}]"
            asked = entry.get("image_id") if isinstance(entry, dict) else None
            image_id = ids.find(asked)
            if image_id is None:
                what = "no image's id" if ambiguous_ids.find(asked) is None else "the id of several images"
                found = f"image_id {asked!r} is {what}" if isinstance(entry, dict) else f"{str(entry)[:80]!r}"
                yield self._bad_input.finding("orphan_box", source.path, where, found)
                continue
            coercions.id("annotations[].image_id", asked, image_id)
            image_id = others.get(image_id, image_id)
            if _POLYGON in entry:
                finding = self._bad_input.finding("polygon_box", source.path, where, "a segmentation, but no bbox")
                polygons.setdefault(image_id, []).append(finding)
                if finding.treatment == DROP:
                    continue
            try:
                boxes[image_id].append(_object(entry, where, categories, coercions))
            except (KeyError, ValueError) as error:
                missing = f"no {error} in the annotation" if isinstance(error, KeyError) else str(error)
                found = f"{missing}; expected bbox [x, y, width, height] and category_id"
                problem = self._bad_input.finding("malformed_box", source.path, where, found)
                problems.setdefault(image_id, []).append(problem)

        folders = self._folders(source, images)
        sidecar = Sidecar(source.root, self._settings.columns_to_read)
        for position, (image_id, entry) in enumerate(images.items()):
            where = f"{source.path} image id {image_id}"
            try:
                image = self._finder.find(source.root, folders, str(entry["file_name"]), source.split, where)
            except RecordSkippedError as skipped:
                yield skipped.finding
                continue
            if image.finding is not None:
                yield image.finding
            extra = {name: value for name, value in entry.items() if name not in _STANDARD_FIELDS}
            yield Item(
                key=source.key_prefix + image.path,
                name=image.path,
                split=source.split,
                root=source.root,
                order=(source.index, position),
                metadata=sidecar.of(image.path) | scalars(extra, self._settings.columns_to_read),
                file=image.path,
                annotation=ImageAnnotation(
                    objects=tuple(boxes.pop(image_id)),
                    width_pixels=to_size(entry.get("width")),
                    height_pixels=to_size(entry.get("height")),
                    findings=(*problems.get(image_id, ()), *once(polygons.get(image_id, ()))),
                ),
            )
        yield from coercions.findings(self._bad_input, source.path)

    def load(self, items: Sequence[Item]) -> Iterator[LoadedImage | Finding]:
        """Reads the image files; annotations came with the items."""
        return load_files(items, self._bad_input)

    def _images(
        self, entries: list[Any], source: Source, coercions: Coercions
    ) -> tuple[dict[Id, dict[str, Any]], dict[Id, Id], set[Id], list[Finding]]:
        """Entries by id, further ids of the same images, ids of several images, and findings."""
        images: dict[Id, dict[str, Any]] = {}
        findings: list[Finding] = []
        ambiguous: dict[Id, list[str]] = {}
        for position, entry in enumerate(_drain(entries)):
            if isinstance(entry, dict) and "coco_url" in entry:
                entry.setdefault("file_name", entry["coco_url"])
            if not isinstance(entry, dict) or not is_id(entry.get("id")) or not is_id(entry.get("file_name")):
                found = f"{str(entry)[:120]}; expected an object with `id` and `file_name`"
                findings.append(
                    self._bad_input.finding("malformed_annotation", source.path, f"images[{position}]", found)
                )
                continue
            if not isinstance(entry["file_name"], str):
                coercions.note("images[].file_name", entry["file_name"], "text")
            for side in ("width", "height"):
                if isinstance(entry.get(side), str):
                    coercions.note(f"images[].{side}", entry[side], str(to_size(entry[side])))
            image_id, name = entry["id"], str(entry["file_name"])
            if image_id not in images:
                images[image_id] = entry
            elif str(images[image_id]["file_name"]) == name:
                found = f"image id {image_id} is listed again"
                findings.append(
                    self._bad_input.finding("duplicate_image", name, f"{source.path} images[{position}]", found)
                )
            else:
                ambiguous.setdefault(image_id, [str(images[image_id]["file_name"])]).append(name)
        for image_id, names in ambiguous.items():
            del images[image_id]
            for name in names:
                found = f"image id {image_id} stands for {', '.join(names)}"
                findings.append(self._bad_input.finding("ambiguous_image_id", name, source.path, found))
        # Converters write an image entry for each annotation.
        others: dict[Id, Id] = {}
        first_id: dict[tuple[str, str], Id] = {}
        for image_id, entry in images.items():
            picture = (str(entry["file_name"]), f"{entry.get('width')} x {entry.get('height')}")
            first = first_id.setdefault(picture, image_id)
            if first != image_id:
                others[image_id] = first
                coercions.note("images[].id", image_id, f"{first!r}, which has the same file_name")
        return {key: entry for key, entry in images.items() if key not in others}, others, set(ambiguous), findings

    def _folders(self, source: Source, images: dict[Id, dict[str, Any]]) -> list[str]:
        """Folders to look for images in, the one that has most of the first images ahead."""
        folders = image_folders(self._settings.images, source)
        probed = [str(entry["file_name"]) for entry in list(images.values())[:_PROBED_IMAGES]]

        def hits(folder: str) -> int:
            return sum(_exists_below(source.root, folder, name) for name in probed)

        return sorted(folders, key=hits, reverse=True)


def _exists_below(root: str, folder: str, name: str) -> bool:
    try:
        return files.exists(files.join(root, files.safe_relative(root, folder, name)))
    except files.PathOutsideError:
        return False


def _without_segmentation(entry: dict[str, Any]) -> dict[str, Any]:
    segmentation = entry.pop("segmentation", None)
    entry.pop("keypoints", None)
    if isinstance(segmentation, list) and "category_id" in entry and not entry.get("bbox"):
        parts = segmentation if all(isinstance(part, list) for part in segmentation) else [segmentation]
        try:
            numbers = [[to_float(value) for value in part] for part in parts]
            xmin, ymin, xmax, ymax = extent(
                [x for part in numbers for x in part[::2]], [y for part in numbers for y in part[1::2]]
            )
        except ValueError:  # no polygon: the annotation has no box
            return entry
        entry |= {"bbox": [xmin, ymin, xmax - xmin, ymax - ymin], _POLYGON: True}
    return entry


def _parse(path: str) -> dict[str, Any]:
    try:
        data = json.loads(files.read_text(path), object_hook=_without_segmentation)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON: {error}; expected a COCO annotation file") from error
    if not isinstance(data, dict) or not isinstance(data.get("images"), list) or "categories" not in data:
        found = ", ".join(data) if isinstance(data, dict) else type(data).__name__
        raise DataError(
            f"{path}: expected a COCO annotation file with `images`, `annotations` and `categories`, found {found}; "
            "name the right file in data.annotations"
        )
    if not isinstance(data.setdefault("annotations", []), list):
        raise DataError(f"{path}: `annotations` must be a list, found {str(data['annotations'])[:80]}")
    return data


def _is_something_else(path: str) -> bool:
    """Whether a file is JSON, but none of COCO's with categories; a damaged file could be anything."""
    try:
        data = json.loads(files.read_text(path), object_hook=_without_segmentation)
    except (OSError, ValueError, RecursionError):
        return False
    return not isinstance(data, dict) or "categories" not in data


def _drain(entries: list[Any]) -> Iterator[Any]:
    """Yields entries in order and frees each, so that the parsed file does not stay beside what is made of it."""
    entries.reverse()
    while entries:
        yield entries.pop()


class _Categories:
    """Names and 1-based class ids of a file's categories."""

    def __init__(self, data: dict[str, Any], path: str) -> None:
        """Reads them.

        Raises:
          DataError: an entry has no id or name, or one id has two names.
        """
        entries = data["categories"]
        if not isinstance(entries, list):
            raise DataError(f"{path}: `categories` must be a list, found {str(entries)[:80]}")
        self._names: dict[Id, str] = {}
        for position, entry in enumerate(entries):
            if not isinstance(entry, dict) or not is_id(entry.get("id")) or not is_id(entry.get("name")):
                found = str(entry)[:120]
                raise DataError(
                    f"{path}: categories[{position}]: every entry needs an `id` and a `name`, found {found}"
                )
            name = str(entry["name"])
            known = self._names.setdefault(entry["id"], name)
            if clean_name(known) != clean_name(name):
                raise DataError(f"{path}: categories[{position}]: id {entry['id']} is both {known!r} and {name!r}")
        self._ids = IdTable(self._names)
        self._of_name: dict[str, list[Id]] = {}
        for number, name in self._names.items():
            self._of_name.setdefault(clean_name(name), []).append(number)
        numbers = {number: canonical_id(number) for number in self._names}
        if all(isinstance(number, int) for number in numbers.values()):
            ordered = sorted(numbers, key=lambda number: (numbers[number], str(number)))
        else:
            ordered = sorted(numbers, key=str)
        self._class_ids = {number: position for position, number in enumerate(ordered, start=1)}
        whole = [number for number in numbers.values() if isinstance(number, int) and number > 0]
        if len(set(whole)) == len(numbers):
            self._class_ids = dict(zip(numbers, whole, strict=True))
        for first, *others in self._of_name.values():
            self._class_ids |= dict.fromkeys(others, self._class_ids[first])

    def findings(self, bad_input: BadInputSettings, path: str) -> Iterator[Finding]:
        """One for each name that several categories have."""
        for name, numbers in self._of_name.items():
            if len(numbers) > 1:
                found = f"{name!r} is the name of the ids {', '.join(map(str, numbers))}: read as one class"
                yield bad_input.finding("similar_names", path, "categories", found)

    def describe(self) -> str:
        """``1 to 3``: the ids there are."""
        return describe_ids(self._names)

    def find(self, asked: object, coercions: Coercions) -> tuple[str | None, int]:
        """Name and class id of a ``category_id``; None and 0 when there is none."""
        number = self._ids.find(asked)
        if number is None:
            return None, 0
        coercions.id("annotations[].category_id", asked, number)
        return self._names[number], self._class_ids[number]


def _object(entry: dict[str, Any], where: str, categories: _Categories, coercions: Coercions) -> ObjectAnnotation:
    bbox, category = entry["bbox"], entry["category_id"]
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise ValueError(f"bbox {str(bbox)[:80]!r}")
    x, y, width, height = (coercions.number("annotations[].bbox", value) for value in bbox)
    name, class_id = categories.find(category, coercions)
    return ObjectAnnotation(
        box_xyxy=(x, y, x + width, y + height),
        class_name=name,
        class_id=class_id,
        class_found=f"category_id {category!r}"
        + ("" if name is not None else f"; the ids of categories are {categories.describe()}"),
        is_crowd=coercions.flag("annotations[].iscrowd", entry.get("iscrowd", 0)),
        area_pixels=_area(entry.get("area")),
        where=where,
    )


def _area(value: object) -> float | None:
    """Area as the file has it; None, which is the box's, where it has none that can be one."""
    try:
        area = to_float(value)
    except ValueError:
        return None
    return area if 0 <= area < float("inf") else None
