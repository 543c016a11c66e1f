"""The score from which on a detection is believed, class by class.

A detector answers every box it has with a score; whoever uses it has to say which to believe. ``operating_points``
chooses the score for a rule: the best F1, a precision that is kept, or a recall that is reached.
"""

from __future__ import annotations

import dataclasses
from typing import Final, Literal

import numpy as np

from components.evaluator.analysis.precision_recall import AT_IOU_50, Ranking, rankings, together
from components.evaluator.coco_matching import Bools, Floats
from components.evaluator.matched_images import Detections, MatchedImages
from schema.operating_points import OperatingPoint

MIN_OBJECTS: Final = 20
"""Of a class that has a threshold of its own: with fewer it would be that of a handful of lucky detections."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a threshold is chosen for.

    Attributes:
      kind: ``best_f1``: the highest F1. ``precision``: of the thresholds that keep at least this precision, the one
        with the highest recall. ``recall``: of those that reach at least this recall, the one with the highest
        precision. Between equals the higher threshold.
      at_least: the precision or recall, 0..1; not for ``best_f1``.
    """

    kind: Literal["best_f1", "precision", "recall"] = "best_f1"
    at_least: float | None = None

    def __post_init__(self) -> None:
        if self.kind == "best_f1" and self.at_least is not None:
            raise ValueError(f"at_least is {self.at_least}, but the rule best_f1 has none; leave it out")
        if self.kind != "best_f1" and (self.at_least is None or not 0 <= self.at_least <= 1):
            raise ValueError(f"at_least is {self.at_least}; expected the {self.kind} to keep, 0 to 1")


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Every threshold of a ranking, and what it brings; the highest first.

    Attributes:
      scores: float64 [S], all that the detections have.
      precisions, recalls, f1s: float64 [S].
    """

    scores: Floats
    precisions: Floats
    recalls: Floats
    f1s: Floats


def operating_points(
    images: MatchedImages, rule: Rule = Rule(), detections: Detections | None = None, threshold: int = AT_IOU_50
) -> dict[str, OperatingPoint]:
    """The operating point of every class for a rule.

    Pure: it depends on nothing but its arguments. A class with fewer than ``MIN_OBJECTS`` objects, or without a
    detection, is given the point of all classes together and says so. Crowds and ignored objects, and what was found of
    them, do not count. The figures are of the images that the thresholds were chosen on: on others they are a little
    worse, the more so the fewer objects there are.

    Args:
      images: what was found and what is there.
      rule: what the thresholds are for.
      detections: the candidate's when None.
      threshold: place of the IoU in ``IOU_THRESHOLDS`` from which on a detection is true; 0.5 unless said.

    Returns:
      By class name, in the order of ``images.class_names``. Empty when there is no object to find, or no detection with
      a score.
    """
    of_classes = rankings(images, images.candidate if detections is None else detections, threshold)
    everything = together(of_classes)
    fallback = point_of(everything, rule)
    if fallback is None:
        return {}
    points = {}
    for name, ranking in zip(images.class_names, of_classes, strict=True):
        own = point_of(ranking, rule) if ranking.objects >= MIN_OBJECTS else None
        points[name] = own or dataclasses.replace(fallback, support=ranking.objects, of_all_classes=True)
    return points


def point_of(ranking: Ranking, rule: Rule) -> OperatingPoint | None:
    """The operating point of one ranking; None without an object to find or a detection with a score."""
    every = thresholds_of(ranking)
    if ranking.objects == 0 or len(every.scores) == 0:
        return None
    wanted, reached = _wanted(every, rule)
    place = int(np.argmax(wanted))  # the first of the highest: the highest threshold
    return OperatingPoint(
        threshold=float(every.scores[place]),
        precision=float(every.precisions[place]),
        recall=float(every.recalls[place]),
        f1=float(every.f1s[place]),
        support=ranking.objects,
        of_all_classes=False,
        is_reached=bool(reached[place]),
    )


def thresholds_of(ranking: Ranking) -> Thresholds:
    """All thresholds of a ranking; recalls are NaN without an object to find."""
    there = ~np.isnan(ranking.scores)
    scores, is_true = ranking.scores[there], ranking.is_true[there]
    # Detections of equal score are believed together.
    lasts = np.flatnonzero(np.diff(scores, append=-np.inf) != 0)
    found = np.cumsum(is_true)[lasts]
    with np.errstate(divide="ignore", invalid="ignore"):
        recalls = found / np.float64(ranking.objects)
    return Thresholds(scores[lasts], found / (lasts + 1), recalls, 2 * found / (lasts + 1 + ranking.objects))


def _wanted(every: Thresholds, rule: Rule) -> tuple[Floats, Bools]:
    """How much each threshold is wanted, and whether it keeps the rule. Where none does, the nearest is wanted most."""
    if rule.at_least is None:
        return every.f1s, np.ones(len(every.f1s), np.bool_)
    bound, other = (every.precisions, every.recalls) if rule.kind == "precision" else (every.recalls, every.precisions)
    keeps = bound >= rule.at_least
    return (np.where(keeps, other, -1.0) if keeps.any() else bound), keeps
