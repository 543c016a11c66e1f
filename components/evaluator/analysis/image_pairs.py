"""Which detection goes with which object of its image, over all classes: for confusions and kinds of error."""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from components.evaluator.box_pairs import overlapping_pairs
from components.evaluator.coco_matching import Bools, Floats, Integers
from components.evaluator.matched_images import Detections, MatchedImages

NONE: Final = -1
"""In place of an object or a detection."""


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Overlapping detections and objects of the same image, whatever their classes.

    Detections come image by image, best score first (of equal scores: by class, then as given), the objects of each by
    falling IoU (of equal ones: that of the later class, then the later one, first).

    Attributes:
      detections: int64 [P], rows of the detections.
      truths: int64 [P], rows of the objects.
      ious: float64 [P]; with a crowd, the intersection over the detection's area.
    """

    detections: Integers
    truths: Integers
    ious: Floats

    def where(self, chosen: Bools) -> Pairs:
        """The pairs that a mask, bool [P], chooses."""
        return Pairs(self.detections[chosen], self.truths[chosen], self.ious[chosen])


def image_pairs(
    images: MatchedImages, detections: Detections, lowest_iou: float, of_detections: Bools, of_truths: Bools
) -> Pairs:
    """All pairs of the chosen detections and objects.

    Args:
      images: with the objects.
      detections: of one model.
      lowest_iou: above 0.
      of_detections: bool [N], which to pair.
      of_truths: bool [G].
    """
    truths = images.truths
    order = np.lexsort((np.arange(len(detections.classes)), detections.classes, -detections.scores, detections.images))
    truth_order = np.lexsort((truths.classes, truths.images))  # [G]; stable
    found, there, ious = overlapping_pairs(
        detections.boxes_yxyx_pixels,
        detections.images,
        order[of_detections[order]],
        truths.boxes_yxyx_pixels[truth_order],
        truths.images[truth_order],
        np.flatnonzero(of_truths[truth_order]),
        truths.is_crowd[truth_order],
        lowest_iou,
    )
    return Pairs(found, truth_order[there], ious)


def assigned(pairs: Pairs, num_detections: int, num_truths: int) -> tuple[Integers, Integers]:
    """Greedy assignment: in the order of the pairs, each detection takes the first object that is still free.

    Returns:
      The object of each detection, int64 [N], and the detection of each object, int64 [G]; ``NONE`` where there is
      none.
    """
    object_of, detection_of = [NONE] * num_detections, [NONE] * num_truths
    for detection, truth in zip(pairs.detections.tolist(), pairs.truths.tolist(), strict=True):
        if object_of[detection] == NONE and detection_of[truth] == NONE:
            object_of[detection], detection_of[truth] = truth, detection
    return np.array(object_of, np.int64), np.array(detection_of, np.int64)
