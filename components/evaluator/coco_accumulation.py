"""Accumulation of matches into average precision and recall, as ``COCOeval.accumulate`` of pycocotools defines them.

Only matched detections can raise precision or recall, so the precision curve is computed at those alone; of all others
only the number before each of them is needed. All thresholds and area ranges are computed at once, and as many classes
as stay in the processor's cache.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Final

import numpy as np

from components.evaluator.coco_matching import (
    AREA_RANGES_PIXELS,
    IOU_THRESHOLDS,
    MAX_DETECTIONS,
    Bools,
    Floats,
    Integers,
    Matches,
)
from components.evaluator.stable_order import best_first, ordered_by

RECALL_THRESHOLDS: Final[Floats] = np.linspace(0.0, 1.0, 101)
RECALL_MAX_DETECTIONS: Final = (1, 10, MAX_DETECTIONS)

_DETECTIONS_AT_ONCE: Final = 1 << 15
"""Of several classes; a class with more is computed alone."""
_NUM_AREAS: Final = len(AREA_RANGES_PIXELS)
_NUM_THRESHOLDS: Final = len(IOU_THRESHOLDS)


@dataclasses.dataclass(frozen=True)
class Accumulated:
    """Results by area range, IoU threshold and class; NaN where no object of the class counts (pycocotools: -1).

    Attributes:
      average_precisions: float64 [A, T, K], mean of the interpolated precision at 101 recall thresholds.
      recalls: float64 [M, A, T, K], highest recall with at most 1, 10 and 100 detections an image and class.
      truth_counts: int64 [A, K], objects that count.
    """

    average_precisions: Floats
    recalls: Floats
    truth_counts: Integers


def accumulate(matches: Matches, num_classes: int) -> Accumulated:
    """Average precision and recall of every class.

    Raises:
      ValueError: a class index is not below ``num_classes``.
    """
    highest = max(matches.classes.max(initial=-1), matches.truth_classes.max(initial=-1))
    if highest >= num_classes:
        raise ValueError(f"class index {highest} found, expected indices below the number of classes, {num_classes}")
    area_shifts = np.arange(_NUM_AREAS, dtype=np.uint8)[:, None]  # [A, 1]
    truth_counts = np.stack(
        [
            np.bincount(matches.truth_classes[counts.astype(np.bool_)], minlength=num_classes)
            for counts in matches.truth_area_bits >> area_shifts & 1
        ]
    )  # [A, K]

    order = ordered_by(matches.classes, best_first(matches.scores))  # [N] classes, best score first
    bounds = np.searchsorted(matches.classes[order], np.arange(num_classes + 1))  # [K + 1]
    average_precisions = np.empty((_NUM_AREAS, _NUM_THRESHOLDS, num_classes))
    found = np.empty((len(RECALL_MAX_DETECTIONS), *average_precisions.shape), np.int64)
    for first, last in _classes_at_once(bounds):
        average_precisions[..., first:last], found[..., first:last] = _of_classes(
            matches, order[bounds[first] : bounds[last]], range(first, last), truth_counts[:, first:last]
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        recalls = found / truth_counts[:, None, :]  # 0 / 0 is NaN: nothing to find
    return Accumulated(average_precisions, recalls, truth_counts)


def _classes_at_once(bounds: Integers) -> Iterator[tuple[int, int]]:
    """First class and the one after the last of every block.

    Args:
      bounds: int64 [K + 1]: where the detections of each class begin.
    """
    first, num_classes = 0, len(bounds) - 1
    while first < num_classes:
        last = int(np.searchsorted(bounds, bounds[first] + _DETECTIONS_AT_ONCE, side="right")) - 1
        last = min(max(last, first + 1), num_classes)
        yield first, last
        first = last


def _of_classes(matches: Matches, order: Integers, wanted: range, truth_counts: Integers) -> tuple[Floats, Integers]:
    """Average precision, and how many objects were found, of some classes.

    Args:
      matches: of all classes.
      order: int64 [N], places of the detections of these classes: class by class, best score first.
      wanted: the classes, k of them.
      truth_counts: int64 [A, k].

    Returns:
      float64 [A, T, k] and int64 [M, A, T, k].
    """
    area_shifts = np.arange(_NUM_AREAS, dtype=np.uint8)[:, None]  # [A, 1]
    classes = matches.classes[order]
    matched = np.flatnonzero((matches.matched_counting | matches.matched_ignored)[order])  # [P]
    in_areas = (matches.area_bits[order] >> area_shifts & 1).astype(np.bool_)  # [A, N]
    seen_in_area = _counts_so_far(in_areas, np.searchsorted(classes, classes[matched]), matched)  # [A, P]
    chosen, classes = order[matched], classes[matched]
    starts = np.searchsorted(classes, classes)  # [P]: first place of the same class
    combinations = np.arange(_NUM_AREAS * _NUM_THRESHOLDS, dtype=np.uint64).reshape(_NUM_AREAS, _NUM_THRESHOLDS, 1)
    is_true_positive = (matches.matched_counting[chosen] >> combinations & np.uint64(1)).astype(np.bool_)  # [A, T, P]
    is_matched_ignored = (matches.matched_ignored[chosen] >> combinations & np.uint64(1)).astype(np.bool_)  # [A, T, P]
    in_area = (matches.area_bits[chosen] >> area_shifts & 1).astype(np.bool_)[:, None]  # [A, 1, P]

    # An unmatched detection is a false positive when its own area is in the range, else it is ignored.
    true_positives = _counts_so_far(is_true_positive, starts)  # [A, T, P]
    matched_in_area = _counts_so_far((is_true_positive | is_matched_ignored) & in_area, starts)  # [A, T, P]
    false_positives = seen_in_area[:, None] - matched_in_area  # [A, T, P]
    precisions = true_positives / (false_positives + true_positives + np.spacing(1.0))
    precisions = np.where(is_true_positive, precisions, 0.0)

    class_bounds = np.searchsorted(classes, np.arange(wanted.start, wanted.stop + 1))  # [k + 1]
    for first, last in itertools.pairwise(class_bounds.tolist()):
        if last > first:
            falling = precisions[..., first:last][..., ::-1]
            precisions[..., first:last] = np.maximum.accumulate(falling, axis=-1)[..., ::-1]

    found = np.stack(
        [
            _sums_of_classes(is_true_positive & (matches.ranks[chosen] < most), class_bounds)
            for most in RECALL_MAX_DETECTIONS
        ]
    )  # [M, A, T, k]
    return _mean_at_recall_thresholds(precisions[is_true_positive], found[-1], truth_counts), found


def _mean_at_recall_thresholds(precisions: Floats, found: Integers, truth_counts: Integers) -> Floats:
    """Mean over the recall thresholds of the precision at the first detection that reaches each.

    Args:
      precisions: float64 [sum(found)], interpolated, of the true positives by area range, threshold, class and score.
      found: int64 [A, T, K], how many of them belong to each.
      truth_counts: int64 [A, K].

    Returns:
      float64 [A, T, K].
    """
    counts = truth_counts[..., None].astype(np.float64)  # [A, K, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        # The fewest true positives whose recall, in floating point, is not below the threshold.
        needed = np.ceil(counts * RECALL_THRESHOLDS)  # [A, K, R]
        needed -= (needed - 1) / counts >= RECALL_THRESHOLDS
        needed += needed / counts < RECALL_THRESHOLDS
    needed = np.maximum(needed, 1).astype(np.int64)[:, None]  # [A, 1, K, R]; recall 0 is reached by the first one
    starts = (np.cumsum(found) - found.ravel()).reshape(found.shape)  # [A, T, K]
    reached = needed <= found[..., None]  # [A, T, K, R]
    index = np.where(reached, starts[..., None] + needed - 1, len(precisions))
    sampled = np.append(precisions, 0.0)[index]  # [A, T, K, R]
    return np.where(truth_counts[:, None, :] > 0, sampled.mean(axis=-1), np.nan)


def _counts_so_far(flags: Bools, starts: Integers, places: Integers | slice = slice(None)) -> Integers:
    """How many flags are set up to and including some places, from the starts of their classes on.

    Args:
      flags: bool [..., N].
      starts: int64 [P], where the class of each place begins.
      places: int64 [P]; all of them when left out.

    Returns:
      int64 [..., P].
    """
    before = np.zeros((*flags.shape[:-1], flags.shape[-1] + 1), np.int64)
    np.cumsum(flags, axis=-1, out=before[..., 1:])
    result: Integers = before[..., 1:][..., places] - before[..., starts]
    return result


def _sums_of_classes(flags: Bools, class_bounds: Integers) -> Integers:
    """bool [..., P] -> int64 [..., K]."""
    counts = np.cumsum(flags, axis=-1, dtype=np.int64)
    before = np.concatenate([np.zeros((*counts.shape[:-1], 1), np.int64), counts], axis=-1)
    sums: Integers = before[..., class_bounds[1:]] - before[..., class_bounds[:-1]]
    return sums
