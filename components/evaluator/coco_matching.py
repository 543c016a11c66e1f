"""Matching of detections to ground truth as COCO defines it: once an image, for every IoU threshold and area range.

Follows ``COCOeval.evaluateImg`` of pycocotools: within one image and class, detections choose in order of falling
score (ties: as given), each takes the free object with the highest IoU at or above the threshold (ties: the later
object), objects that count are preferred to ignored ones whatever their IoU, and a crowd object can be taken any number
of times.

One matching answers 10 IoU thresholds x 4 area ranges: every combination is one *bit* of an integer (area range a and
threshold t are bit ``10 * a + t``), so a detection tries an object in all forty at once, and only pairs that overlap by
at least 0.5 are looked at one by one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from components.evaluator.box_pairs import box_areas, overlapping_pairs
from components.evaluator.greedy_choice import GreedyChoice
from components.evaluator.stable_order import best_first, ordered_by

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bits = npt.NDArray[np.uint64]
AreaBits = npt.NDArray[np.uint8]

IOU_THRESHOLDS: Final[Floats] = np.linspace(0.5, 0.95, 10)
AREA_RANGES_PIXELS: Final[dict[str, tuple[float, float]]] = {
    "all": (0.0, 1e5**2),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e5**2),
}
"""Area range by name, square pixels, both ends included (an object of exactly 32 x 32 is small and medium)."""
MAX_DETECTIONS: Final = 100
"""Detections of one class in one image that are looked at, best score first."""

_DETECTIONS_AT_ONCE: Final = 1 << 16
"""Arrays of more would not stay in the processor's cache, and take memory that grows with the number of images."""
_NUM_THRESHOLDS: Final = len(IOU_THRESHOLDS)
_LOWEST_IOU: Final = float(IOU_THRESHOLDS[0])
_ALL_BITS: Final = (1 << _NUM_THRESHOLDS * len(AREA_RANGES_PIXELS)) - 1


def _bits_of_thresholds_passed() -> Bits:
    """uint64 [11]: entry n has the n lowest thresholds' bits set in every area range."""
    every_range = sum(1 << _NUM_THRESHOLDS * a for a in range(len(AREA_RANGES_PIXELS)))
    return np.array([((1 << n) - 1) * every_range for n in range(_NUM_THRESHOLDS + 1)], np.uint64)


def _bits_of_area_bits() -> Bits:
    """uint64 [16]: entry b has all thresholds' bits set in every area range whose bit is set in b."""
    one_range = (1 << _NUM_THRESHOLDS) - 1
    ranges = range(len(AREA_RANGES_PIXELS))
    return np.array(
        [sum(one_range << _NUM_THRESHOLDS * a for a in ranges if b >> a & 1) for b in range(1 << len(ranges))],
        np.uint64,
    )


_BITS_OF_THRESHOLDS_PASSED: Final = _bits_of_thresholds_passed()
_BITS_OF_AREA_BITS: Final = _bits_of_area_bits()


@dataclasses.dataclass(frozen=True)
class ImageResult:
    """What was detected in one image and what is really there.

    Attributes:
      detection_boxes_yxyx_pixels: float64 [D, 4] (ymin, xmin, ymax, xmax).
      detection_scores: float64 [D].
      detection_classes: int64 [D], 0-based index into the class names.
      truth_boxes_yxyx_pixels: float64 [G, 4].
      truth_classes: int64 [G], 0-based.
      truth_areas_pixels: float64 [G], square pixels; decides which area range an object belongs to.
      truth_is_crowd: bool [G]: ignored, may be matched any number of times, IoU is intersection over detection area.
      truth_is_ignored: bool [G]: ignored (Pascal VOC's "difficult"): finding it is neither rewarded nor punished, it is
        matched with the ordinary IoU and by one detection, like an object outside the area range.
    """

    detection_boxes_yxyx_pixels: Floats
    detection_scores: Floats
    detection_classes: Integers
    truth_boxes_yxyx_pixels: Floats
    truth_classes: Integers
    truth_areas_pixels: Floats
    truth_is_crowd: Bools
    truth_is_ignored: Bools

    def __post_init__(self) -> None:
        for kind, boxes, per_row in (
            ("detection", self.detection_boxes_yxyx_pixels, (self.detection_scores, self.detection_classes)),
            (
                "truth",
                self.truth_boxes_yxyx_pixels,
                (self.truth_classes, self.truth_areas_pixels, self.truth_is_crowd, self.truth_is_ignored),
            ),
        ):
            if boxes.ndim != 2 or boxes.shape[1] != 4:
                raise ValueError(f"{kind} boxes have shape {boxes.shape}, expected [rows, 4]")
            if any(values.shape != (len(boxes),) for values in per_row):
                shapes = [values.shape for values in per_row]
                raise ValueError(f"{len(boxes)} {kind} boxes with {kind} features of shapes {shapes}")

    @classmethod
    def from_normalized(
        cls,
        *,
        height_pixels: float,
        width_pixels: float,
        detection_boxes_yxyx_normalized: npt.ArrayLike,
        detection_scores: npt.ArrayLike,
        detection_classes: npt.ArrayLike,
        truth_boxes_yxyx_normalized: npt.ArrayLike,
        truth_classes: npt.ArrayLike,
        truth_areas_pixels: npt.ArrayLike | None = None,
        truth_is_crowd: npt.ArrayLike | None = None,
        truth_is_ignored: npt.ArrayLike | None = None,
    ) -> ImageResult:
        """Result of one image from boxes normalised to 0..1 of an image of the given size.

        Rows of either side with a negative class (padding, or a class outside the vocabulary) are dropped. Areas left
        out are the boxes' own; flags left out are False.
        """
        scale = np.array([height_pixels, width_pixels, height_pixels, width_pixels], np.float64)
        found = np.asarray(detection_classes, np.int64).reshape(-1)
        there = np.asarray(truth_classes, np.int64).reshape(-1)
        truth_boxes = np.asarray(truth_boxes_yxyx_normalized, np.float64).reshape(-1, 4) * scale  # [G, 4]
        nothing = np.zeros(len(there), np.bool_)
        areas = box_areas(truth_boxes) if truth_areas_pixels is None else np.asarray(truth_areas_pixels, np.float64)
        crowd = nothing if truth_is_crowd is None else np.asarray(truth_is_crowd, np.bool_)
        ignored = nothing if truth_is_ignored is None else np.asarray(truth_is_ignored, np.bool_)
        every_row = cls(
            np.asarray(detection_boxes_yxyx_normalized, np.float64).reshape(-1, 4) * scale,
            np.asarray(detection_scores, np.float64).reshape(-1),
            found,
            truth_boxes,
            there,
            areas.reshape(-1),
            crowd.reshape(-1),
            ignored.reshape(-1),
        )
        return every_row._rows(found >= 0, there >= 0)

    def _rows(self, detections: Bools, truths: Bools) -> ImageResult:
        return ImageResult(
            self.detection_boxes_yxyx_pixels[detections],
            self.detection_scores[detections],
            self.detection_classes[detections],
            self.truth_boxes_yxyx_pixels[truths],
            self.truth_classes[truths],
            self.truth_areas_pixels[truths],
            self.truth_is_crowd[truths],
            self.truth_is_ignored[truths],
        )


@dataclasses.dataclass(frozen=True)
class Matches:
    """Everything accumulation needs of some images: compact arrays that are concatenated to merge.

    The order of images decides between equal scores of different images, as in pycocotools.

    Attributes:
      classes: int64 [N], 0-based; the detections looked at, images in order.
      scores: float64 [N].
      ranks: int64 [N]: place among the detections of the same image and class, 0 is the best score.
      area_bits: uint8 [N]: bit a is set when the detection's own box lies in area range a.
      matched_counting: uint64 [N]: bit ``10 * a + t`` is set when matched to an object that counts.
      matched_ignored: uint64 [N]: the same for ignored objects.
      truth_classes: int64 [G].
      truth_area_bits: uint8 [G]: bit a is set when the object counts in area range a.
    """

    classes: Integers
    scores: Floats
    ranks: Integers
    area_bits: AreaBits
    matched_counting: Bits
    matched_ignored: Bits
    truth_classes: Integers
    truth_area_bits: AreaBits

    @classmethod
    def concatenate(cls, parts: Sequence[Matches]) -> Matches:
        """Matches of all images, in the order given (at least one part)."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def looked_at(image: ImageResult) -> ImageResult:
    """The image with those detections alone that can count: ``MAX_DETECTIONS`` of each class, best score first.

    ``match_images`` of it has one row for each of its detections, in their order.
    """
    by_score = np.argsort(-image.detection_scores, kind="stable")
    by_group = by_score[np.argsort(image.detection_classes[by_score], kind="stable")]
    starts, sizes = _runs(image.detection_classes[by_group])
    kept = np.ones(len(by_group), np.bool_)
    kept[by_group] = np.arange(len(by_group)) - np.repeat(starts, sizes) < MAX_DETECTIONS
    return image._rows(kept, np.ones(len(image.truth_classes), np.bool_))


def match_images(images: Sequence[ImageResult]) -> Matches:
    """Matches every image's detections to its ground truth, for all IoU thresholds and area ranges.

    Raises:
      ValueError: a class index is negative.
    """
    return Matches.concatenate([_match_part(part) for part in _parts(images or [_EMPTY_IMAGE])])


def _parts(images: Sequence[ImageResult]) -> Iterator[Sequence[ImageResult]]:
    """Images in a row with about ``_DETECTIONS_AT_ONCE`` detections."""
    until = np.cumsum([len(image.detection_scores) for image in images])
    start = 0
    while start < len(images):
        already = until[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(until, already + _DETECTIONS_AT_ONCE, side="right")))
        yield images[start:stop]
        start = stop


def _match_part(images: Sequence[ImageResult]) -> Matches:
    boxes = np.concatenate([image.detection_boxes_yxyx_pixels for image in images])  # [N, 4]
    scores = np.concatenate([image.detection_scores for image in images])  # [N]
    classes = np.concatenate([image.detection_classes for image in images])  # [N]
    truth_boxes = np.concatenate([image.truth_boxes_yxyx_pixels for image in images])  # [G, 4]
    truth_classes = np.concatenate([image.truth_classes for image in images])  # [G]
    truth_areas = np.concatenate([image.truth_areas_pixels for image in images])  # [G]
    is_crowd = np.concatenate([image.truth_is_crowd for image in images])  # [G]
    is_ignored = is_crowd | np.concatenate([image.truth_is_ignored for image in images])  # [G]
    if min(classes.min(initial=0), truth_classes.min(initial=0)) < 0:
        raise ValueError("class indices must be 0 or more; drop padded rows first (ImageResult.from_normalized does)")

    # A group is one class of one image; only detections and objects of the same group can match.
    num_classes = int(max(classes.max(initial=0), truth_classes.max(initial=0))) + 1
    image_numbers = np.arange(len(images))
    groups = np.repeat(image_numbers, [len(image.detection_scores) for image in images]) * num_classes + classes
    truth_groups = (
        np.repeat(image_numbers, [len(image.truth_classes) for image in images]) * num_classes + truth_classes
    )

    # [N] group by group, best score first; detections come image by image.
    by_group = ordered_by(groups // num_classes, ordered_by(classes, best_first(scores)))
    starts, sizes = _runs(groups[by_group])
    ranks = np.empty(len(groups), np.int64)
    ranks[by_group] = np.arange(len(groups)) - np.repeat(starts, sizes)

    truth_area_bits = np.where(is_ignored, np.uint8(0), _area_bits(truth_areas))  # [G]
    pair_detections, pair_truths, pair_ious = overlapping_pairs(
        boxes,
        groups,
        by_group[ranks[by_group] < MAX_DETECTIONS],
        truth_boxes,
        truth_groups,
        np.argsort(truth_groups, kind="stable"),
        is_crowd,
        _LOWEST_IOU,
    )
    choice = GreedyChoice(len(groups), _BITS_OF_AREA_BITS[truth_area_bits], is_crowd, _ALL_BITS)
    # pycocotools compares with min(threshold, 1 - 1e-10).
    passed = np.searchsorted(np.minimum(IOU_THRESHOLDS, 1 - 1e-10), pair_ious, side="right")  # [P]
    choice.make(pair_detections, pair_truths, _BITS_OF_THRESHOLDS_PASSED[passed])

    kept = ranks < MAX_DETECTIONS
    return Matches(
        classes[kept],
        scores[kept],
        ranks[kept],
        _area_bits(box_areas(boxes[kept])),
        choice.counting[kept],
        choice.ignored[kept],
        truth_classes,
        truth_area_bits,
    )


def _runs(values: Integers) -> tuple[Integers, Integers]:
    """Start and length of every run of equal neighbours."""
    starts = np.flatnonzero(np.diff(values, prepend=values[:1] - 1))
    return starts, np.diff(starts, append=len(values))


def _area_bits(areas_pixels: Floats) -> AreaBits:
    """float64 [N] -> uint8 [N]: bit a is set when the area lies in area range a."""
    bits = np.zeros(len(areas_pixels), np.uint8)
    for a, (low, high) in enumerate(AREA_RANGES_PIXELS.values()):
        bits |= (~((areas_pixels < low) | (areas_pixels > high))).astype(np.uint8) << np.uint8(a)
    return bits


_EMPTY_IMAGE: Final = ImageResult.from_normalized(
    height_pixels=1,
    width_pixels=1,
    detection_boxes_yxyx_normalized=(),
    detection_scores=(),
    detection_classes=(),
    truth_boxes_yxyx_normalized=(),
    truth_classes=(),
)
