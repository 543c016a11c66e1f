"""Which boxes of an image lie on each other, whatever their class: COCO's matching, class by class, does not say."""

from __future__ import annotations

import dataclasses

import numpy as np

from components.evaluator.box_pairs import box_areas, overlapping_pairs
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


def detections_on_truths(detections: Detections, truths: Truths, lowest_iou: float) -> Overlaps:
    """Pairs of a detection and an annotated object with an IoU of at least ``lowest_iou``, which is above 0."""
    return _overlaps(detections, truths, truths.is_crowd, np.ones(len(detections.images), np.bool_), lowest_iou)


def truths_on_truths(truths: Truths, lowest_iou: float) -> Overlaps:
    """Pairs of two annotated objects, each pair twice."""
    every = np.ones(len(truths.images), np.bool_)
    found = _overlaps(truths, truths, np.zeros(len(every), np.bool_), every, lowest_iou)
    return found.select(found.rows != found.others)


def detections_on_detections(detections: Detections, chosen: Bools, lowest_iou: float) -> Overlaps:
    """Pairs of two of the detections that a mask, bool [N], chooses, each pair twice."""
    found = _overlaps(detections, detections, np.zeros(len(chosen), np.bool_), chosen, lowest_iou)
    return found.select((found.rows != found.others) & chosen[found.others])


def _overlaps(
    table: Detections | Truths, others: Detections | Truths, other_is_crowd: Bools, chosen: Bools, lowest_iou: float
) -> Overlaps:
    # Both tables are image by image, in ascending order.
    rows, pairs, ious = overlapping_pairs(
        table.boxes_yxyx_pixels,
        table.images,
        np.flatnonzero(chosen),
        others.boxes_yxyx_pixels,
        others.images,
        np.arange(len(others.images)),
        other_is_crowd,
        lowest_iou,
    )
    areas, other_areas = box_areas(table.boxes_yxyx_pixels)[rows], box_areas(others.boxes_yxyx_pixels)[pairs]
    with np.errstate(divide="ignore", invalid="ignore"):
        # IoU is shared / (area + other area - shared).
        shares = ious * (areas + other_areas) / (1 + ious) / areas
    return Overlaps(rows, pairs, ious, np.where(other_is_crowd[pairs], ious, shares))
