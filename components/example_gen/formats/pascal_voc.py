"""Pascal VOC: one XML file an image, and split lists in ``ImageSets/Main`` where there are any.

Layouts: a devkit (``Annotations``, ``JPEGImages``, ``ImageSets/Main/{train,val,trainval,test}.txt``, possibly nested or
several side by side), or XML files beside their images, possibly in ``train``/``valid``/``test`` folders. In a devkit
the image id finds the image; elsewhere ``<filename>`` does, and the XML's own name if that leads nowhere. ``trainval``
is read only where ``train`` and ``val`` are not both there. Lists of one class (``car_train.txt``) are not splits.

Coordinates are taken as box edges unless ``data.voc_first_pixel`` is 1, see there. ``difficult`` is kept.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

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
from components.example_gen.splits import SPLIT_ALIASES, split_of_folders
from components.findings import Finding

_MAIN: Final = "ImageSets/Main"
_BOX_FIELDS: Final = ("xmin", "ymin", "xmax", "ymax")


class PascalVoc:
    """Pascal VOC XML files; implements ``AnnotationFormat``."""

    def __init__(self, settings: DataSettings) -> None:
        self._settings = settings
        self._bad_input = settings.bad_input

    def sources(self, root: str) -> list[Source]:
        """One source an ImageSets file; without them one source a folder called as a split, or one for all."""
        if self._settings.annotations is not None:
            return named_sources(root, self._settings.annotations)
        lists: dict[str, dict[str, str]] = {}
        xml_splits: set[str | None] = set()
        for entry in files.list_files(root):
            folder, name = posixpath.split(entry.path)
            stem, suffix = posixpath.splitext(name)
            if suffix == ".txt" and stem in SPLIT_ALIASES and (folder == _MAIN or folder.endswith("/" + _MAIN)):
                lists.setdefault(folder, {})[stem] = entry.path
            elif suffix.lower() == ".xml":
                xml_splits.add(split_of_folders(folder))
        if not xml_splits:
            raise DataError(f"no Pascal VOC XML files found in {root}; check data.path and data.format")
        if lists:
            sources = []
            for _, by_name in sorted(lists.items()):
                halves = any(SPLIT_ALIASES[name] == "train" and name != "trainval" for name in by_name) and any(
                    SPLIT_ALIASES[name] == "eval" for name in by_name
                )
                for name, path in by_name.items():
                    if not (name == "trainval" and halves):
                        sources.append(Source(root, path, SPLIT_ALIASES[name]))
            order = ("train", "eval", "test")
            return sorted(sources, key=lambda source: (order.index(str(source.split)), source.path))
        named = [split for split in ("train", "eval", "test") if split in xml_splits]
        return [Source(root, "", split) for split in (*named, *((None,) if None in xml_splits else ()))]

    def items(self, source: Source) -> Iterator[Item | Finding]:
        """Images of an ImageSets file, or the XML files below a folder."""
        sidecar = Sidecar(source.root, self._settings.columns_to_read)
        listed = self._of_list(source) if source.path.endswith(".txt") else self._of_folder(source)
        for position, entry in enumerate(listed):
            if isinstance(entry, Finding):
                yield entry
                continue
            xml_path, image_id = entry
            stem = posixpath.splitext(xml_path)[0]
            yield Item(
                key=source.key_prefix + stem,
                name=stem,
                split=source.split,
                root=source.root,
                order=(source.index, position),
                metadata=sidecar.of(stem),
                file=xml_path,
                image_id=image_id,
            )

    def load(self, items: Sequence[Item]) -> Iterator[LoadedImage | Finding]:
        """Reads XML and image of each item."""
        for item in items:
            try:
                path, annotation = self._annotation(item.root, item.file, item.image_id)
                yield LoadedImage(item, path, files.read_image(item.root, path, self._bad_input), annotation)
            except RecordSkippedError as skipped:
                yield skipped.finding

    def _of_list(self, source: Source) -> Iterator[tuple[str, str] | Finding]:
        base = source.path.rpartition("ImageSets/")[0]
        for number, image_id in listed_lines(source):
            try:
                yield files.safe_relative(source.root, base + "Annotations", image_id + ".xml"), image_id
            except files.PathOutsideError as error:
                yield self._bad_input.finding("path_outside", source.path, f"line {number}", str(error))

    def _of_folder(self, source: Source) -> Iterator[tuple[str, str]]:
        explicit = self._settings.annotations is not None
        for entry in files.list_files(files.join(source.root, source.path)):
            path = posixpath.join(source.path, entry.path)
            if path.lower().endswith(".xml") and (
                explicit or split_of_folders(posixpath.dirname(path)) == source.split
            ):
                yield path, ""

    def _annotation(self, root: str, xml_path: str, image_id: str) -> tuple[str, ImageAnnotation]:
        """Image path and annotation of one XML file."""
        if not files.exists(files.join(root, xml_path)):
            found = f"image {image_id} has no {xml_path}"
            finding = self._bad_input.finding("missing_annotation", xml_path, "", found)
            if finding.loses_record:
                raise RecordSkippedError(finding)
            folders = self._image_folders(xml_path)
            path = files.find_image(root, folders, image_id, self._bad_input, xml_path)
            return path, ImageAnnotation((), findings=(finding,))
        try:
            tree = fromstring(files.read_bytes(files.join(root, xml_path)))
        except (OSError, ParseError, DefusedXmlException, ValueError, LookupError) as error:
            found = f"XML {'cannot be read' if isinstance(error, OSError) else 'does not parse'}: {error}"
            raise RecordSkippedError(self._bad_input.finding("malformed_annotation", xml_path, "", found)) from error
        path = self._image_path(root, xml_path, image_id, (tree.findtext("filename") or "").strip())
        objects, findings = [], []
        for number, element in enumerate(tree.iter("object"), start=1):
            try:
                objects.append(self._object(element, f"object {number}"))
            except ValueError as error:
                findings.append(self._bad_input.finding("malformed_box", xml_path, f"object {number}", str(error)))
        return path, ImageAnnotation(
            objects=tuple(objects),
            width_pixels=_size(tree, "width"),
            height_pixels=_size(tree, "height"),
            findings=tuple(findings),
        )

    def _image_path(self, root: str, xml_path: str, image_id: str, filename: str) -> str:
        folders = self._image_folders(xml_path)
        if filename:
            try:  # a name that climbs out is refused even where the id would find an image
                files.safe_relative(root, folders[0], filename)
            except files.PathOutsideError as error:
                raise RecordSkippedError(
                    self._bad_input.finding("path_outside", xml_path, "<filename>", str(error))
                ) from error
        stem = posixpath.splitext(posixpath.basename(xml_path))[0]
        names = [image_id, filename] if image_id else [filename, stem]
        for name in names[:-1]:
            if name:
                try:
                    return files.find_image(root, folders, name, self._bad_input, xml_path)
                except RecordSkippedError:
                    continue  # the last name decides what the finding says
        return files.find_image(root, folders, names[-1] or stem, self._bad_input, xml_path)

    def _image_folders(self, xml_path: str) -> list[str]:
        if self._settings.images is not None:
            return [self._settings.images]
        folder = posixpath.dirname(xml_path)
        folders = []
        parts = folder.split("/")
        if "Annotations" in parts or "annotations" in parts:
            position = max(index for index, part in enumerate(parts) if part.lower() == "annotations")
            for name in ("JPEGImages", "images", "Images"):
                folders.append("/".join([*parts[:position], name, *parts[position + 1 :]]))
                folders.append("/".join([*parts[:position], name]))
        return list(dict.fromkeys([*folders, folder, posixpath.join(folder, "images"), "", "images"]))

    def _object(self, element: Element, where: str) -> ObjectAnnotation:
        name = (element.findtext("name") or "").strip()
        box = element.find("bndbox")
        if box is None or not name:
            raise ValueError(
                f"expected <name> and <bndbox>, found {', '.join(child.tag for child in element) or 'nothing'}"
            )
        texts = [(box.findtext(field) or "").strip() for field in _BOX_FIELDS]
        try:
            xmin, ymin, xmax, ymax = (float(text) for text in texts)
        except ValueError as error:
            raise ValueError(f"expected numbers in <xmin> <ymin> <xmax> <ymax>, found {texts}") from error
        first = self._settings.voc_first_pixel
        return ObjectAnnotation(
            box_xyxy=(xmin - first, ymin - first, xmax, ymax),
            class_name=name,
            class_found=name,
            is_difficult=(element.findtext("difficult") or "0").strip() == "1",
            where=where,
        )


def _size(tree: Element, field: str) -> int | None:
    try:
        value = int(float(tree.findtext(f"size/{field}") or "0"))
    except (ValueError, OverflowError):
        return None
    return value if value > 0 else None
