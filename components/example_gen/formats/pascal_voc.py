"""Pascal VOC: one XML file an image, and split lists in ``ImageSets/Main`` where there are any.

Layouts: a devkit (``Annotations``, ``JPEGImages``, ``ImageSets/Main/{train,val,trainval,test}.txt``, possibly nested or
several side by side), or XML files beside their images or in a folder beside theirs, possibly in folders that a split
is named after. The XML's own name finds the image (in a devkit the image id), and ``<filename>`` where it leads
nowhere: people rename files, and tools write the path of the machine they ran on. ``trainval`` is read only where
``train`` and ``val`` are not both there. Lists of one class (``car_train.txt``) are not splits.

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
from components.example_gen.coercion import Coercions, to_flag, to_float, to_size
from components.example_gen.image_lookup import FoundImage, ImageFinder, exact_image, same_stem, without_image_suffix
from components.example_gen.metadata import Sidecar
from components.example_gen.settings import DataSettings
from components.example_gen.sources import given_folders, listed_lines, named_sources
from components.example_gen.splits import SPLIT_ALIASES, split_of_name, splits_of_folders
from components.findings import Finding

_MAIN: Final = "/imagesets/main"
_CLASS_VALUES: Final = ("-1", "0", "1")
"""Second column of a devkit's list of one class."""
_BOX_FIELDS: Final = ("xmin", "ymin", "xmax", "ymax")


class PascalVoc:
    """Pascal VOC XML files; implements ``AnnotationFormat``."""

    def __init__(self, settings: DataSettings) -> None:
        self._settings = settings
        self._bad_input = settings.bad_input
        self._finder = ImageFinder(settings)

    def sources(self, root: str) -> list[Source]:
        """One source an ImageSets file; without them one source a folder called as a split, or one for all."""
        if self._settings.annotations is not None:
            return named_sources(root, self._settings.annotations, self._settings.split)
        lists: dict[str, list[str]] = {}
        for entry in files.list_files(root):
            folder, name = posixpath.split(entry.path)
            if name.lower().endswith(".txt") and ("/" + folder.lower()).endswith(_MAIN):
                lists.setdefault(folder, []).append(entry.path)
        xml_splits = set(_xml_splits(root, "").values())
        if not xml_splits:
            raise DataError(f"no Pascal VOC XML files found in {root}; check data.path and data.format")
        order = ("train", "eval", "test")
        if lists:
            sources = [source for _, paths in sorted(lists.items()) for source in _list_sources(root, paths)]
            return sorted(sources, key=lambda source: (order.index(str(source.split)), source.path))
        named = [split for split in order if split in xml_splits]
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
                path, annotation = self._annotation(item)
                yield LoadedImage(item, path, files.read_image(item.root, path, self._bad_input), annotation)
            except RecordSkippedError as skipped:
                yield skipped.finding

    def _of_list(self, source: Source) -> Iterator[tuple[str, str] | Finding]:
        base = source.path[: max(source.path.lower().rfind("imagesets/"), 0)]
        for number, line in listed_lines(source):
            image_id, _, value = line.rpartition(" ")
            image_id = without_image_suffix(image_id.strip() if value in _CLASS_VALUES and image_id else line)
            try:
                xml_path = files.safe_relative(source.root, base + "Annotations", image_id + ".xml")
            except files.PathOutsideError as error:
                yield self._bad_input.finding("path_outside", source.path, f"line {number}", str(error))
                continue
            if not files.exists(files.join(source.root, xml_path)):
                elsewhere = self._finder.tree(source.root).called(posixpath.basename(xml_path), (".xml",))
                xml_path = elsewhere[0] if len(elsewhere) == 1 else xml_path
            yield xml_path, image_id

    def _of_folder(self, source: Source) -> Iterator[tuple[str, str]]:
        explicit = self._settings.annotations is not None
        splits = _xml_splits(source.root, source.path)
        for entry in files.list_files(files.join(source.root, source.path)):
            path = posixpath.join(source.path, entry.path)
            if path.lower().endswith(".xml") and (explicit or splits[posixpath.dirname(path)] == source.split):
                yield path, ""

    def _annotation(self, item: Item) -> tuple[str, ImageAnnotation]:
        """Image path and annotation of one XML file."""
        root, xml_path = item.root, item.file
        if not files.exists(files.join(root, xml_path)):
            found = f"image {item.image_id} has no {xml_path}"
            finding = self._bad_input.finding("missing_annotation", xml_path, "", found)
            if finding.loses_record:
                raise RecordSkippedError(finding)
            folders = self._image_folders(item)
            image = self._finder.find(root, folders, item.image_id, item.split, xml_path)
            return image.path, ImageAnnotation((), findings=(finding,))
        try:
            tree = fromstring(files.read_bytes(files.join(root, xml_path)))
        except (OSError, ParseError, DefusedXmlException, ValueError, LookupError) as error:
            found = f"XML {'cannot be read' if isinstance(error, OSError) else 'does not parse'}: {error}"
            raise RecordSkippedError(self._bad_input.finding("malformed_annotation", xml_path, "", found)) from error
        image = self._image(item, (tree.findtext("filename") or "").strip())
        coercions = Coercions()
        objects, findings = [], [] if image.finding is None else [image.finding]
        for number, element in enumerate(tree.iter("object"), start=1):
            try:
                objects.append(self._object(element, f"object {number}", coercions))
            except ValueError as error:
                findings.append(self._bad_input.finding("malformed_box", xml_path, f"object {number}", str(error)))
        findings += coercions.findings(self._bad_input, xml_path)
        return image.path, ImageAnnotation(
            objects=tuple(objects),
            width_pixels=to_size(tree.findtext("size/width")),
            height_pixels=to_size(tree.findtext("size/height")),
            findings=tuple(findings),
        )

    def _image(self, item: Item, filename: str) -> FoundImage:
        """The image of the XML's own name, with a finding where ``<filename>`` is another; else that of the latter."""
        folders = self._image_folders(item)
        own_name = item.image_id or posixpath.splitext(posixpath.basename(item.file))[0]
        own = exact_image(item.root, folders, own_name)
        if own is None and (not filename or exact_image(item.root, folders, filename) is None):
            own = self._finder.only_elsewhere(item.root, own_name, item.split)
        if own is None:
            return self._finder.find(item.root, folders, filename or own_name, item.split, item.file)
        if item.image_id or not filename or same_stem(filename, own_name):
            return FoundImage(own)
        found = f"{filename!r}, another name than the file's own; read {own}"
        finding = self._bad_input.finding("filename_differs", item.file, "<filename>", found)
        if finding.loses_record:
            raise RecordSkippedError(finding)
        if finding.treatment == "filename":
            return self._finder.find(item.root, folders, filename, item.split, item.file)
        return FoundImage(own, finding)

    def _image_folders(self, item: Item) -> list[str]:
        given = given_folders(self._settings.images, item.split)
        if given is not None:
            return given
        folder = posixpath.dirname(item.file)
        folders = [folder, posixpath.join(folder, "images")]
        parts = folder.split("/")
        annotations = [index for index, part in enumerate(parts) if part.lower().startswith("annot")]
        if annotations:
            position = annotations[-1]
            beside = [
                path
                for name in ("JPEGImages", "images", "Images")
                for path in (
                    "/".join([*parts[:position], name, *parts[position + 1 :]]),
                    "/".join([*parts[:position], name]),
                )
            ]
            folders = [*beside, *folders, "/".join(parts[:position])]
        return list(dict.fromkeys([*folders, "", "images"]))

    def _object(self, element: Element, where: str, coercions: Coercions) -> ObjectAnnotation:
        name = (element.findtext("name") or "").strip()
        box = element.find("bndbox")
        if box is None or not name:
            raise ValueError(
                f"expected <name> and <bndbox>, found {', '.join(child.tag for child in element) or 'nothing'}"
            )
        try:
            xmin, ymin, xmax, ymax = (to_float(box.findtext(field) or "") for field in _BOX_FIELDS)
        except ValueError as error:
            texts = [box.findtext(field) for field in _BOX_FIELDS]
            raise ValueError(f"expected numbers in <xmin> <ymin> <xmax> <ymax>, found {texts}: {error}") from error
        difficult = (element.findtext("difficult") or "").strip()
        is_difficult = to_flag(difficult)
        if difficult not in ("", "0", "1"):
            coercions.note("<difficult>", difficult, str(int(is_difficult)))
        first = self._settings.voc_first_pixel
        return ObjectAnnotation(
            box_xyxy=(xmin - first, ymin - first, xmax, ymax),
            class_name=name,
            class_found=name,
            is_difficult=is_difficult,
            where=where,
        )


def _xml_splits(root: str, folder: str) -> dict[str, str | None]:
    """Split of each folder that holds XML files, below a folder of the data folder."""
    paths = (posixpath.join(folder, entry.path) for entry in files.list_files(files.join(root, folder)))
    return splits_of_folders({posixpath.dirname(path) for path in paths if path.lower().endswith(".xml")})


def _list_sources(root: str, paths: Sequence[str]) -> list[Source]:
    """Sources of one ImageSets/Main folder: lists called exactly like a split, else one list a split by their words.

    Raises:
      DataError: none of the lists can be taken for a split's.
    """
    by_name = {posixpath.splitext(posixpath.basename(path))[0].lower(): path for path in paths}
    exact = {name: path for name, path in by_name.items() if name in SPLIT_ALIASES}
    if not exact:
        worded = [(split, path) for path in paths if (split := split_of_name(posixpath.basename(path)))]
        if not worded or len(dict(worded)) < len(worded):
            raise DataError(
                f"{files.join(root, posixpath.dirname(paths[0]))}: which list is which split? Expected train.txt, "
                f"val.txt, test.txt, found {', '.join(posixpath.basename(path) for path in paths[:5])}; "
                "say which to read in data.annotations: {train: PATH, eval: PATH}"
            )
        return [Source(root, path, split) for split, path in worded]
    halves = any(SPLIT_ALIASES[name] == "train" and name != "trainval" for name in exact) and any(
        SPLIT_ALIASES[name] == "eval" for name in exact
    )
    return [
        Source(root, path, SPLIT_ALIASES[name]) for name, path in exact.items() if not (name == "trainval" and halves)
    ]
