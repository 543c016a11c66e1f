"""What kinds of error a detector makes, and how much AP each kind costs: TIDE.

Bolya, Foley, Hays & Hoffman, TIDE: A General Toolbox for Identifying Object Detection Errors, ECCV 2020.

A false detection at IoU 0.5 is of the first of these kinds that fits; the IoUs are the highest with any object of its
image, taken or not, where crowds and ignored objects are not there:

===============  =======================================================================================
localization     IoU of 0.1 to 0.5, both included, with an object of its own class
classification   IoU of 0.5 and more with an object of another class
duplicate        IoU above 0.5 with an object of its own class, which a better detection has taken
background       IoU of at most 0.1 with all objects
both             what is left: IoU between 0.1 and 0.5 with an object of another class
===============  =======================================================================================

An object is *missed* when no detection took it and no localization or classification error is about it. What a kind
costs is the AP50 that there would be without it, less that which there is. To repair an error of localization or
classification, the best detection that is about an object becomes true (of the object's class), the others about it go;
errors of the other kinds go, and missed objects are no longer there to find.

Two more costs overlap with these: that of all false positives (none is left), and that of all false negatives (no
object that was not found is there to find).

Where references part:

- tidecv, the authors' own, counts a class without objects as one of AP 0, looks at 100 detections of an image instead
  of 100 of each class, and lets the first of two objects of equal IoU be taken, pycocotools the last. Here it is as
  everywhere in COCO's metrics. When nothing is left to find of a class that no detection is of, tidecv drops the class
  from the mean; here its AP is 1.
- hotcoco's ``tide_errors`` gives the same kinds and counts, and the same costs of the kinds that are repaired by
  removal. In those of localization and classification it makes every such detection true, of its own class, so that an
  object can be found several times; for missed ones it adds detections that are surer than all. To it a detection can
  also be one of localization of a crowd or an ignored object.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final, Literal, get_args

import numpy as np

from components.evaluator.analysis.image_pairs import NONE, Pairs, assigned, image_pairs
from components.evaluator.analysis.precision_recall import (
    Ranking,
    object_counts,
    outcomes,
    precision_recall,
    ranked_by_class,
)
from components.evaluator.coco_matching import Bools, Floats, Integers
from components.evaluator.matched_images import Detections, MatchedImages

ErrorKind = Literal["classification", "localization", "both", "duplicate", "background", "missed"]
ERROR_KINDS: Final[tuple[ErrorKind, ...]] = get_args(ErrorKind)
"""In the order of the paper."""

FOREGROUND_IOU: Final = 0.5
BACKGROUND_IOU: Final = 0.1

_CLASSIFICATION, _LOCALIZATION, _BOTH, _DUPLICATE, _BACKGROUND, _MISSED = range(len(ERROR_KINDS))
_NO_ERROR: Final = -1


@dataclasses.dataclass(frozen=True)
class ErrorCosts:
    """The errors of one model.

    Attributes:
      class_names: names of the classes below.
      ap50: float64 [K], AP50 of every class; NaN without an object to find.
      counts: int64 [K, 6], errors by class of the detection, or of the missed object, and kind.
      costs: float64 [K, 6], AP50 that the class would gain without errors of a kind; NaN without an object to find.
      false_positives: float64 [K], that it would gain without any false detection.
      false_negatives: float64 [K], that it would gain if the objects it did not find were not there.
    """

    class_names: tuple[str, ...]
    ap50: Floats
    counts: Integers
    costs: Floats
    false_positives: Floats
    false_negatives: Floats

    def cost(self, kind: ErrorKind) -> float:
        """AP50 that errors of a kind cost, mean of the classes; NaN where nothing is to be found."""
        return _mean(self.costs[:, ERROR_KINDS.index(kind)])

    def count(self, kind: ErrorKind) -> int:
        """How many errors of a kind there are."""
        return int(self.counts[:, ERROR_KINDS.index(kind)].sum())

    @property
    def false_positive_cost(self) -> float:
        """Mean of the classes."""
        return _mean(self.false_positives)

    @property
    def false_negative_cost(self) -> float:
        """Mean of the classes."""
        return _mean(self.false_negatives)

    def costliest(self) -> list[ErrorKind]:
        """The kinds that cost anything, the costliest first."""
        return sorted((kind for kind in ERROR_KINDS if self.cost(kind) > 0), key=lambda kind: -self.cost(kind))


def error_costs(images: MatchedImages, detections: Detections) -> ErrorCosts:
    """Sorts the errors of one model by kind and measures what each kind costs."""
    errors = _Errors.of(images, detections)
    objects = object_counts(images)
    num_classes = len(objects)
    before = _average_precisions(errors.repaired(None), objects)
    costs = np.zeros((num_classes, len(ERROR_KINDS)))
    counts = np.zeros((num_classes, len(ERROR_KINDS)), np.int64)
    for kind in range(_MISSED):
        counts[:, kind] = np.bincount(detections.classes[errors.kinds == kind], minlength=num_classes)
        costs[:, kind] = _average_precisions(errors.repaired(kind), objects) - before
    truth_classes = images.truths.classes
    counts[:, _MISSED] = np.bincount(truth_classes[errors.is_missed], minlength=num_classes)
    not_found = np.bincount(truth_classes[errors.is_not_found], minlength=num_classes)
    ranked = errors.repaired(None)
    costs[:, _MISSED] = _average_precisions(ranked, objects, objects - counts[:, _MISSED]) - before
    without_false = [Ranking(r.scores[r.is_true], r.is_true[r.is_true], r.objects) for r in ranked]
    return ErrorCosts(
        images.class_names,
        before,
        counts,
        # Fewer objects shift which detection reaches a recall: AP may fall by a hundredth of nothing. (tidecv, too)
        np.where(np.isnan(costs), np.nan, np.maximum(costs, 0.0)),
        _average_precisions(without_false, objects) - before,
        _average_precisions(ranked, objects, objects - not_found) - before,
    )


@dataclasses.dataclass(frozen=True)
class _Errors:
    """Every error of one model.

    Attributes:
      detections: the model's.
      is_true: bool [N].
      kinds: int64 [N], place in ``ERROR_KINDS`` of a false detection, else ``_NO_ERROR``.
      repaired_classes: int64 [N], class that the detection is a true one of once its error of localization or
        classification is repaired; ``NONE`` when a better one is about the same object, or the object is taken.
      is_missed: bool [G].
      is_not_found: bool [G].
      objects: int64 [K].
    """

    detections: Detections
    is_true: Bools
    kinds: Integers
    repaired_classes: Integers
    is_missed: Bools
    is_not_found: Bools
    objects: Integers

    @classmethod
    def of(cls, images: MatchedImages, detections: Detections) -> _Errors:
        """Sorts the false detections and the objects that were not found."""
        truths = images.truths
        is_true, is_neither = outcomes(detections)
        counts = (truths.area_bits & 1).astype(np.bool_)  # [G]
        everything = np.ones(len(is_true), np.bool_)
        pairs = image_pairs(images, detections, BACKGROUND_IOU, everything, counts)
        is_own = detections.classes[pairs.detections] == truths.classes[pairs.truths]  # [P]
        _, taken_by = assigned(pairs.where(is_own & (pairs.ious >= FOREGROUND_IOU)), len(is_true), len(truths.classes))

        own_iou, own_truth = _nearest(pairs.where(is_own), len(is_true))
        other_iou, other_truth = _nearest(pairs.where(~is_own), len(is_true))
        kinds = np.select(
            [
                is_true | is_neither,
                (own_iou >= BACKGROUND_IOU) & (own_iou <= FOREGROUND_IOU),
                other_iou >= FOREGROUND_IOU,
                own_iou > FOREGROUND_IOU,
                other_iou <= BACKGROUND_IOU,
            ],
            [_NO_ERROR, _LOCALIZATION, _CLASSIFICATION, _DUPLICATE, _BACKGROUND],
            _BOTH,
        )
        about = np.where(kinds == _LOCALIZATION, own_truth, np.where(kinds == _CLASSIFICATION, other_truth, NONE))
        is_not_found = counts & (taken_by == NONE)  # [G]
        repaired_classes = np.full(len(is_true), NONE)
        is_known = np.zeros(len(is_not_found), np.bool_)  # [G] some error is about it
        by_score = np.lexsort((np.arange(len(is_true)), detections.classes, -detections.scores))
        for detection in by_score[about[by_score] != NONE].tolist():
            truth = about[detection]
            if is_not_found[truth] and not is_known[truth]:
                is_known[truth] = True
                repaired_classes[detection] = truths.classes[truth]
        return cls(
            detections,
            is_true,
            kinds,
            repaired_classes,
            is_not_found & ~is_known,
            is_not_found,
            object_counts(images),
        )

    def repaired(self, kind: int | None) -> list[Ranking]:
        """Rankings by class without the errors of a kind; with all of them for None."""
        is_of_kind = self.kinds == kind if kind is not None else np.zeros(len(self.kinds), np.bool_)
        becomes_true = is_of_kind & (self.repaired_classes != NONE)
        kept = (self.is_true | (self.kinds != _NO_ERROR)) & (~is_of_kind | becomes_true)
        classes = np.where(becomes_true, self.repaired_classes, self.detections.classes)
        return ranked_by_class(
            classes[kept], self.detections.scores[kept], (self.is_true | becomes_true)[kept], self.objects.tolist()
        )


def _nearest(pairs: Pairs, num_detections: int) -> tuple[Floats, Integers]:
    """The highest IoU of each detection, float64 [N], and the first object that has it, int64 [N]; 0 and ``NONE``."""
    ious, truths = np.zeros(num_detections), np.full(num_detections, NONE)
    # The order of the pairs puts the last object of equal IoUs first. Assigned backwards, the best one stays.
    order = np.lexsort((-np.arange(len(pairs.ious)), -pairs.ious))[::-1]
    ious[pairs.detections[order]] = pairs.ious[order]
    truths[pairs.detections[order]] = pairs.truths[order]
    return ious, truths


def _average_precisions(ranked: Sequence[Ranking], objects: Integers, left: Integers | None = None) -> Floats:
    """AP by class, float64 [K], of the classes that have objects, with those of them that are left to find.

    A class of which nothing is left to find is perfect without a detection, and worth nothing with them.
    """
    values = []
    for ranking, there, to_find in zip(ranked, objects, objects if left is None else left, strict=True):
        if there == 0:
            values.append(np.nan)
        elif to_find == 0:
            values.append(0.0 if len(ranking.scores) else 1.0)
        else:
            values.append(precision_recall(dataclasses.replace(ranking, objects=int(to_find))).average_precision)
    return np.array(values)


def _mean(values: Floats) -> float:
    """Mean of the classes that have a value; NaN when none has."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else float("nan")
