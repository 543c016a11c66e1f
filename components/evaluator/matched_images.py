"""What one evaluation leaves of a set of images: what is there, and what one or two models found, already matched.

Every number of the report and of the gate is computed from these arrays, without another look at a model or an image.
``matches_file.py`` keeps them on disk.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self, TypeVar

import numpy as np

from components.evaluator.coco import COCO_METRICS, metrics_of
from components.evaluator.coco_accumulation import accumulate
from components.evaluator.coco_matching import (
    AreaBits,
    Bits,
    Bools,
    Floats,
    ImageResult,
    Integers,
    Matches,
    looked_at,
    match_images,
)


@dataclasses.dataclass(frozen=True)
class ImageFacts:
    """What is known of an image beside its boxes.

    Attributes:
      image_id: decides, in ascending order, between equal scores of different images.
      file: its name as a person knows it.
      height_pixels, width_pixels: its size.
      columns: values of the columns that it can be sliced by; several of ``class``.
      cluster: images of one cluster (the frames of one video) are no independent witnesses.
      span: that the image is of, None in data without spans.
    """

    image_id: str
    file: str
    height_pixels: int
    width_pixels: int
    columns: Mapping[str, tuple[str, ...]]
    cluster: str
    span: int | None = None

    def is_in(self, slice_values: Iterable[tuple[str, str]]) -> bool:
        """Whether the image belongs to a slice; every image does to the slice of no columns."""
        return all(value in self.columns.get(column, ()) for column, value in slice_values)


@dataclasses.dataclass(frozen=True)
class Truths:
    """The objects of all images, image by image.

    Attributes:
      images: int64 [G], place of the image.
      classes: int64 [G], 0-based.
      boxes_yxyx_pixels: float64 [G, 4].
      areas_pixels: float64 [G], square pixels.
      area_bits: uint8 [G]: bit a is set when the object counts in area range a; 0 for crowds and ignored objects.
      is_crowd: bool [G].
      is_ignored: bool [G]: "difficult" objects; see ``ImageResult``.
    """

    images: Integers
    classes: Integers
    boxes_yxyx_pixels: Floats
    areas_pixels: Floats
    area_bits: AreaBits
    is_crowd: Bools
    is_ignored: Bools


@dataclasses.dataclass(frozen=True)
class Detections:
    """What one model found in all images, image by image; the rest as in ``Matches``.

    Attributes:
      images: int64 [N], place of the image.
      classes: int64 [N], 0-based.
      scores: float64 [N].
      boxes_yxyx_pixels: float64 [N, 4].
      ranks: int64 [N]: place among the detections of the same image and class, 0 is the best score.
      area_bits: uint8 [N]: bit a is set when the box lies in area range a.
      matched_counting: uint64 [N]: bit ``10 * a + t`` is set when matched to an object that counts.
      matched_ignored: uint64 [N]: the same for ignored objects.
    """

    images: Integers
    classes: Integers
    scores: Floats
    boxes_yxyx_pixels: Floats
    ranks: Integers
    area_bits: AreaBits
    matched_counting: Bits
    matched_ignored: Bits


_Table = TypeVar("_Table", Truths, Detections)


@dataclasses.dataclass(frozen=True)
class MatchedImages:
    """A set of images with what is there and what was found.

    Attributes:
      images: by ascending image id.
      class_names: what the class indices mean, for both models.
      truths: what is there.
      candidate: what the model found.
      baseline: what the last blessed model found in the same images; None without one.
      known_before: classes of the last blessed model; None without one.
    """

    images: tuple[ImageFacts, ...]
    class_names: tuple[str, ...]
    truths: Truths
    candidate: Detections
    baseline: Detections | None = None
    known_before: tuple[str, ...] | None = None

    def select(self, chosen: Bools) -> Self:
        """The images that a mask, bool [I], chooses, with all that belongs to them."""
        return dataclasses.replace(
            self,
            images=tuple(image for image, is_chosen in zip(self.images, chosen, strict=True) if is_chosen),
            truths=_rows(self.truths, chosen),
            candidate=_rows(self.candidate, chosen),
            baseline=None if self.baseline is None else _rows(self.baseline, chosen),
        )

    def slice_of(self, slice_values: Sequence[tuple[str, str]]) -> Self:
        """The images of a slice."""
        if not slice_values:
            return self
        return self.select(np.array([image.is_in(slice_values) for image in self.images], np.bool_))

    def matches(self, detections: Detections) -> Matches:
        """One model's detections beside the truth, as accumulation wants them."""
        return _matches(self.truths, detections)

    def metrics(self, detections: Detections, per_class: Sequence[str] = COCO_METRICS) -> dict[str, float]:
        """COCO's metrics of one model's detections by name, those in ``per_class`` by class too."""
        accumulated = accumulate(self.matches(detections), len(self.class_names))
        return metrics_of(accumulated, self.class_names, per_class)

    @property
    def num_objects(self) -> int:
        """Objects that count, of all classes."""
        return int((self.truths.area_bits & 1).sum())

    @property
    def images_with_class(self) -> dict[str, int]:
        """Images with at least one object of a class that counts, by class name."""
        counts = (self.truths.area_bits & 1).astype(np.bool_)
        pairs = np.unique(np.stack([self.truths.classes[counts], self.truths.images[counts]]), axis=1)
        shown = np.bincount(pairs[0], minlength=len(self.class_names))
        return dict(zip(self.class_names, shown.tolist(), strict=True))


@dataclasses.dataclass(frozen=True)
class MatchedImage:
    """One image on its way to ``MatchedImages``: its class indices mean its own ``class_names``.

    Attributes:
      facts: of the image.
      class_names: what the class indices mean. The name is what identifies a class: two models may number them
        differently, and two images may know different ones.
      truths: of this image alone.
      detections: of this image alone, by model; one or two.
    """

    facts: ImageFacts
    class_names: tuple[str, ...]
    truths: Truths
    detections: Mapping[str, Detections]

    def matches(self, model: str) -> Matches:
        """One model's detections beside the truth, as accumulation wants them."""
        return _matches(self.truths, self.detections[model])


def match_image(facts: ImageFacts, class_names: Sequence[str], results: Mapping[str, ImageResult]) -> MatchedImage:
    """Matches one image's detections of every model to its ground truth.

    Args:
      facts: of the image.
      class_names: names by class index.
      results: by model; the ground truth is the same in all of them.
    """
    trimmed = {model: looked_at(result) for model, result in results.items()}
    matches = {model: match_images([result]) for model, result in trimmed.items()}
    model = next(iter(trimmed))
    truth = trimmed[model]
    return MatchedImage(
        facts,
        tuple(class_names),
        Truths(
            np.zeros(len(truth.truth_classes), np.int64),
            truth.truth_classes,
            truth.truth_boxes_yxyx_pixels,
            truth.truth_areas_pixels,
            matches[model].truth_area_bits,
            truth.truth_is_crowd,
            truth.truth_is_ignored,
        ),
        {
            model: Detections(
                np.zeros(len(result.detection_scores), np.int64),
                result.detection_classes,
                result.detection_scores,
                result.detection_boxes_yxyx_pixels,
                matches[model].ranks,
                matches[model].area_bits,
                matches[model].matched_counting,
                matches[model].matched_ignored,
            )
            for model, result in trimmed.items()
        },
    )


def join_images(
    images: Iterable[MatchedImage], candidate: str, baseline: str | None, known_before: Sequence[str] | None
) -> MatchedImages:
    """All images as one, whatever order they come in.

    Args:
      images: with the detections of the same models each.
      candidate: name of the model to judge among their detections.
      baseline: name of the last blessed model, None without one.
      known_before: its classes.
    """
    ordered = sorted(images, key=lambda image: image.facts.image_id)
    vocabularies = {image.class_names for image in ordered}
    class_names = tuple(sorted({name for names in vocabularies for name in names}))
    index_of = {name: index for index, name in enumerate(class_names)}
    renumbered = {names: np.array([index_of[name] for name in names], np.int64) for names in vocabularies}

    def joined(tables: Sequence[_Table], empty: _Table) -> _Table:
        parts: list[_Table] = [
            dataclasses.replace(
                table,
                images=np.full_like(table.images, place),
                classes=renumbered[image.class_names][table.classes],
            )
            for place, (image, table) in enumerate(zip(ordered, tables, strict=True))
        ]
        parts.append(empty)
        return _concatenated(parts)

    return MatchedImages(
        tuple(image.facts for image in ordered),
        class_names,
        joined([image.truths for image in ordered], _NO_TRUTHS),
        joined([image.detections[candidate] for image in ordered], _NO_DETECTIONS),
        None if baseline is None else joined([image.detections[baseline] for image in ordered], _NO_DETECTIONS),
        None if known_before is None else tuple(known_before),
    )


def _matches(truths: Truths, detections: Detections) -> Matches:
    return Matches(
        detections.classes,
        detections.scores,
        detections.ranks,
        detections.area_bits,
        detections.matched_counting,
        detections.matched_ignored,
        truths.classes,
        truths.area_bits,
    )


def _rows(table: _Table, chosen: Bools) -> _Table:
    """The rows of the chosen images, bool [I], which are numbered anew."""
    kept, places = chosen[table.images], np.cumsum(chosen) - 1
    rows: dict[str, Any] = {field.name: getattr(table, field.name)[kept] for field in dataclasses.fields(table)}
    return dataclasses.replace(table, **{**rows, "images": places[rows["images"]]})


def _concatenated(tables: Sequence[_Table]) -> _Table:
    names = [field.name for field in dataclasses.fields(tables[0])]
    parts: dict[str, Any] = {name: np.concatenate([getattr(table, name) for table in tables]) for name in names}
    return dataclasses.replace(tables[0], **parts)


_NO_INTEGERS, _NO_FLOATS, _NO_BOXES = np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 4))
_NO_AREA_BITS, _NO_BITS, _NO_FLAGS = np.zeros(0, np.uint8), np.zeros(0, np.uint64), np.zeros(0, np.bool_)
_NO_TRUTHS: Final = Truths(_NO_INTEGERS, _NO_INTEGERS, _NO_BOXES, _NO_FLOATS, _NO_AREA_BITS, _NO_FLAGS, _NO_FLAGS)
_NO_DETECTIONS: Final = Detections(
    _NO_INTEGERS, _NO_INTEGERS, _NO_FLOATS, _NO_BOXES, _NO_INTEGERS, _NO_AREA_BITS, _NO_BITS, _NO_BITS
)
