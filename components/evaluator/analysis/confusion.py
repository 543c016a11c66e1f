"""Which class is taken for which: the confusion matrix of a detector.

The rule, at one IoU and one score: detections with at least that score choose in order of falling score, over all
classes; each takes the free object of its image with the highest IoU at or above the threshold, whatever its class. A
pair counts at (class of the object, class of the detection); an object that nobody took counts in the column of the
background (missed), a detection without an object in its row (false alarm). Crowds and ignored objects are not there; a
detection without an object that overlaps one of its own class (a crowd: lies in it) by the threshold is left out.

hotcoco's ``confusion_matrix`` is the same but for that last sentence: to it such detections are false alarms.
Ultralytics and supervision let the pair with the highest IoU go first instead of the detection with the highest score,
which differs only where several detections compete for an object.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from components.evaluator.analysis.image_pairs import NONE, assigned, image_pairs
from components.evaluator.coco_matching import Integers
from components.evaluator.matched_images import Detections, MatchedImages


@dataclasses.dataclass(frozen=True)
class Confusions:
    """A confusion matrix.

    Attributes:
      matrix: int64 [K + 1, K + 1], by class of the object and class of the detection; the last row and column are the
        background.
      class_names: of the first K rows and columns.
      iou: that a pair has at least.
      score: that a detection has at least.
    """

    matrix: Integers
    class_names: tuple[str, ...]
    iou: float
    score: float

    @property
    def objects(self) -> Integers:
        """int64 [K], objects of each class."""
        return self.matrix[:-1].sum(axis=1)

    def most_confused(self) -> list[tuple[str, str, int, float]]:
        """Class of the object, class that it was taken for, how often, and as a share of the objects of the class.

        The most frequent first; neither missed objects nor false alarms.
        """
        wrong = self.matrix[:-1, :-1].copy()
        np.fill_diagonal(wrong, 0)
        rows, columns = np.nonzero(wrong)
        order = np.argsort(-wrong[rows, columns], kind="stable")
        return [
            (
                self.class_names[row],
                self.class_names[column],
                int(wrong[row, column]),
                float(wrong[row, column] / self.objects[row]),
            )
            for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True)
        ]


def confusions(images: MatchedImages, detections: Detections, iou: float = 0.5, score: float = 0.0) -> Confusions:
    """The confusion matrix of one model.

    Args:
      images: with the truth.
      detections: of one model in them.
      iou: above 0, that a detection and its object have at least.
      score: that a detection has at least.
    """
    truths = images.truths
    num_classes = len(images.class_names)
    counts = (truths.area_bits & 1).astype(np.bool_)  # [G]
    is_sure = detections.scores >= score  # [N]; NaN is not
    object_of, detection_of = assigned(
        image_pairs(images, detections, iou, is_sure, counts), len(is_sure), len(truths.classes)
    )
    is_alarm = is_sure & (object_of == NONE)
    near_ignored = image_pairs(images, detections, iou, is_alarm, ~counts)
    own_class = detections.classes[near_ignored.detections] == truths.classes[near_ignored.truths]
    is_alarm[near_ignored.detections[own_class]] = False

    matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    taken = np.flatnonzero(object_of != NONE)
    np.add.at(matrix, (truths.classes[object_of[taken]], detections.classes[taken]), 1)
    np.add.at(matrix, (num_classes, detections.classes[is_alarm]), 1)
    np.add.at(matrix, (truths.classes[counts & (detection_of == NONE)], num_classes), 1)
    return Confusions(matrix, images.class_names, iou, score)
