"""Pascal VOC: one XML file an image, and split lists in ``ImageSets/Main`` where there are any.

Layouts: a devkit (``Annotations``, ``JPEGImages``, ``ImageSets/Main/{train,val,trainval,test}.txt``, possibly nested or
several side by side; the lists may lie in ``ImageSets`` or in the data folder, too), or XML files beside their images
or in a folder beside theirs, possibly in folders that a split is named after. The XML's own name finds the image (in a
devkit the image id), and ``<filename>`` where it leads nowhere: people rename files, and tools write the path of the
machine they ran on. ``trainval`` is read only where ``train`` and ``val`` are not both there. Lists of one class
(``car_train.txt``) are not splits.

Coordinates are taken as box edges unless ``data.voc_first_pixel`` is 1, see there. ``difficult`` is kept. Objects
within objects are parts of them, and none. Tags may be in capitals. A second XML file of one picture is a
``duplicate_image``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import posixpath
import re
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
from components.example_gen.boxes import Box
from components.example_gen.coercion import Coercions, to_flag, to_float, to_size
from components.example_gen.image_lookup import (
    FoundImage,
    ImageFinder,
    base_name,
    exact_image,
    same_stem,
    without_image_suffix,
)
from components.example_gen.metadata import Sidecar
from components.example_gen.polygons import extent, extent_of_turned, once
from components.example_gen.settings import DataSettings
from components.example_gen.sources import given_folders, listed_lines, named_sources
from components.example_gen.splits import SPLIT_ALIASES, split_of_name, splits_of_folders
from components.findings import DROP, Finding

_LIST_FOLDERS: Final = (re.compile(r"(.*/)?imagesets/main"), re.compile(r"(.*/)?imagesets"), re.compile(""))
"""Where lists of images are, in lower case; the first that has any counts."""
_TWO_COLUMNS: Final = re.compile(r".+\.\w+\s+(.+\.xml)", re.IGNORECASE)
"""A line of a list that names the image and its XML file."""
_ENCODING: Final = re.compile(rb"<\?xml[^>]*\sencoding\s*=\s*[\"']([\w.-]+)")
_CLASS_VALUES: Final = ("-1", "0", "1")
"""Second column of a devkit's list of one class."""
_SHAPES: Final = ("bndbox", "polygon", "robndbox")
_BOX_FIELDS: Final = ("xmin", "ymin", "xmax", "ymax")
_TURNED_FIELDS: Final = ("cx", "cy", "w", "h", "angle")
_POINT: Final = re.compile(r"[xy]\d*")


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
        lists = _lists(root)
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
            item = Item(
                key=stem,
                name=stem,
                split=source.split,
                root=source.root,
                order=(source.index, position),
                metadata=sidecar.of(stem),
                file=xml_path,
                image_id=image_id,
            )
            yield dataclasses.replace(item, key=source.key_prefix + self._key(item))

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
            try:
                yield self._listed(source.root, base, line)
            except files.PathOutsideError as error:
                yield self._bad_input.finding("path_outside", source.path, f"line {number}", str(error))

    def _listed(self, root: str, base: str, line: str) -> tuple[str, str]:
        """XML file and image id that a line of a list means: an id, or a path of image or XML, or both.

        Raises:
          PathOutsideError: the path leads out of the data folder, and no XML file in there is called so.
        """
        image_id, _, value = line.rpartition(" ")
        both = _TWO_COLUMNS.fullmatch(line)
        image_id = both[1] if both else image_id.strip() if value in _CLASS_VALUES and image_id else line
        image_id = image_id[:-4] if image_id.lower().endswith(".xml") else without_image_suffix(image_id)
        for folder in (base + "Annotations", base):
            with contextlib.suppress(files.PathOutsideError):
                xml_path = files.safe_relative(root, folder, image_id + ".xml")
                if files.exists(files.join(root, xml_path)):
                    return xml_path, posixpath.splitext(posixpath.basename(xml_path))[0] if both else image_id
        elsewhere = self._finder.tree(root).called(base_name(image_id) + ".xml", (".xml",))
        if len(elsewhere) == 1:
            return elsewhere[0], base_name(image_id)
        return files.safe_relative(root, base + "Annotations", image_id + ".xml"), image_id

    def _key(self, item: Item) -> str:
        """What identifies the picture: the XML's path without suffix, the same for all XML files of one picture.

        An XML file has a picture of its own where both names are unique and the folders fit. Only the others are read
        to know which they mean.
        """
        tree, stem = self._finder.tree(item.root), item.key
        own = tree.called(posixpath.basename(stem) + ".xml", (".xml",)), self._called(item.root, stem)
        has_own = len(own[0]) == len(own[1]) == 1 and posixpath.dirname(own[1][0]) in self._image_folders(item)
        if (has_own and self._bad_input.filename_differs != "filename") or item.file not in own[0]:
            return stem
        try:
            image = self._image(item, _filename(self._tree(item.root, item.file))).path
        except RecordSkippedError:  # said when it is loaded
            return stem
        image_stem = posixpath.splitext(image)[0]
        owners = tree.called(posixpath.basename(image_stem) + ".xml", (".xml",))
        is_unique = len(owners) == 1 and len(self._called(item.root, image_stem)) == 1
        return posixpath.splitext(owners[0])[0] if is_unique else image_stem

    def _called(self, root: str, stem: str) -> list[str]:
        """Images that are called as an XML file is."""
        return self._finder.tree(root).called(posixpath.basename(stem) + files.IMAGE_SUFFIXES[0], files.IMAGE_SUFFIXES)

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
        tree = self._tree(root, xml_path)
        image = self._image(item, _filename(tree))
        coercions = Coercions()
        objects, findings, polygons = [], [] if image.finding is None else [image.finding], []
        for number, element in enumerate(_objects(tree), start=1):
            where = f"object {number}"
            try:
                entry, shape = self._object(element, where, coercions)
            except ValueError as error:
                findings.append(self._bad_input.finding("malformed_box", xml_path, where, str(error)))
                continue
            if shape != "bndbox":
                polygons.append(self._bad_input.finding("polygon_box", xml_path, where, f"<{shape}>, but no <bndbox>"))
                if polygons[-1].treatment == DROP:
                    continue
            objects.append(entry)
        findings += once(polygons)
        findings += coercions.findings(self._bad_input, xml_path)
        return image.path, ImageAnnotation(
            objects=tuple(objects),
            width_pixels=to_size(tree.findtext("size/width")),
            height_pixels=to_size(tree.findtext("size/height")),
            findings=tuple(findings),
        )

    def _tree(self, root: str, xml_path: str) -> Element:
        """The root element of an XML file.

        Raises:
          RecordSkippedError: ``malformed_annotation``.
        """
        try:
            tree = _parsed(files.read_bytes(files.join(root, xml_path)))
            found = "" if tree.tag == "annotation" else f"expected <annotation>, one file an image; found <{tree.tag}>"
        except (OSError, ParseError, DefusedXmlException, ValueError, LookupError) as error:
            found = f"XML {'cannot be read' if isinstance(error, OSError) else 'does not parse'}: {error}"
        if found:
            raise RecordSkippedError(self._bad_input.finding("malformed_annotation", xml_path, "", found))
        return tree

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

    def _object(self, element: Element, where: str, coercions: Coercions) -> tuple[ObjectAnnotation, str]:
        """An object, and the tag that its box is of: ``bndbox``, or a shape of which it is the extent."""
        name = (element.findtext("name") or "").strip()
        shape = next((child for tag in _SHAPES if (child := element.find(tag)) is not None), None)
        if shape is None or not name:
            found = ", ".join(child.tag for child in element) or "nothing"
            raise ValueError(f"expected <name> and <bndbox>, found {found}{'' if name else ', and no name'}")
        xmin, ymin, xmax, ymax = _box(shape)
        difficult = (element.findtext("difficult") or "").strip()
        try:
            is_difficult = to_flag(difficult)
        except ValueError as error:
            raise ValueError(f"<difficult> {error}") from error
        if difficult not in ("", "0", "1"):
            coercions.note("<difficult>", difficult, str(int(is_difficult)))
        first = self._settings.voc_first_pixel
        entry = ObjectAnnotation(
            box_xyxy=(xmin - first, ymin - first, xmax, ymax),
            class_name=name,
            class_found=name,
            is_difficult=is_difficult,
            where=where,
        )
        return entry, shape.tag


def _parsed(content: bytes) -> Element:
    """The root element; tags in lower case, without namespace."""
    content = content.lstrip()
    declared = _ENCODING.match(content)
    try:
        tree = fromstring(content)
    except DefusedXmlException:
        raise
    except ValueError:
        if declared is None:
            raise
        # Of encodings with several bytes a letter (GBK, Shift JIS) the parser knows UTF-8 and UTF-16 only.
        tree = fromstring(content.decode(declared[1].decode()))
    for element in tree.iter():
        element.tag = element.tag.rpartition("}")[2].lower()
    return tree


def _filename(tree: Element) -> str:
    return (tree.findtext("filename") or "").strip()


def _objects(tree: Element) -> Iterator[Element]:
    """Objects in the file's order, but not those within another."""
    waiting = [tree]
    while waiting:
        element = waiting.pop()
        if element.tag == "object":
            yield element
        else:
            waiting.extend(reversed(element))


def _box(shape: Element) -> Box:
    """The box of a ``<bndbox>``, or the extent of a ``<polygon>`` or ``<robndbox>`` (roLabelImg)."""
    if shape.tag == "polygon":
        # Roboflow writes <x1> <y1> <x2> ..., LabelMe <pt> with <x> and <y>.
        points = [(child.tag, to_float(child.text or "")) for child in shape.iter() if _POINT.fullmatch(child.tag)]
        return extent(*([value for tag, value in points if tag[0] == axis] for axis in "xy"))
    fields = _BOX_FIELDS if shape.tag == "bndbox" else _TURNED_FIELDS
    try:
        first, second, third, fourth, *angle = (to_float(shape.findtext(field) or "") for field in fields)
    except ValueError as error:
        texts = [shape.findtext(field) for field in fields]
        tags = " ".join(f"<{field}>" for field in fields)
        raise ValueError(f"expected numbers in {tags}, found {texts}: {error}") from error
    return extent_of_turned(first, second, third, fourth, *angle) if angle else (first, second, third, fourth)


def _lists(root: str) -> dict[str, list[str]]:
    """Lists of images by their folder; in the data folder itself only such as are called like a split."""
    found: dict[str, list[str]] = {}
    for entry in files.list_files(root):
        if entry.path.lower().endswith(".txt"):
            found.setdefault(posixpath.dirname(entry.path), []).append(entry.path)
    stems = {path: posixpath.splitext(path)[0].lower().removesuffix("_list") for path in found.get("", [])}
    found[""] = [path for path, stem in stems.items() if stem in SPLIT_ALIASES]
    if "train" not in (SPLIT_ALIASES[stems[path]] for path in found[""]):
        del found[""]
    for pattern in _LIST_FOLDERS:
        lists = {folder: paths for folder, paths in found.items() if pattern.fullmatch(folder.lower())}
        if lists:
            return lists
    return {}


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
