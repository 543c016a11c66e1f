"""What every annotation format reads into, and the protocol of a format.

A format works in three steps, so that nothing big is ever parsed twice or moved between workers:

1. ``sources`` (once, before work starts): what there is to read; a layout that makes no sense raises ``DataError``.
2. ``items`` (once a source): the images a source lists, names and cheap annotations only.
3. ``load`` (once a shard): file bytes and full annotations of some items, one image in memory at a time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Protocol

from components.findings import DROP, Finding
from components.user_error import UserError

MetadataValue = str | int | float


class DataError(UserError):
    """The data folder as a whole cannot be used; the message names the file, what was expected and what to do."""


class RecordSkippedError(Exception):
    """A record cannot be made; carries the finding that says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.file}: {finding.kind}: {finding.found}")
        self.finding = finding


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectAnnotation:
    """One annotated object, as the file has it, before any check.

    Attributes:
      box_xyxy: xmin, ymin, xmax, ymax; pixels, or 0..1 when the image's annotation is ``normalized``.
      class_name: None when the file's class id has no name; ``class_found`` then says what the file has.
      class_id: 1-based, 0 when the format has none.
      where: line, object number or annotation id, for findings.
      area_pixels: area as the file has it (COCO), None for the box's.
    """

    box_xyxy: tuple[float, float, float, float]
    class_name: str | None
    where: str
    class_id: int = 0
    class_found: str = ""
    is_crowd: bool = False
    is_difficult: bool = False
    area_pixels: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ImageAnnotation:
    """Everything the annotations say about one image.

    Attributes:
      objects: in the file's order.
      width_pixels: of the picture the boxes were drawn on, None when the file does not say.
      height_pixels: likewise.
      normalized: boxes are in 0..1 rather than pixels.
      findings: about objects that could not be read at all.
    """

    objects: tuple[ObjectAnnotation, ...]
    width_pixels: int | None = None
    height_pixels: int | None = None
    normalized: bool = False
    findings: tuple[Finding, ...] = ()

    @property
    def box_count(self) -> int:
        """Boxes the file has for the image, those that could not be read included."""
        return len(self.objects) + sum(finding.treatment == DROP for finding in self.findings)


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Something a format reads items from: an annotation file, an ImageSets file, a folder.

    Attributes:
      root: absolute data folder (one span's).
      path: relative to ``root``, with ``/``.
      split: the split it belongs to, None when the data does not say.
      index: its place among all sources; earlier ones win where an image is listed twice.
      key_prefix: starts the key of its items when several spans are read together.
      span: that it is of, None for data without spans.
    """

    root: str
    path: str
    split: str | None
    index: int = 0
    key_prefix: str = ""
    span: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """An image that a source lists.

    Attributes:
      key: identifies the image in the data set, becomes ``image/source_id``; normally its path.
      name: what is hashed for the split: the same for the same image in every span.
      split: as the data says, None where it does not.
      root: absolute data folder (one span's).
      order: place in the data set: (source index, position).
      metadata: per-image columns.
      file: what to load it from, relative to ``root``: the image, its annotation file (VOC), or the record file.
      annotation: what is already known of its objects (COCO, CSV), None when ``file`` leads there.
      image_id: Pascal VOC's id where an ImageSets file lists the image, else empty.
      stream: number of the file that can only be read from its start on (TFRecord), None for single files.
    """

    key: str
    name: str
    split: str | None
    root: str
    order: tuple[int, int]
    metadata: dict[str, MetadataValue]
    file: str
    annotation: ImageAnnotation | None = None
    image_id: str = ""
    stream: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class LoadedImage:
    """An item with its bytes: what a record is made of. ``file`` is relative to the data folder."""

    item: Item
    file: str
    encoded: bytes
    annotation: ImageAnnotation


class AnnotationFormat(Protocol):
    """One annotation format; see the module's docstring for the three steps."""

    def sources(self, root: str) -> list[Source]:
        """What there is to read in a data folder.

        Raises:
          DataError: nothing usable, or more than one reading of the layout is possible.
        """

    def items(self, source: Source) -> Iterator[Item | Finding]:
        """Images of one source; a finding for each that cannot be listed. Every image is one or the other."""

    def load(self, items: Sequence[Item]) -> Iterator[LoadedImage | Finding]:
        """Bytes and annotation of items, or the finding that says why not: exactly one result an item."""
