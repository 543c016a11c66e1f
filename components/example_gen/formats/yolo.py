"""YOLO: a txt file an image with ``class cx cy width height`` in 0..1, and a data.yaml with names and splits.

``images`` in an image's path becomes ``labels`` (its last occurrence), the suffix ``.txt``; a txt file beside the image
is found as well, and else the only one that is called as the only image of that name. As in Ultralytics' tools an image
without a txt file, or with an empty one, has no objects. What else may stand in a row, and in data.yaml's place, is
told in ``yolo_rows`` and ``yolo_layout``.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence

from components.example_gen import files
from components.example_gen.annotations import (
    DataError,
    ImageAnnotation,
    Item,
    LoadedImage,
    RecordSkippedError,
    Source,
)
from components.example_gen.coercion import Coercions
from components.example_gen.formats.yolo_layout import YoloLayout, layout_sources, read_layout
from components.example_gen.formats.yolo_rows import parse_row
from components.example_gen.image_lookup import ImageFinder, name_key, without_image_suffix
from components.example_gen.metadata import Sidecar
from components.example_gen.polygons import once
from components.example_gen.settings import DataSettings
from components.example_gen.sources import given_folders, listed_lines, named_sources
from components.findings import DROP, Finding


class Yolo:
    """YOLO txt files; implements ``AnnotationFormat``."""

    def __init__(self, settings: DataSettings) -> None:
        self._settings = settings
        self._bad_input = settings.bad_input
        self._finder = ImageFinder(settings)
        self._layout_of_root: dict[str, YoloLayout] = {}

    def sources(self, root: str) -> list[Source]:
        """One source an image folder or image list of a split."""
        layout = self._layout(root)
        if self._settings.annotations is not None:
            return named_sources(root, self._settings.annotations, self._settings.split)
        return layout_sources(root, layout, self._settings.split)

    def items(self, source: Source) -> Iterator[Item | Finding]:
        """Images of a folder or list; then txt files that have no image.

        Raises:
          DataError: there are images, and not one label file of theirs.
        """
        sidecar = Sidecar(source.root, self._settings.columns_to_read)
        is_list = source.path.lower().endswith(".txt")
        images: list[str] = []
        for position, listed in enumerate(self._of_list(source) if is_list else self._of_folder(source)):
            if isinstance(listed, Finding):
                yield listed
                continue
            images.append(listed)
            yield Item(
                key=source.key_prefix + listed,
                name=listed,
                split=source.split,
                root=source.root,
                order=(source.index, position),
                metadata=sidecar.of(listed),
                file=listed,
            )
        if images and not any(self._label_path(source.root, image) for image in images):
            raise DataError(
                f"{files.join(source.root, source.path)}: images, but no txt file of theirs in "
                f"{_labels_folder(posixpath.dirname(images[0])) or '.'}; expected labels in a folder `labels` beside "
                "`images`, or beside the images"
            )
        if not is_list:
            yield from self._without_image(source, images)

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
        given = given_folders(self._settings.images, source.split)
        folders = list(dict.fromkeys((posixpath.dirname(source.path), ""))) if given is None else given
        for number, name in listed_lines(source):
            try:
                image = self._finder.find(source.root, folders, name, source.split, f"{source.path} line {number}")
            except RecordSkippedError as skipped:
                yield skipped.finding
                continue
            if image.finding is not None:
                yield image.finding
            yield image.path

    def _without_image(self, source: Source, images: Sequence[str]) -> Iterator[Finding]:
        """Findings of label files that no image looks for."""
        expected = {path for image in images for path in _label_paths(image)}
        others = sorted(set(_below(source.root, _labels_folder(source.path), (".txt",))) - expected)
        unexpected = [path for path in others if _is_label_file(files.join(source.root, path))]
        taken = {self._label_path(source.root, image) for image in images} if unexpected else set()
        for path in unexpected:
            if path not in taken:
                yield self._bad_input.finding("missing_image", path, "", f"no image in {source.path} looks here")

    def _label_path(self, root: str, image: str) -> str | None:
        """The txt file of an image: where it is expected, in any spelling, else the only one in the data folder.

        Exporters write ``a.jpg.txt`` and ``1a2b3c4d-a.txt``, and people put labels where they like. What is not where
        it is expected has rows of boxes, and a name that no other image has.
        """
        expected = _label_paths(image)
        for path in expected:
            if files.is_file(files.join(root, path)):
                return path
        tree = self._finder.tree(root)
        stem = without_image_suffix(posixpath.basename(image))
        named = [path for name in (image, stem + ".txt") for path in tree.called(name, (".txt",))]
        keys = {name_key(path) for path in (*expected, _labels_folder(image) + ".txt", image + ".txt")}
        near = [path for path in named if name_key(path) in keys]
        if len(near) == 1:
            return near[0]
        if len(tree.called(image, files.IMAGE_SUFFIXES)) > 1:
            return None
        found = [path for path in named if _is_label_file(files.join(root, path))]
        found = found or tree.after_export_prefix(image, (".txt",))
        return found[0] if len(found) == 1 else None

    def _annotation(self, root: str, path: str) -> ImageAnnotation:
        layout = self._layout(root)
        label_path = self._label_path(root, path)
        if label_path is None:
            return ImageAnnotation((), normalized=True)
        try:
            lines = files.read_text(files.join(root, label_path)).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            finding = self._bad_input.finding("malformed_annotation", label_path, "", f"cannot be read: {error}")
            raise RecordSkippedError(finding) from error
        objects, findings, polygons, coercions = [], [], [], Coercions()
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"line {number}"
            try:
                row = parse_row(line, f"{label_path} {where}", layout.names, layout.rows)
            except ValueError as error:
                findings.append(self._bad_input.finding("malformed_box", label_path, where, str(error)))
                continue
            if row.class_coerced:
                coercions.note("class", line.split()[0], str(row.annotation.class_id - 1))
            if row.is_polygon:
                found = (
                    f"{len(line.split()) - 1} numbers after the class, and no kpt_shape in {layout.path or 'data.yaml'}"
                )
                polygons.append(self._bad_input.finding("polygon_box", label_path, where, found))
                if polygons[-1].treatment == DROP:
                    continue
            objects.append(row.annotation)
        findings += once(polygons)
        findings += coercions.findings(self._bad_input, label_path)
        return ImageAnnotation(tuple(objects), normalized=True, findings=tuple(findings))

    def _layout(self, root: str) -> YoloLayout:
        if root not in self._layout_of_root:
            self._layout_of_root[root] = read_layout(root, self._settings)
        return self._layout_of_root[root]


def _labels_folder(path: str) -> str:
    """The path with the last ``images`` component as ``labels``; unchanged when there is none."""
    parts = path.split("/")
    for position in range(len(parts) - 1, -1, -1):
        if parts[position].lower() == "images":
            return "/".join([*parts[:position], "labels", *parts[position + 1 :]])
    return path


def _label_paths(path: str) -> tuple[str, str]:
    """Where the txt file of an image is expected, the first that exists counts: in ``labels``, beside the image."""
    return posixpath.splitext(_labels_folder(path))[0] + ".txt", posixpath.splitext(path)[0] + ".txt"


def _below(root: str, folder: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    for entry in files.list_files(files.join(root, folder)):
        if entry.path.lower().endswith(suffixes):
            yield posixpath.normpath(posixpath.join(folder, entry.path))


def _is_label_file(path: str) -> bool:
    """Whether a txt file has a row of five numbers; class names, lists of images and read-mes may lie among them."""
    try:
        rows = [line.split() for line in files.read_text(path).splitlines()]
    except (OSError, UnicodeDecodeError):
        return False
    return any(len(row) >= 5 and all(field[:1] in "+-.0123456789" for field in row) for row in rows)
