"""How far a metric may be from its true value: the paired bootstrap over images.

The images at hand stand for all those there could be. Drawn anew from themselves, with replacement and as many as there
are, they give other values of a metric; how those spread is how the metric of other images of the same kind would
(Efron & Tibshirani, An Introduction to the Bootstrap, 1993). Candidate and baseline see the same draws, so that what
makes an image hard for both drops out of their difference. Clusters of images (the frames of a video) are drawn as a
whole.

A draw is a weight of every image; ``resampled_curve.py`` computes all draws at once.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from scipy import stats

from components.evaluator.check import OVERALL, SliceValues
from components.evaluator.coco import METRIC_DEFINITIONS
from components.evaluator.coco_matching import Floats, Integers
from components.evaluator.gate_settings import Metric
from components.evaluator.matched_images import Detections, MatchedImages
from components.evaluator.resampled_curve import ResampledCurve, Weights
from components.evaluator.stable_order import best_first, ordered_by

_PARTS_OF_AP: Final[tuple[Metric, ...]] = ("AP50", "AP75")
_MAX_ELEMENTS: Final = 1 << 24
"""Of one array: bounds the memory to some hundred MB."""


@dataclasses.dataclass(frozen=True)
class Quantity:
    """What is to be resampled.

    Attributes:
      metric: one of COCO's.
      classes: 0-based; the metric is the mean of those that have an object to find.
    """

    metric: Metric
    classes: tuple[int, ...]


class Resamples:
    """Values of metrics in resamples of a set of images; always the same ones for the same images.

    What was computed of a class is kept, for whoever asks for it in another quantity.
    """

    def __init__(self, images: MatchedImages, count: int) -> None:
        """Args: the images and how many resamples to draw."""
        self.images = images
        self._count = count
        clusters = np.unique([image.cluster for image in images.images], return_inverse=True)[1]  # [I]
        self._cluster_of_image: Integers = clusters
        self.num_clusters = int(clusters.max(initial=-1)) + 1
        """Independent witnesses: images, or clusters of them."""
        self._models = [model for model in (images.candidate, images.baseline) if model is not None]
        self._of_classes: list[dict[tuple[Metric, int], Floats]] = [{} for _ in self._models]

    def values(self, quantities: Sequence[Quantity]) -> list[Floats]:
        """The quantities of the candidate and, where there is one, of the baseline in the same resamples.

        Args:
          quantities: of images of which there is at least one.

        Returns:
          One float64 [Q, R] a model; NaN in resamples without an object to find.
        """
        wanted: dict[Metric, set[int]] = {}
        for quantity in quantities:
            missing = {index for index in quantity.classes if (quantity.metric, index) not in self._of_classes[0]}
            wanted.setdefault(quantity.metric, set()).update(missing)
        if any(wanted.values()):
            self._compute(wanted)
        return [
            np.array([_mean_of_classes(values, quantity, self._count) for quantity in quantities])
            for values in self._of_classes
        ]

    @functools.cached_property
    def metrics(self) -> list[dict[str, float]]:
        """Of the images themselves: the candidate's and, where there is one, the baseline's, by class as well."""
        return [self.images.metrics(model) for model in self._models]

    def _compute(self, wanted: dict[Metric, set[int]]) -> None:
        for metric in _PARTS_OF_AP:  # of what has to be computed anyway, for whoever asks next
            wanted.setdefault(metric, set()).update(wanted.get("AP", ()))
        most_rows = max(len(self.images.images), *(_most_matched(model) for model in self._models))
        at_once = max(16, min(self._count, _MAX_ELEMENTS // most_rows))
        random = np.random.default_rng(0)
        parts: list[list[dict[tuple[Metric, int], Floats]]] = [[] for _ in self._models]
        for start in range(0, self._count, at_once):
            weights = self._draw(random, min(at_once, self._count - start))
            for model, values in zip(self._models, parts, strict=True):
                values.append(metrics_of_classes(self.images, model, weights, wanted))
        for kept, values in zip(self._of_classes, parts, strict=True):
            kept.update({key: np.concatenate([part[key] for part in values]) for key in values[0]})

    def _draw(self, random: np.random.Generator, count: int) -> Weights:
        drawn = random.integers(0, self.num_clusters, (count, self.num_clusters))  # [R, C]
        drawn += np.arange(count)[:, None] * self.num_clusters
        counts = np.bincount(drawn.ravel(), minlength=count * self.num_clusters).reshape(count, -1)  # [R, C]
        weights: Weights = np.ascontiguousarray(counts.T[self._cluster_of_image], np.float32)
        return weights


class SliceResamples:
    """The resamples of a set of images and of its slices, each drawn once for whoever asks."""

    def __init__(self, images: MatchedImages, count: int) -> None:
        """Args: the images and how many resamples to draw of each slice."""
        self.images = images
        self._count = count
        self._of_slices: dict[SliceValues, Resamples] = {}

    def of(self, values: SliceValues = OVERALL) -> Resamples:
        """Those of a slice's images."""
        if values not in self._of_slices:
            self._of_slices[values] = Resamples(self.images.slice_of(values), self._count)
        return self._of_slices[values]


def interval(resampled: Floats, num_clusters: int, confidence: float) -> tuple[float, float] | None:
    """The interval that holds the true value with the given confidence; None where the resamples cannot say.

    Percentiles of the resamples, a little further out than the confidence by itself asks for: those of few images
    spread too little, by the factor sqrt(1 - 1/n), and have the tails of Student's t distribution (Hesterberg, What
    Teachers Should Know about the Bootstrap, 2014, "expanded percentile interval").

    Args:
      resampled: float64 [R].
      num_clusters: independent witnesses.
      confidence: share of the sets of images whose interval holds the true value.
    """
    there = resampled[~np.isnan(resampled)]
    if num_clusters < 2 or len(there) < len(resampled) / 2:
        return None
    quantile = stats.t.ppf((1 - confidence) / 2, num_clusters - 1) * math.sqrt(num_clusters / (num_clusters - 1))
    tail = float(stats.norm.cdf(quantile))
    low, high = np.quantile(there, [tail, 1 - tail])
    return float(low), float(high)


def _mean_of_classes(of_classes: Mapping[tuple[Metric, int], Floats], quantity: Quantity, count: int) -> Floats:
    """float64 [R]: the mean of those classes that have an object to find; NaN where none has."""
    rows = [of_classes[quantity.metric, index] for index in quantity.classes] or [np.full(count, np.nan)]
    values = np.stack(rows)  # [K, R]
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(there, values, 0.0).sum(axis=0) / there.sum(axis=0)  # 0 / 0 is NaN
    return mean


def metrics_of_classes(
    images: MatchedImages, detections: Detections, weights: Weights, wanted: Mapping[Metric, set[int]]
) -> dict[tuple[Metric, int], Floats]:
    """Every wanted metric of every wanted class, as if every image were there as often as its weight says.

    What several metrics share is computed once.

    Args:
      images: with the ground truth.
      detections: of one model in them.
      weights: float32 [I, R], whole numbers.
      wanted: classes by metric.

    Returns:
      float64 [R] by metric and class; NaN where there is nothing to find.
    """
    result: dict[tuple[Metric, int], Floats] = {}
    by_area: dict[str, list[Metric]] = {}
    for metric in wanted:
        by_area.setdefault(METRIC_DEFINITIONS[metric].area, []).append(metric)
    order = ordered_by(detections.classes, best_first(detections.scores))  # stable: ties stay in the order of images
    bounds = np.searchsorted(detections.classes[order], np.arange(len(images.class_names) + 1))
    for area, metrics in by_area.items():
        for index in sorted(set().union(*(wanted[metric] for metric in metrics))):
            here = [metric for metric in metrics if index in wanted[metric]]
            one = ResampledCurve(images, detections, order[bounds[index] : bounds[index + 1]], index, area, weights)
            definitions = {metric: METRIC_DEFINITIONS[metric] for metric in here}
            thresholds = {t for d in definitions.values() if d.kind == "precision" for t in d.thresholds}
            precisions = {t: one.average_precision(t) for t in sorted(thresholds)}
            for metric, definition in definitions.items():
                values = (
                    [precisions[t] for t in definition.thresholds]
                    if definition.kind == "precision"
                    else [one.recall(t, definition.max_detections) for t in definition.thresholds]
                )
                result[metric, index] = np.mean(values, axis=0, dtype=np.float64)
    return result


def _most_matched(detections: Detections) -> int:
    """Matched detections of the class that has most."""
    matched = (detections.matched_counting | detections.matched_ignored) > 0
    return int(np.bincount(detections.classes[matched]).max(initial=1))
