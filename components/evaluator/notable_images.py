"""Which images are worth a look: where the model misses most, is surely wrong, or differs most from the one before.

An object is missed and a detection is a false alarm at IoU 0.5, among the detections that score at least what makes the
harmonic mean of precision and recall (F1) highest: the model as somebody would use it.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from components.evaluator.coco_matching import Bools, Floats, Integers
from components.evaluator.label_review.overlaps import detections_on_truths
from components.evaluator.matched_images import Detections, MatchedImages, Truths

_WHOLE_RANGE_BIT: Final = np.uint64(1)
"""``Detections.matched_counting``'s bit of IoU 0.5 and objects of all sizes."""
_WITHOUT_OBJECTS: Final = 0.5


def best_score(detections: Detections, truths: Truths) -> float:
    """The score from which on the detections have the highest F1, all classes together; 0.5 where nothing is right."""
    judged = ~(detections.matched_ignored & _WHOLE_RANGE_BIT).astype(np.bool_)
    order = np.argsort(-detections.scores[judged], kind="stable")
    scores = detections.scores[judged][order]
    is_right = (detections.matched_counting & _WHOLE_RANGE_BIT).astype(np.bool_)[judged][order]
    objects = int((truths.area_bits & 1).sum())
    if not is_right.any() or not objects:
        return _WITHOUT_OBJECTS
    # 2 TP / (detections + objects) is F1; equal scores come together.
    f1 = 2 * np.cumsum(is_right) / (np.arange(1, len(scores) + 1) + objects)
    last_of_score = np.append(scores[1:] != scores[:-1], True)
    return float(scores[last_of_score][f1[last_of_score].argmax()])


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
    truths = images.truths
    least_score = best_score(detections, truths)
    shown = detections.scores >= least_score
    right = shown & (detections.matched_counting & _WHOLE_RANGE_BIT).astype(np.bool_)
    ignored = (detections.matched_ignored & _WHOLE_RANGE_BIT).astype(np.bool_)
    counts = (truths.area_bits & 1).astype(np.bool_)
    missed = counts & ~_found(images, detections, right)
    alarms = shown & ~right & ~ignored
    number = len(images.images)
    by_image = np.bincount(truths.images[missed], minlength=number) + np.bincount(
        detections.images[alarms], minlength=number
    )
    return Errors(least_score, missed, alarms, by_image)


def _found(images: MatchedImages, detections: Detections, right: Bools) -> Bools:
    """bool [G]: the objects that the right detections, bool [N], were matched to, as COCO matches."""
    truths = images.truths
    pairs = detections_on_truths(detections, truths, len(images.images))
    pairs = pairs.select(
        right[pairs.rows]
        & (pairs.ious >= 0.5)
        & (detections.classes[pairs.rows] == truths.classes[pairs.others])
        & (truths.area_bits[pairs.others] & 1).astype(np.bool_)
    )
    # The surest first; of the objects that are left the one that fits best, the later one of equals.
    order = np.lexsort((-pairs.others, -pairs.ious, pairs.rows, -detections.scores[pairs.rows]))
    found = np.zeros(len(truths.images), np.bool_)
    settled: set[int] = set()
    for row, truth in zip(pairs.rows[order].tolist(), pairs.others[order].tolist(), strict=True):
        if row not in settled and not found[truth]:
            found[truth] = True
            settled.add(row)
    return found


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
