"""Anchors for the boxes of a data set: how well a set of anchors can match them, and which set matches them best.

A box is known by its size alone. Where it lies is averaged over: the nearest anchor center of a level may be half a
stride away, which costs small boxes much of their overlap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.detector.targets.anchors import AnchorLevel

if TYPE_CHECKING:
    from components.detector.detector import Detector
    from components.detector.options import DetectorOptions

Array = NDArray[np.float64]

POSITIONS: Final = 16
"""Places on the canvas that every size is tried at."""
_LEAST_GAIN: Final = 0.01
"""The published anchors stay where others are not better by more."""
_ROUNDS: Final = 4

_FACTORS: Final = tuple(2.0 ** (step / 4) for step in range(-16, 5))
"""On published sizes."""
_COARSEST_SHARES: Final = (0.5, 0.65, 0.8, 0.95)
_TALL_OR_WIDE: Final = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
"""Factors on all aspect ratios: a canvas that stretches images may make everything tall."""
_SPREADS: Final = (0.5, 0.75, 1.0, 1.5)
"""Exponents of aspect ratios."""


class BoxSizes(NamedTuple):
    """Boxes of a data set on the canvas, by size.

    Attributes:
      heights: float64 [S], pixels, at most the canvas'.
      widths: float64 [S], likewise.
      boxes: float64 [S]: how many boxes of the data set have this size.
      class_shares: float64 [S], sums to 1: the same with every class counting alike.
    """

    heights: Array
    widths: Array
    boxes: Array
    class_shares: Array

    @classmethod
    def of_bins(
        cls, by_class: Mapping[str, Mapping[tuple[int, int], int]], bins_per_octave: int, image_size: tuple[int, int]
    ) -> BoxSizes:
        """Of histograms by class, in which (8, 16) is a height of 2^(-8 / bins_per_octave) of the canvas."""
        numbers = {size: row for row, size in enumerate(sorted({size for bins in by_class.values() for size in bins}))}
        boxes, shares = np.zeros((2, len(numbers)))
        for bins in by_class.values():
            for size, count in bins.items():
                boxes[numbers[size]] += count
                shares[numbers[size]] += count / sum(bins.values()) / len(by_class)
        sides = 2.0 ** (-np.array(list(numbers), np.float64).reshape(-1, 2) / bins_per_octave) * image_size  # [S, 2]
        return cls(sides[:, 0], sides[:, 1], boxes, shares)


class AnchorFit(NamedTuple):
    """How well anchors can match boxes.

    Attributes:
      recall: share of the boxes of which some anchor's overlap reaches what is a match ("best possible recall").
      mean_iou: of the boxes, the overlap with the best anchor.
      class_recall: mean of the classes' recalls.
      class_mean_iou: mean of the classes' mean overlaps.
    """

    recall: float
    mean_iou: float
    class_recall: float
    class_mean_iou: float

    @property
    def goodness(self) -> float:
        """What anchors are chosen by. Classes count alike, as in AP: a frequent one does not hide a rare one."""
        return (self.class_recall + self.class_mean_iou) / 2.0


def best_ious(
    sizes: BoxSizes, levels: Sequence[AnchorLevel], image_size: tuple[int, int], *, clip: bool = False
) -> Array:
    """The overlap of boxes with their best anchors at ``POSITIONS`` places, float64 [S, POSITIONS].

    Of anchors of one shape the nearest is the best; of those that are clipped to the canvas nearly so.

    Args:
      sizes: S of them.
      levels: of the anchors.
      image_size: (height, width) in pixels of the canvas.
      clip: whether anchors end at its border.
    """
    top, left = _corners(sizes, image_size)  # [S, P]
    bottom, right = top + sizes.heights[:, None], left + sizes.widths[:, None]
    areas = (sizes.heights * sizes.widths)[:, None, None]  # [S, 1, 1]
    best = np.zeros(top.shape)
    for level in levels:
        sides = []
        for axis, (low, high, extents) in enumerate(((top, bottom, level.heights), (left, right, level.widths))):
            nearest = np.rint(((low + high) / 2.0 - level.offset[axis]) / level.stride[axis])
            nearest = np.clip(nearest, 0, level.feature_size[axis] - 1)
            center = (nearest * level.stride[axis] + level.offset[axis])[..., None]  # [S, P, 1]
            start, end = center - extents / 2.0, center + extents / 2.0  # [S, P, A]
            if clip:
                start, end = np.clip(start, 0.0, image_size[axis]), np.clip(end, 0.0, image_size[axis])
            overlap = np.minimum(end, high[..., None]) - np.maximum(start, low[..., None])
            sides.append((np.maximum(overlap, 0.0), end - start))
        (overlap_y, height), (overlap_x, width) = sides
        intersection = overlap_y * overlap_x  # [S, P, A]
        ious = intersection / (areas + height * width - intersection)
        best = np.maximum(best, ious.max(axis=-1))
    return best


def _corners(sizes: BoxSizes, image_size: tuple[int, int]) -> tuple[Array, Array]:
    """ymin and xmin of every size at every place inside the canvas, float64 [S, POSITIONS] each.

    Places are evenly spread over the canvas: the additive recurrence of the plastic number.
    """
    plastic = 1.324717957244746
    places = np.arange(1, POSITIONS + 1)[:, None] / np.array([plastic, plastic**2]) % 1.0  # [P, 2]
    return (
        places[:, 0] * (image_size[0] - sizes.heights)[:, None],
        places[:, 1] * (image_size[1] - sizes.widths)[:, None],
    )


def anchor_fit(detector: Detector, options: DetectorOptions, sizes: BoxSizes) -> AnchorFit:
    """How well the anchors that options make can match boxes; ``sizes`` holds at least one."""
    levels = detector.anchor_levels(options)
    ious = best_ious(sizes, levels, detector.image_size, clip=detector.clips_anchors)  # [S, P]
    matched = np.mean(ious >= detector.matched_iou, axis=1)  # [S]
    mean = np.mean(ious, axis=1)  # [S]
    shares = sizes.boxes / sizes.boxes.sum()
    return AnchorFit(
        *(float(values @ weights) for weights in (shares, sizes.class_shares) for values in (matched, mean))
    )


def fitted_options(detector: Detector, sizes: BoxSizes) -> DetectorOptions:
    """The detector's options with the anchors that match boxes best; its own where the gain is small.

    One option is varied after the other until none gets better; what matches fewer boxes than the detector's own is no
    candidate. Only shapes change: how many anchors a location has belongs to the architecture.

    Args:
      detector: as it was built.
      sizes: of the boxes; at least one.
    """
    chosen = start = detector.options
    first = best = anchor_fit(detector, start, sizes)
    for _ in range(_ROUNDS):
        before = best
        for name, published in start.published_anchors.items():
            for value in _candidates(name, published):
                candidate = chosen.model_copy(update={name: value})
                fit = anchor_fit(detector, candidate, sizes)
                if fit.goodness > best.goodness and fit.class_recall >= first.class_recall:
                    chosen, best = candidate, fit
        if best == before:
            break
    return chosen if best.goodness > first.goodness + _LEAST_GAIN else start


def _candidates(name: str, published: Any) -> Iterator[Any]:
    """Values of an option about anchors, the published one among them."""
    if name == "anchor_aspect_ratios":
        for factor in _TALL_OR_WIDE:
            for spread in _SPREADS:
                yield tuple(_rounded(factor * ratio**spread) for ratio in published)
    elif name == "anchor_scales":
        for factor in _FACTORS:
            for coarsest in _COARSEST_SHARES:
                if factor * published[0] < coarsest:
                    yield _rounded(factor * published[0]), coarsest
    else:
        for factor in _FACTORS:
            yield _rounded(factor * published)


def _rounded(value: float) -> float:
    """To three digits, for a reader."""
    return round(value, 2 - math.floor(math.log10(value)))
