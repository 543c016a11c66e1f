"""Precision against recall, class by class, at one IoU threshold.

A detection is *true* when COCO's matching gave it an object, *false* otherwise; those that were given an ignored object
(a crowd, a "difficult" one) are neither and left out, as in pycocotools.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np

from components.evaluator.coco_accumulation import RECALL_THRESHOLDS
from components.evaluator.coco_matching import IOU_THRESHOLDS, Bools, Floats, Integers
from components.evaluator.matched_images import Detections, MatchedImages

AT_IOU_50: Final = 0
"""Place of the IoU 0.50 in ``IOU_THRESHOLDS``."""
AT_IOU_75: Final = 5

_WHOLE_RANGE: Final = np.uint8(1)
"""Bit of the area range "all"."""


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The detections of one class, or of several, that are true or false: best score first, ties in their order.

    Attributes:
      scores: float64 [N].
      is_true: bool [N].
      objects: that there are to find.
    """

    scores: Floats
    is_true: Bools
    objects: int


@dataclasses.dataclass(frozen=True)
class PrecisionRecall:
    """Precision against recall.

    Attributes:
      precisions: float64 [N], of the detections up to each one; what is measured.
      recalls: float64 [N], the same; NaN without an object to find.
      interpolated: float64 [101], highest precision at a recall of at least ``RECALL_THRESHOLDS``, as COCO's AP is the
        mean of; 0 where that recall is not reached, NaN without an object to find.
    """

    precisions: Floats
    recalls: Floats
    interpolated: Floats

    @property
    def average_precision(self) -> float:
        """COCO's AP of this class at this IoU; NaN without an object to find."""
        return float(self.interpolated.mean())


def rankings(images: MatchedImages, detections: Detections, threshold: int = AT_IOU_50) -> list[Ranking]:
    """One model's rankings by class, in the order of the class names.

    Args:
      images: with the truth.
      detections: of one model in them.
      threshold: place of the IoU in ``IOU_THRESHOLDS``.
    """
    is_true, is_neither = outcomes(detections, threshold)
    kept = np.flatnonzero(~is_neither)
    return ranked_by_class(
        detections.classes[kept], detections.scores[kept], is_true[kept], object_counts(images).tolist()
    )


def outcomes(detections: Detections, threshold: int = AT_IOU_50) -> tuple[Bools, Bools]:
    """Which detections are true, and which neither true nor false: bool [N] each."""
    if not 0 <= threshold < len(IOU_THRESHOLDS):
        raise ValueError(f"threshold {threshold}: expected a place in IOU_THRESHOLDS, 0 to {len(IOU_THRESHOLDS) - 1}")
    bit = np.uint64(threshold)
    is_true = (detections.matched_counting >> bit & np.uint64(1)).astype(np.bool_)
    on_ignored = (detections.matched_ignored >> bit & np.uint64(1)).astype(np.bool_)
    is_unseen = (detections.area_bits & _WHOLE_RANGE) == 0  # turned inside out, or larger than any image
    return is_true, ~is_true & (on_ignored | is_unseen)


def object_counts(images: MatchedImages) -> Integers:
    """int64 [K], the objects of each class that are to be found."""
    counts = (images.truths.area_bits & _WHOLE_RANGE).astype(np.bool_)
    return np.bincount(images.truths.classes[counts], minlength=len(images.class_names))


def ranked_by_class(classes: Integers, scores: Floats, is_true: Bools, objects: Sequence[int]) -> list[Ranking]:
    """Rankings of detections by class.

    Args:
      classes: int64 [N].
      scores: float64 [N].
      is_true: bool [N].
      objects: of each class, in the order of the class indices.
    """
    by_score = np.argsort(-scores, kind="stable")
    order = by_score[np.argsort(classes[by_score], kind="stable")]
    bounds = np.searchsorted(classes[order], np.arange(len(objects) + 1))
    return [
        Ranking(scores[order[first:last]], is_true[order[first:last]], count)
        for first, last, count in zip(bounds[:-1], bounds[1:], objects, strict=True)
    ]


def together(of_classes: Sequence[Ranking]) -> Ranking:
    """All classes as one: the detections of all, best score first, of the objects of all."""
    scores = np.concatenate([np.zeros(0), *(ranking.scores for ranking in of_classes)])
    is_true = np.concatenate([np.zeros(0, np.bool_), *(ranking.is_true for ranking in of_classes)])
    order = np.argsort(-scores, kind="stable")
    return Ranking(scores[order], is_true[order], sum(ranking.objects for ranking in of_classes))


def precision_recall(ranking: Ranking) -> PrecisionRecall:
    """Precision and recall down a ranking, to the last digit as ``COCOeval.accumulate`` computes them."""
    found = np.cumsum(ranking.is_true).astype(np.float64)  # [N]
    precisions = found / (np.arange(1, len(found) + 1) + np.spacing(1.0))
    if ranking.objects == 0:
        nothing = np.full(len(RECALL_THRESHOLDS), np.nan)
        return PrecisionRecall(precisions, np.full(len(found), np.nan), nothing)
    recalls = found / ranking.objects
    highest = np.maximum.accumulate(precisions[::-1])[::-1]  # at this or a higher recall
    reached = np.searchsorted(recalls, RECALL_THRESHOLDS, side="left")
    return PrecisionRecall(precisions, recalls, np.append(highest, 0.0)[reached])


def mean_interpolated(curves: Sequence[PrecisionRecall]) -> Floats:
    """float64 [101]: mean of the classes with an object to find; NaN where none has. Its mean is COCO's AP."""
    there = [curve.interpolated for curve in curves if not np.isnan(curve.interpolated).any()]
    return np.mean(there, axis=0) if there else np.full(len(RECALL_THRESHOLDS), np.nan)


def thinned(xs: Floats, ys: Floats, most: int) -> list[tuple[float, float]]:
    """Points of a line, few enough to draw: those that are needed for its shape, of these no more than so many.

    Args:
      xs: float64 [N], rising.
      ys: float64 [N], where x does not rise all falling or all rising.
      most: 2 or more.
    """
    is_new = np.ones(len(xs), np.bool_)
    is_new[1:] = (np.diff(xs) != 0) | (np.diff(ys) != 0)
    xs, ys = xs[is_new], ys[is_new]
    # Within a level stretch, and within an upright one, the ends say it all.
    level = (ys[1:-1] == ys[:-2]) & (ys[1:-1] == ys[2:])
    upright = (xs[1:-1] == xs[:-2]) & (xs[1:-1] == xs[2:])
    is_kept = np.ones(len(xs), np.bool_)
    is_kept[1:-1] = ~(level | upright)
    kept = np.flatnonzero(is_kept)
    if len(kept) > most:
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, most).round().astype(np.int64))]
    return list(zip(xs[kept].tolist(), ys[kept].tolist(), strict=True))
