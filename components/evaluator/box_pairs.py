"""Pairs of a detection and an object whose boxes overlap, with their IoU."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

_MAX_PAIRS_AT_ONCE: Final = 1 << 21
"""Bounds the memory of the computation to about 200 MB."""

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]


def overlapping_pairs(
    boxes_yxyx: _Floats,
    groups: _Integers,
    order: _Integers,
    truth_boxes_yxyx: _Floats,
    truth_groups: _Integers,
    truth_order: _Integers,
    is_crowd: _Bools,
    lowest_iou: float,
) -> tuple[_Integers, _Integers, _Floats]:
    """All pairs of one group with an IoU of at least ``lowest_iou``, in the order that a greedy matching tries them.

    The IoU with a crowd is the intersection over the detection's area. A box of NaN overlaps nothing.

    Args:
      boxes_yxyx: float64 [N, 4], of the detections.
      groups: int64 [N]; only what is of one group is paired.
      order: int64 [M], places of the detections to pair, group by ascending group.
      truth_boxes_yxyx: float64 [G, 4], of the objects.
      truth_groups: int64 [G].
      truth_order: int64 [H], places of the objects to pair, group by ascending group.
      is_crowd: bool [G].
      lowest_iou: above 0.

    Returns:
      Places of the detections, int64 [P], in the given order; of the objects, int64 [P], for each detection by falling
      IoU, of equal ones that with the higher place first; and the IoUs, float64 [P].
    """
    sorted_groups, sorted_truth_groups = groups[order], truth_groups[truth_order]  # [M], [H]
    first_truth = np.searchsorted(sorted_truth_groups, sorted_groups, side="left")  # [M]
    num_truths = np.searchsorted(sorted_truth_groups, sorted_groups, side="right") - first_truth  # [M]
    areas, truth_areas = box_areas(boxes_yxyx), box_areas(truth_boxes_yxyx)
    ymin, xmin, ymax, xmax = np.ascontiguousarray(boxes_yxyx.T)
    truth_ymin, truth_xmin, truth_ymax, truth_xmax = np.ascontiguousarray(truth_boxes_yxyx.T)
    parts: list[tuple[_Integers, _Integers, _Floats]] = []
    pairs_until = np.cumsum(num_truths)  # [M]
    start = 0
    while start < len(order):
        already = pairs_until[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(pairs_until, already + _MAX_PAIRS_AT_ONCE, side="right")))
        counts = num_truths[start:stop]
        place = np.repeat(np.arange(start, stop), counts)  # [Q]
        within = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)  # [Q]
        d, g = order[place], truth_order[first_truth[place] + within]  # [Q]
        heights = np.minimum(ymax[d], truth_ymax[g]) - np.maximum(ymin[d], truth_ymin[g])
        widths = np.minimum(xmax[d], truth_xmax[g]) - np.maximum(xmin[d], truth_xmin[g])
        touching = np.flatnonzero((heights > 0) & (widths > 0))
        d, g = d[touching], g[touching]
        intersections = heights[touching] * widths[touching]
        unions = np.where(is_crowd[g], areas[d], areas[d] + truth_areas[g] - intersections)
        with np.errstate(divide="ignore", invalid="ignore"):
            ious = intersections / unions
        near = np.flatnonzero(ious >= lowest_iou)
        near = near[np.lexsort((-g[near], -ious[near], place[touching[near]]))]
        parts.append((d[near], g[near], ious[near]))
        start = stop
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    detections, truths, all_ious = zip(*parts, strict=True)
    return np.concatenate(detections), np.concatenate(truths), np.concatenate(all_ious)


def box_areas(boxes_yxyx: _Floats) -> _Floats:
    """float64 [N, 4] -> [N]; negative for a box that is turned inside out in one direction."""
    return (boxes_yxyx[:, 2] - boxes_yxyx[:, 0]) * (boxes_yxyx[:, 3] - boxes_yxyx[:, 1])
