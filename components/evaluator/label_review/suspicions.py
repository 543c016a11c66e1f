"""Which annotations are probably wrong, from what a model found in images that it was not trained on.

Five kinds, as far as one can tell from boxes: an object that is not annotated, one of another class, a box that is
badly drawn, one object annotated twice, and an annotation of nothing. The first three are ObjectLab's overlooked,
swapped and badly located (Tkachenko, Thyagarajan, Mueller 2023, arXiv 2309.00832). ObjectLab ranks images, by the
model's confidence as it is. Here single annotations are ranked, over all kinds at once, so the score of every kind is
the same thing: **of a hundred cases in which the model is as sure as here, in how many annotation and model agree**,
measured on the same images (``usual_agreement.py``). A model that is often wrong where it is sure suspects little.

- missing: of the detections of that score that are right or lie where nothing is annotated, how many are right.
- wrong class: given that something is there, how much of the scores of all classes on the object the likeliest one has,
  and how often it is the annotated one where it has as much.
- badly drawn: how often the surest detection that touches an object lies on it (IoU 0.5) at that score, times the
  chance that the boxes are further apart than the model's error explains.
- duplicate: the IoU of the two boxes, times the chance that what the model finds of the second object is wrong. This
  one is no share of cases: that two boxes are one object is read off their overlap.
- not there: how many of the objects of that class and size are found at all, times the chance that the best that is
  found near is wrong.

In two of them disagreement is mostly the model's fault, and the odds are lowered: classes that it takes for each other
again and again, by how much more often than any two; and objects that it overlooks, by ``_INVENTED_ODDS``.

Crowds and "difficult" objects are suspected of nothing, and nothing is missing where they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

import numpy as np

from components.evaluator.coco_matching import AREA_RANGES_PIXELS, Bools, Floats, Integers
from components.evaluator.label_review.overlaps import (
    detections_on_detections,
    detections_on_truths,
    truths_on_truths,
)
from components.evaluator.label_review.suspicion import Box, Suspicion, SuspicionKind
from components.evaluator.label_review.usual_agreement import (
    AgreementByScore,
    rarity_of_confusions,
    unusually_far_apart,
)
from components.evaluator.matched_images import Detections, MatchedImages

_SAME: Final = 0.5
"""IoU from which two boxes are of one object."""
_NEAR: Final = 0.3
"""IoU from which a box is near another; neighbours overlap by less."""
_LEAST_IOU: Final = 0.01
"""Boxes that overlap by less have nothing to do with each other."""
_TOUCHES: Final = 0.1
"""IoU from which a sure detection may be what an annotated box was meant for."""
_PART: Final = 0.7
"""Share of a detection in an object of its class from which it is a part of it."""
_WELL_DRAWN: Final = 0.8
"""IoU from which drawing a box anew is not worth the while."""
_SEEN: Final = 0.1
"""Score from which a detection says something about an annotated box that it touches."""
_NOTHING_FOUND: Final = 0.1
"""Beside the scores of the classes on an object: with faint ones alone none of them is likely."""
_INVENTED_ODDS: Final = 0.2
"""People forget objects more often than they invent them: that a model overlooks one is the likelier reason."""
_WHOLE_RANGE_BIT: Final = np.uint64(1)
"""``Detections.matched_counting``'s bit of IoU 0.5 and objects of all sizes."""
_PRIOR_OBJECTS: Final = 2.0
"""A class and size of few objects is taken to be found as the whole is: that counts as much as so many objects."""


def suspicions(images: MatchedImages, least_score: float = 0.0) -> list[Suspicion]:
    """What is suspected, the strongest first; of one object or one detection one thing alone, the likeliest.

    Args:
      images: with the detections of a model that was not trained on them.
      least_score: weaker ones are left out.
    """
    return _Review(images).found(least_score)


class _Review:
    """The candidate's detections beside the truth, and the score of every kind for each of them."""

    def __init__(self, images: MatchedImages) -> None:
        self.images, self.truths, self.detections = images, images.truths, _with_numbers(images.candidate)
        self.pairs = detections_on_truths(self.detections, self.truths, _LEAST_IOU)
        self.truth_counts = (self.truths.area_bits & 1).astype(np.bool_)  # [G]
        self.same_class = self.detections.classes[self.pairs.rows] == self.truths.classes[self.pairs.others]  # [P]

        self.is_matched = matched = (self.detections.matched_counting & _WHOLE_RANGE_BIT).astype(np.bool_)  # [N]
        ignored = (self.detections.matched_ignored & _WHOLE_RANGE_BIT).astype(np.bool_)  # [N]
        judged = ~ignored
        is_right = AgreementByScore.of(self.detections.scores[judged], matched[judged])
        self.right = is_right(self.detections.scores)  # [N] chance that a detection is right
        class_agrees = self._any_detection((self.pairs.ious >= _SAME) & self.same_class)
        self.is_free = ~matched & ~ignored & ~class_agrees  # [N]

    def found(self, least_score: float) -> list[Suspicion]:
        # Of one object or detection the likeliest suspicion is kept, so they are taken strongest first.
        every = [*self._wrong_class(), *self._badly_drawn(), *self._duplicates(), *self._not_there(), *self._missing()]
        kept: list[Suspicion] = []
        truths_seen: set[int] = set()
        detections_seen: set[int] = set()
        for score, kind, truth, detection in sorted(every, key=lambda one: -one[0]):
            if score < least_score or score <= 0 or truth in truths_seen or detection in detections_seen:
                continue
            kept.append(self._suspicion(score, kind, truth, detection))
            truths_seen |= {truth} - {-1}
            detections_seen |= {detection} - {-1}
        return kept

    def _any_detection(self, pairs: Bools) -> Bools:
        """bool [P] -> bool [N]: whether a detection is in one of the pairs."""
        result = np.zeros(len(self.detections.images), np.bool_)
        result[self.pairs.rows[pairs]] = True
        return result

    def _highest(self, values: Floats, pairs: Bools) -> Floats:
        """float64 [N] -> float64 [G]: the highest value of the detections paired with each object, 0 without one."""
        result = np.zeros(len(self.truths.images))
        np.maximum.at(result, self.pairs.others[pairs], values[self.pairs.rows[pairs]])
        return result

    def _missing(self) -> Iterator[tuple[float, SuspicionKind, int, int]]:
        pairs = self.pairs
        explained = (pairs.ious >= _NEAR) | ((pairs.insides >= _PART) & self.same_class)
        candidates = self.is_free & ~self._any_detection(explained)  # [N]
        # Detections of several classes on one object are one object: the surest speaks.
        near = detections_on_detections(self.detections, candidates, _NEAR)
        scores = self.detections.scores
        surer = (scores[near.others] > scores[near.rows]) | (
            (scores[near.others] == scores[near.rows]) & (near.others < near.rows)
        )
        candidates[near.rows[surer]] = False
        # Detections whose object has another class or box in the annotations say nothing about forgotten objects.
        judged = candidates | self.is_matched
        scores = self.detections.scores
        agreement = AgreementByScore.of(scores[judged], self.is_matched[judged])(scores)
        for row in np.flatnonzero(candidates).tolist():
            yield float(agreement[row]), "missing", -1, row

    def _wrong_class(self) -> Iterator[tuple[float, SuspicionKind, int, int]]:
        """Objects whose likeliest class is not the annotated one, given that something is there."""
        on = (self.pairs.ious >= _SAME) & self.truth_counts[self.pairs.others]
        # What is right about another object says nothing about this one.
        on &= self.is_free[self.pairs.rows] | self.same_class
        on &= self.detections.scores[self.pairs.rows] > 0
        rows, truths = self.pairs.rows[on], self.pairs.others[on]
        if not len(rows):
            return
        num_classes = len(self.images.class_names)
        # The surest detection of each class on each object: the last of its key.
        keys = truths * num_classes + self.detections.classes[rows]
        order = np.lexsort((self.detections.scores[rows], keys))
        surest = rows[order[np.append(np.diff(keys[order]) != 0, True)]]  # [C]
        of_truth, classes = np.divmod(np.unique(keys), num_classes)  # [C]
        scores = self.detections.scores[surest]
        # The likeliest class of each object: the last of its object.
        order = np.lexsort((scores, of_truth))
        likeliest = order[np.append(np.diff(of_truth[order]) != 0, True)]  # [S]
        seen = of_truth[likeliest]
        totals = np.bincount(of_truth, scores, minlength=len(self.truths.images))[seen]
        shares = scores[likeliest] / (totals + _NOTHING_FOUND)
        found, annotated = classes[likeliest], self.truths.classes[seen]
        agreement = AgreementByScore.of(shares, found == annotated)(shares)
        odds = rarity_of_confusions(found, annotated, num_classes)
        for place in np.flatnonzero(found != annotated).tolist():
            score = _with_odds(float(agreement[place]), float(odds[found[place], annotated[place]]))
            yield score, "wrong class", int(seen[place]), int(surest[likeliest[place]])

    def _badly_drawn(self) -> Iterator[tuple[float, SuspicionKind, int, int]]:
        """Objects whose surest detection lies on them as detections of the class seldom do."""
        scores, classes = self.detections.scores, self.truths.classes
        near = self.pairs.select(
            self.same_class
            & (self.pairs.ious >= _TOUCHES)
            & (scores[self.pairs.rows] >= _SEEN)
            & self.truth_counts[self.pairs.others]
        )
        # Of the objects that a detection may be of, the nearest; of the detections of an object, the surest.
        nearest = np.zeros(len(scores))
        np.maximum.at(nearest, near.rows, near.ious)
        near = near.select(near.ious == nearest[near.rows])
        surest = np.zeros(len(classes))
        np.maximum.at(surest, near.others, scores[near.rows])
        near = near.select(scores[near.rows] == surest[near.others])
        is_right = AgreementByScore.of(scores[near.rows], near.ious >= _SAME)(scores[near.rows])
        chances = is_right * unusually_far_apart(near.ious, scores[near.rows], classes[near.others])
        for place in np.flatnonzero(near.ious < _WELL_DRAWN).tolist():
            yield float(chances[place]), "badly drawn", int(near.others[place]), int(near.rows[place])

    def _duplicates(self) -> Iterator[tuple[float, SuspicionKind, int, int]]:
        every = truths_on_truths(self.truths, _SAME)
        counts = self.truth_counts[every.rows] & self.truth_counts[every.others]
        same = self.truths.classes[every.rows] == self.truths.classes[every.others]
        twins = every.select(counts & same)
        if not len(twins.rows):
            return
        best = self._best_detections()
        for one, other, iou in zip(twins.rows.tolist(), twins.others.tolist(), twins.ious.tolist(), strict=True):
            found = (best.get(one), best.get(other))
            # Of each pair once, and the one that the model's box fits less.
            fits = [(-1.0 if pair is None else pair[1]) for pair in found]
            if (fits[0], -one) > (fits[1], -other):
                continue
            apart = found[0] is not None and found[1] is not None and found[0][0] != found[1][0]
            second = min(self.right[pair[0]] for pair in found if pair is not None) if apart else 0.0
            yield iou * (1 - float(second)), "duplicate", one, -1

    def _best_detections(self) -> dict[int, tuple[int, float]]:
        """Of each object, the detection of its class that lies on it best, and its IoU."""
        on = self.pairs.select(self.same_class & (self.pairs.ious >= _SAME))
        order = np.argsort(on.ious)
        return dict(
            zip(
                on.others[order].tolist(),
                zip(on.rows[order].tolist(), on.ious[order].tolist(), strict=True),
                strict=True,
            )
        )

    def _not_there(self) -> Iterator[tuple[float, SuspicionKind, int, int]]:
        truth_found = self._highest(self.right, self.pairs.ious >= _SAME)  # [G]
        truth_near = self._highest(self.right, self.pairs.ious >= _NEAR)  # [G]
        counts = self.truth_counts
        overall = float(truth_found[counts].mean()) if counts.any() else 0.0
        groups = self.truths.classes * len(AREA_RANGES_PIXELS) + _size_range(self.truths.areas_pixels)  # [G]
        objects = np.bincount(groups[counts], minlength=groups.max(initial=-1) + 1)
        found = np.bincount(groups[counts], truth_found[counts], minlength=len(objects))
        recalls = (found + _PRIOR_OBJECTS * overall) / (objects + _PRIOR_OBJECTS)
        for truth in np.flatnonzero(counts).tolist():
            agreement = float(recalls[groups[truth]] * (1 - truth_near[truth]))
            yield _with_odds(agreement, _INVENTED_ODDS), "not there", truth, -1

    def _suspicion(self, score: float, kind: SuspicionKind, truth: int, detection: int) -> Suspicion:
        names = self.images.class_names
        facts = self.images.images[int(self.truths.images[truth] if truth >= 0 else self.detections.images[detection])]
        box = class_name = place = found_class = found_score = suggested_box = suggested_class = None
        if truth >= 0:
            box = _xyxy(self.truths.boxes_yxyx_pixels[truth])
            class_name = names[int(self.truths.classes[truth])]
            place = truth - int(np.searchsorted(self.truths.images, self.truths.images[truth]))
        if detection >= 0:
            found_class = names[int(self.detections.classes[detection])]
            found_score = round(float(self.detections.scores[detection]), 4)
            suggested_class = found_class
            # A sure class says nothing about the box that people drew.
            suggested_box = box if kind == "wrong class" else _xyxy(self.detections.boxes_yxyx_pixels[detection])
        return Suspicion(
            kind,
            round(score, 4),
            facts.image_id,
            facts.file,
            place,
            box,
            class_name,
            found_class,
            found_score,
            suggested_box,
            suggested_class,
        )


def _with_odds(agreement: float, odds: float) -> float:
    """A chance whose odds are multiplied."""
    return odds * agreement / (odds * agreement + 1 - agreement)


def _with_numbers(detections: Detections) -> Detections:
    """Those with a score and a box: a model may answer NaN."""
    kept = np.isfinite(detections.scores) & np.isfinite(detections.boxes_yxyx_pixels).all(axis=-1)
    return Detections(*(getattr(detections, field.name)[kept] for field in dataclasses.fields(detections)))


def _size_range(areas_pixels: Floats) -> Integers:
    """float64 [G] -> int64 [G]: 1 small, 2 medium, 3 large, as COCO has them."""
    bounds = [high for _, high in list(AREA_RANGES_PIXELS.values())[1:-1]]
    return 1 + np.searchsorted(bounds, areas_pixels).astype(np.int64)


def _xyxy(box_yxyx: Floats) -> Box:
    ymin, xmin, ymax, xmax = (round(float(value), 2) for value in box_yxyx)
    return xmin, ymin, xmax, ymax
