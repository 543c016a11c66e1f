"""Whether a score means what it says: of the detections with a score of 0.8, are 80 % true?

Detections are put into bins of equal width by score; in each, the mean score stands against the share of true ones (at
IoU 0.5). The expected calibration error is the mean distance of the two, weighted by the detections of each bin: Naeini
et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI 2015; for detectors, with the precision in
the place of the accuracy, Küppers et al., Multivariate Confidence Calibration for Object Detection, CVPRW 2020
("detection ECE", here by the score alone). It is about the detections that there are: missed objects have no score, and
a model that is asked for every faint box has mostly faint ones.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from components.evaluator.analysis.precision_recall import Ranking, rankings, together
from components.evaluator.matched_images import Detections, MatchedImages

NUM_BINS: Final = 10
MIN_DETECTIONS: Final = 100
"""Of a class that is given a calibration error of its own: ten a bin."""


@dataclasses.dataclass(frozen=True)
class Bin:
    """The detections of one range of scores.

    Attributes:
      low, high: the range, without its upper end; the last one has it.
      count: detections.
      mean_score: of them; NaN without one.
      precision: share of true ones; NaN without one.
    """

    low: float
    high: float
    count: int
    mean_score: float
    precision: float


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Scores against what they came to.

    Attributes:
      bins: by rising score.
      of_classes: expected calibration error by class name, of classes with ``MIN_DETECTIONS``.
    """

    bins: tuple[Bin, ...]
    of_classes: dict[str, float]

    @property
    def error(self) -> float:
        """Expected calibration error; NaN without a detection."""
        return _expected_error(self.bins)

    @property
    def overconfidence(self) -> float:
        """How far the scores are above the share of true detections, on average; below 0 they are too low."""
        count = sum(bin_.count for bin_ in self.bins)
        gaps = [bin_.count * (bin_.mean_score - bin_.precision) for bin_ in self.bins if bin_.count]
        return sum(gaps) / count if count else float("nan")


def calibration(images: MatchedImages, detections: Detections) -> Calibration:
    """The calibration of one model's scores; detections without a number for a score are left out."""
    of_classes = rankings(images, detections)
    errors = {
        name: _expected_error(_bins(ranking))
        for name, ranking in zip(images.class_names, of_classes, strict=True)
        if len(ranking.scores) >= MIN_DETECTIONS
    }
    return Calibration(_bins(together(of_classes)), errors)


def _bins(ranking: Ranking) -> tuple[Bin, ...]:
    there = ~np.isnan(ranking.scores)
    scores, is_true = ranking.scores[there], ranking.is_true[there]
    places = np.clip((scores * NUM_BINS).astype(np.int64), 0, NUM_BINS - 1)
    counts = np.bincount(places, minlength=NUM_BINS)
    with np.errstate(invalid="ignore"):
        mean_scores = np.bincount(places, scores, NUM_BINS) / counts
        precisions = np.bincount(places, is_true, NUM_BINS) / counts
    return tuple(
        Bin(place / NUM_BINS, (place + 1) / NUM_BINS, int(count), float(mean_score), float(precision))
        for place, (count, mean_score, precision) in enumerate(zip(counts, mean_scores, precisions, strict=True))
    )


def _expected_error(bins: tuple[Bin, ...]) -> float:
    count = sum(bin_.count for bin_ in bins)
    gaps = [bin_.count * abs(bin_.mean_score - bin_.precision) for bin_ in bins if bin_.count]
    return sum(gaps) / count if count else float("nan")
