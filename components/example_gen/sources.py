"""Finding annotation files and the images beside them by the names people give them."""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterator, Mapping, Sequence

from components.example_gen import files
from components.example_gen.annotations import (
    AnnotationFormat,
    DataError,
    ImageAnnotation,
    Item,
    LoadedImage,
    RecordSkippedError,
    Source,
)
from components.example_gen.settings import BadInputSettings, Split, SplitSettings
from components.example_gen.spans import SpanFolder
from components.example_gen.splits import split_of_path, splits_of_files
from components.findings import Finding
from schema.features import SPAN_COLUMN


def find_sources(reader: AnnotationFormat, spans: Sequence[SpanFolder]) -> list[Source]:
    """Sources of all spans, numbered; oldest span last."""
    found: list[Source] = []
    for span in spans:
        prefix = f"span-{span.span}/" if len(spans) > 1 else ""
        for source in reader.sources(span.path):
            found.append(Source(source.root, source.path, source.split, len(found), prefix, span.span))
    return found


def listed_items(reader: AnnotationFormat, source: Source) -> Iterator[Item | Finding]:
    """What a source lists; the images of a span have its number in the column ``span``."""
    for entry in reader.items(source):
        if source.span is None or isinstance(entry, Finding):
            yield entry
        else:
            yield dataclasses.replace(entry, metadata={**entry.metadata, SPAN_COLUMN: source.span})


def named_sources(root: str, annotations: str | Mapping[Split, str], split: SplitSettings) -> list[Source]:
    """Sources of ``data.annotations``.

    Raises:
      DataError: a path does not exist or leads out of the data folder, or is that of two splits.
    """
    named: list[tuple[Split | None, str]]
    named = [(None, annotations)] if isinstance(annotations, str) else list(annotations.items())
    sources = []
    for name, path in named:
        key = "data.annotations" if name is None else f"data.annotations.{name}"
        try:
            relative = files.safe_relative(root, "", path)
        except files.PathOutsideError as error:
            raise DataError(f"{key}: {error} {root}") from error
        if not files.exists(files.join(root, relative)):
            raise DataError(f"{key}: {path} is not in the data folder {root}")
        sources.append(Source(root, relative, name))
    return distinct_sources(sources, split, "data.annotations")


def distinct_sources(sources: Sequence[Source], split: SplitSettings, named_in: str) -> list[Source]:
    """The sources, where none is that of two splits; one of each path where images are divided by hash anyway.

    Args:
      sources: each stands for all of its path.
      split: the settings ``data.split``.
      named_in: what names them, for the message.

    Raises:
      DataError: ``train`` and ``val`` are the same: the model would be judged on what it has learnt.
    """
    first: dict[str, Source] = {}
    for source in sources:
        other = first.setdefault(source.path, source)
        if split.source != "hash" and other.split != source.split:
            path = files.join(source.root, source.path)
            judged = "training images" if other.split == "train" else f"the images of {other.split}"
            raise DataError(
                f"{path} is both {other.split} and {source.split} in {named_in}: {source.split} would be an evaluation "
                f"on {judged}. Name another one there, or set data.split.source to `hash`, which divides all images by "
                "data.split.ratios"
            )
    return [source for source in sources if first[source.path] is source]


def one_source_a_split(root: str, paths: Sequence[str], what: str) -> list[Source]:
    """Sources of annotation files whose names or folders say the split, or of a single file.

    Raises:
      DataError: no file, several for one split, or several of which some have no split.
    """
    if not paths:
        raise DataError(f"no {what} found in {root}; check data.path and data.format, or name them in data.annotations")
    if len(paths) == 1:
        return [Source(root, paths[0], split_of_path(paths[0]))]
    by_split: dict[str | None, list[str]] = {}
    for path, split in splits_of_files(paths).items():
        by_split.setdefault(split, []).append(path)
    for split, found in by_split.items():
        if split is None or len(found) > 1:
            reason = "no split in their names" if split is None else f"several for the split {split}"
            raise DataError(
                f"{what} in {root}: {reason}: {', '.join(found[:5])}{', ...' if len(found) > 5 else ''}; "
                "say which to read in data.annotations: {train: PATH, eval: PATH}"
            )
    order = ("train", "eval", "test")
    return [Source(root, by_split[split][0], split) for split in order if split in by_split]


def listed_lines(source: Source) -> Iterator[tuple[int, str]]:
    """Numbers and texts of the lines of a list of images that are not empty.

    Raises:
      DataError: the file cannot be read, or is not UTF-8.
    """
    path = files.join(source.root, source.path)
    try:
        lines = files.read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of images in UTF-8: {error}") from error
    return ((number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip())


def given_folders(images: str | Mapping[Split, str] | None, split: str | None) -> list[str] | None:
    """Folders that ``data.images`` names for a split (all it names for data without one), None when it is unset."""
    if images is None or isinstance(images, str):
        return None if images is None else [images]
    return list(dict.fromkeys(folder for name, folder in images.items() if split in (name, None)))


def image_folders(images: str | Mapping[Split, str] | None, source: Source) -> list[str]:
    """Folders (relative to the root) where the images of an annotation file usually are, the likeliest first.

    Beside the file, in ``images`` there, in the data folder, its ``images``, and in folders called as the split is
    (``train2017`` for ``instances_train2017.json``).
    """
    given = given_folders(images, source.split)
    if given is not None:
        return given
    folder, name = posixpath.split(source.path)
    stem = posixpath.splitext(name)[0]
    folders = [folder, posixpath.join(folder, "images"), "", "images"]
    for part in dict.fromkeys((stem, stem.rpartition("_")[2], stem.partition("_")[0])):
        for base in dict.fromkeys(("", "images", posixpath.dirname(folder), posixpath.join(folder, "images"))):
            candidate = posixpath.join(base, part)
            if files.is_folder(files.join(source.root, candidate)):
                folders.append(candidate)
    return list(dict.fromkeys(folders))


def load_files(items: Sequence[Item], bad_input: BadInputSettings) -> Iterator[LoadedImage | Finding]:
    """Image files of items whose annotation came with them."""
    for item in items:
        try:
            encoded = files.read_image(item.root, item.file, bad_input)
            yield LoadedImage(item, item.file, encoded, item.annotation or ImageAnnotation(()))
        except RecordSkippedError as skipped:
            yield skipped.finding
