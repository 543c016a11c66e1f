"""Average precision of images without labels: estimated from scores that were calibrated on images with labels.

A detection with a calibrated score p is right with probability p, so that the expected number of right ones among the
best n is the sum of their p (Guillory et al. 2021 and Garg et al. 2022 estimate accuracies alike). How many objects
there are is not to be seen; they are taken to be as frequent in an image as where the scores were calibrated. Both
break where the model is sure of what is wrong; `benchmarks/served_drift.py` measures how far, in fog, at night and in
rain.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.isotonic import IsotonicRegression

from components.evaluator.coco import coco_metrics
from components.evaluator.coco_matching import ImageResult, match_images
from pipeline.served_drift.seen_images import Found

Floats = npt.NDArray[np.float64]
_RECALLS = np.linspace(0, 1, 101)
_IOU_HALF = np.uint64(1)
"""``Matches.matched_counting``'s bit of IoU 0.5 and objects of all sizes."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How often a detection is right, by its score, and how often each class is there.

    Attributes:
      regression: score -> probability, increasing.
      objects_per_image: by class name.
      objects_deviation: standard deviation of an image's number of objects, over their mean.
    """

    regression: IsotonicRegression
    objects_per_image: Mapping[str, float]
    objects_deviation: float

    @classmethod
    def of(cls, found: Sequence[Found], truth: Sequence[Found]) -> Self:
        """Learns from detections and annotations of the same images."""
        names = class_names_of(*found, *truth)
        matches = match_images([_result(one, other, names) for one, other in zip(found, truth, strict=True)])
        is_right = (matches.matched_counting & _IOU_HALF).astype(np.float64)
        regression = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        # Two that are always true: no detection, or only right ones, teach something, too.
        regression.fit(np.append(matches.scores, [0.0, 1.0]), np.append(is_right, [0.0, 1.0]))
        counts = collections.Counter(name for one in truth for name in one.class_names)
        per_image = np.array([len(one.class_names) for one in truth], np.float64)  # [N]
        deviation = float(per_image.std() / per_image.mean()) if per_image.any() else 0.0
        return cls(regression, {name: count / len(truth) for name, count in counts.items()}, deviation)

    def probabilities(self, scores: Floats) -> Floats:
        """Of detections with these scores: float64 [N]."""
        return np.asarray(self.regression.predict(scores), np.float64) if len(scores) else np.zeros(0)


def estimated_ap50(found: Sequence[Found], calibration: Calibration) -> float:
    """Expected AP at IoU 0.5, mean over the classes that the calibration knows; NaN where it knows none."""
    names = np.array([name for one in found for name in one.class_names], str)
    scores = np.concatenate([one.scores for one in found]) if found else np.zeros(0)
    right = {
        name: np.cumsum(calibration.probabilities(np.sort(scores[names == name])[::-1]))  # [N of the class]
        for name in calibration.objects_per_image
    }
    expected = {name: per_image * len(found) for name, per_image in calibration.objects_per_image.items()}
    if not expected:
        return float("nan")
    # Of all classes together: how often one class is in so few images is chance, and would be taken for a loss. More
    # right ones than objects are more objects than usual.
    recall = min(1.0, sum(float(one[-1]) for one in right.values() if len(one)) / sum(expected.values()))
    average_precisions, is_there = [], []
    for name, cumulated in right.items():
        last = float(cumulated[-1]) if len(cumulated) else 0.0
        average_precisions.append(_average_precision(cumulated, last / recall) if last else 0.0)
        # AP is the mean over the classes that are there: of a rare one that is chance, too.
        is_there.append(1 - np.exp(-max(expected[name], last)))
    return float(np.average(average_precisions, weights=is_there))


def _average_precision(right: Floats, objects: float) -> float:
    """Of one class, from how many of the best n are right, float64 [N], and how many there are to be found."""
    precisions = right / np.arange(1, len(right) + 1)
    # Interpolated as COCO does: the best precision at this recall or above.
    envelope = np.append(np.maximum.accumulate(precisions[::-1])[::-1], 0.0)  # [N + 1]
    # Rounding must not take the last recall away.
    return float(envelope[np.searchsorted(right / objects + 1e-9, _RECALLS)].mean())


def ap50(found: Sequence[Found], truth: Sequence[Found]) -> float:
    """AP at IoU 0.5 against annotations, or against what another model is sure of; NaN where that is nothing."""
    names = class_names_of(*found, *truth)
    return coco_metrics([_result(a, b, names) for a, b in zip(found, truth, strict=True)], names)["AP50"]


def agreement(one: Sequence[Found], other: Sequence[Found], min_score: float = 0.5) -> float:
    """AP50 of each model against what the other is sure of, the mean of both; NaN where neither is sure of anything."""
    both = [ap50(one, sure(other, min_score)), ap50(other, sure(one, min_score))]
    known = [value for value in both if not np.isnan(value)]
    return sum(known) / len(known) if known else float("nan")


def sure(found: Sequence[Found], min_score: float) -> list[Found]:
    """The detections that score at least ``min_score``."""
    kept = []
    for one in found:
        rows = one.scores >= min_score
        names = tuple(name for name, row in zip(one.class_names, rows, strict=True) if row)
        kept.append(Found(one.boxes_yxyx_normalized[rows], names, one.scores[rows]))
    return kept


def class_names_of(*found: Found) -> list[str]:
    """All names, in alphabetical order."""
    return sorted({name for one in found for name in one.class_names})


def _result(found: Found, truth: Found, names: Sequence[str]) -> ImageResult:
    index = {name: number for number, name in enumerate(names)}
    sides = truth.boxes_yxyx_normalized[:, 2:] - truth.boxes_yxyx_normalized[:, :2]  # [G, 2]
    none = np.zeros(len(sides), np.bool_)
    # IoU does not depend on the unit, and AP50 over all sizes not on the areas.
    return ImageResult(
        found.boxes_yxyx_normalized,
        found.scores,
        np.array([index[name] for name in found.class_names], np.int64),
        truth.boxes_yxyx_normalized,
        np.array([index[name] for name in truth.class_names], np.int64),
        sides.prod(axis=-1),
        none,
        none,
    )
