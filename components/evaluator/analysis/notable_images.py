"""Which images are worth a look: where the model misses most, is surely wrong, or differs most from the one before.

An object is missed and a detection is a false alarm at IoU 0.5, among the detections that score at least what makes the
harmonic mean of precision and recall (F1) highest: the model as somebody would use it.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from components.evaluator.analysis.image_pairs import NONE, assigned, image_pairs
from components.evaluator.analysis.operating_point import Rule, point_of
from components.evaluator.analysis.precision_recall import outcomes, rankings, together
from components.evaluator.coco_matching import Bools, Floats, Integers
from components.evaluator.matched_images import Detections, MatchedImages

_WHOLE_RANGE: Final = np.uint8(1)
"""Bit of the area range "all"."""
_IOU: Final = 0.5
_WITHOUT_OBJECTS: Final = 0.5


def best_score(images: MatchedImages, detections: Detections) -> float:
    """The score from which on the detections have the highest F1, all classes together; 0.5 where nothing is there."""
    point = point_of(together(rankings(images, detections)), Rule("best_f1"))
    return _WITHOUT_OBJECTS if point is None else point.threshold


@dataclasses.dataclass(frozen=True)
class Errors:
    """What one model gets wrong.

    Attributes:
      least_score: of the detections that are looked at.
      missed: bool [G], objects that count and are not found.
      alarms: bool [N], detections that are of no object of their class.
      by_image: int64 [I], both together.
    """

    least_score: float
    missed: Bools
    alarms: Bools
    by_image: Integers


def errors_of(images: MatchedImages, detections: Detections) -> Errors:
    """One model's errors at its own best score."""
    least_score = best_score(images, detections)
    is_true, is_neither = outcomes(detections)
    shown = detections.scores >= least_score
    counts = (images.truths.area_bits & _WHOLE_RANGE).astype(np.bool_)
    pairs = image_pairs(images, detections, _IOU, shown & is_true, counts)
    pairs = pairs.where(detections.classes[pairs.detections] == images.truths.classes[pairs.truths])
    _, detection_of = assigned(pairs, len(detections.images), len(images.truths.images))
    missed = counts & (detection_of == NONE)
    alarms = shown & ~is_true & ~is_neither
    number = len(images.images)
    by_image = np.bincount(images.truths.images[missed], minlength=number) + np.bincount(
        detections.images[alarms], minlength=number
    )
    return Errors(least_score, missed, alarms, by_image)


def worst_misses(images: MatchedImages, errors: Errors, most: int) -> list[int]:
    """Places of the images with the largest missed object, by its share of the image, the largest first."""
    sizes = np.array([max(1, image.height_pixels * image.width_pixels) for image in images.images], np.float64)
    shares = images.truths.areas_pixels / sizes[images.truths.images]
    return _first_images(np.where(errors.missed, shares, -1.0), images.truths.images, most)


def surest_alarms(images: MatchedImages, errors: Errors, most: int) -> list[int]:
    """Places of the images with the false alarm of the highest score, the highest first."""
    detections = images.candidate
    return _first_images(np.where(errors.alarms, detections.scores, -1.0), detections.images, most)


def _first_images(values: Floats, of_image: Integers, most: int) -> list[int]:
    """Images by their highest value, the highest first; a value below zero is none."""
    order = np.argsort(-values, kind="stable")
    return list(dict.fromkeys(of_image[order][values[order] >= 0].tolist()))[:most]


def changed_most(candidate: Errors, baseline: Errors, most: int) -> tuple[list[int], list[int]]:
    """Places of the images where the candidate has the most errors fewer, and the most more, than the baseline."""
    change = candidate.by_image - baseline.by_image
    order = np.argsort(change, kind="stable")
    wins = [place for place in order.tolist() if change[place] < 0]
    losses = [place for place in np.argsort(-change, kind="stable").tolist() if change[place] > 0]
    return wins[:most], losses[:most]
