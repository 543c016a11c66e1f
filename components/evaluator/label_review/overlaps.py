"""Which boxes of an image lie on each other, whatever their class: COCO's matching, class by class, does not say."""

from __future__ import annotations

import dataclasses

import numpy as np

from components.evaluator.coco_matching import Bools, Floats, Integers
from components.evaluator.matched_images import Detections, Truths


@dataclasses.dataclass(frozen=True)
class Overlaps:
    """Pairs of boxes of the same image with some overlap.

    Attributes:
      rows: int64 [P], row of the first box in its table.
      others: int64 [P], row of the second in its table.
      ious: float64 [P], intersection over union; over the first box's own area where the second is a crowd, as COCO
        has it.
      insides: float64 [P], share of the first box that lies in the second.
    """

    rows: Integers
    others: Integers
    ious: Floats
    insides: Floats

    def select(self, chosen: Bools) -> Overlaps:
        """The pairs that a mask, bool [P], chooses."""
        return Overlaps(self.rows[chosen], self.others[chosen], self.ious[chosen], self.insides[chosen])


def detections_on_truths(detections: Detections, truths: Truths, num_images: int) -> Overlaps:
    """Pairs of a detection and an annotated object."""
    return _overlaps(detections, truths, truths.is_crowd, num_images)


def truths_on_truths(truths: Truths, num_images: int) -> Overlaps:
    """Pairs of two annotated objects, each pair twice."""
    found = _overlaps(truths, truths, np.zeros(len(truths.images), np.bool_), num_images)
    return found.select(found.rows != found.others)


def detections_on_detections(detections: Detections, num_images: int) -> Overlaps:
    """Pairs of two detections, each pair twice."""
    found = _overlaps(detections, detections, np.zeros(len(detections.images), np.bool_), num_images)
    return found.select(found.rows != found.others)


def _overlaps(
    table: Detections | Truths, others: Detections | Truths, other_is_crowd: Bools, num_images: int
) -> Overlaps:
    # Both tables are image by image.
    starts = np.searchsorted(table.images, np.arange(num_images + 1))
    other_starts = np.searchsorted(others.images, np.arange(num_images + 1))
    parts = []
    for image in range(num_images):
        first, last = starts[image], starts[image + 1]
        other_first, other_last = other_starts[image], other_starts[image + 1]
        if first == last or other_first == other_last:
            continue
        one = table.boxes_yxyx_pixels[first:last, None]  # [R, 1, 4]
        two = others.boxes_yxyx_pixels[None, other_first:other_last]  # [1, S, 4]
        sides = np.minimum(one[..., 2:], two[..., 2:]) - np.maximum(one[..., :2], two[..., :2])  # [R, S, 2]
        intersections = np.maximum(sides, 0).prod(axis=-1)  # [R, S]
        rows, columns = np.nonzero(intersections)
        shared = intersections[rows, columns]
        area = (one[..., 2:] - one[..., :2]).prod(axis=-1)[rows, 0]
        other_area = (two[..., 2:] - two[..., :2]).prod(axis=-1)[0, columns]
        unions = np.where(other_is_crowd[other_first + columns], area, area + other_area - shared)
        parts.append((first + rows, other_first + columns, shared / unions, shared / area))
    if not parts:
        return Overlaps(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    return Overlaps(*(np.concatenate(values) for values in zip(*parts, strict=True)))
