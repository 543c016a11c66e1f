"""How far a metric may be from its true value: the paired bootstrap over images.

The images at hand stand for all those there could be. Drawn anew from themselves, with replacement and as many as there
are, they give other values of a metric; how those spread is how the metric of other images of the same kind would
(Efron & Tibshirani, An Introduction to the Bootstrap, 1993). Candidate and baseline see the same draws, so that what
makes an image hard for both drops out of their difference. Clusters of images (the frames of a video) are drawn as a
whole.

A draw is a weight of every image. All draws are computed at once, at the matched detections alone: between two of them
precision only falls.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse, stats

from components.evaluator.coco import METRIC_DEFINITIONS
from components.evaluator.coco_accumulation import RECALL_THRESHOLDS
from components.evaluator.coco_matching import AREA_RANGES_PIXELS, IOU_THRESHOLDS, Bits, Bools, Floats, Integers
from components.evaluator.gate_settings import Metric
from components.evaluator.matched_images import Detections, MatchedImages

Weights = npt.NDArray[np.float32]
"""float32 [I, R]: how often each image was drawn in each resample. Counts below 2^24 are exact."""

_AREAS: Final = tuple(AREA_RANGES_PIXELS)
_NUM_THRESHOLDS: Final = len(IOU_THRESHOLDS)
_MISSED_BY_ROUNDING: Final[Bools] = np.arange(len(RECALL_THRESHOLDS)) / 100 < RECALL_THRESHOLDS
"""Recall thresholds, such as 0.29, that a recall of just as much does not reach in pycocotools' floating point."""
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

    def _compute(self, wanted: Mapping[Metric, set[int]]) -> None:
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
    order = np.lexsort((-detections.scores, detections.classes))  # stable: ties stay in the order of images
    bounds = np.searchsorted(detections.classes[order], np.arange(len(images.class_names) + 1))
    for area, metrics in by_area.items():
        for index in sorted(set().union(*(wanted[metric] for metric in metrics))):
            here = [metric for metric in metrics if index in wanted[metric]]
            one = _ClassCurve(images, detections, order[bounds[index] : bounds[index + 1]], index, area, weights)
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


class _ClassCurve:
    """Precision and recall of one class in one area range, in every resample."""

    def __init__(
        self,
        images: MatchedImages,
        detections: Detections,
        rows: Integers,
        class_index: int,
        area: str,
        weights: Weights,
    ) -> None:
        """Args: ``rows`` are the class's detections, best score first."""
        place = _AREAS.index(area)
        truths = images.truths
        counts = truths.images[(truths.classes == class_index) & (truths.area_bits >> place & 1).astype(np.bool_)]
        to_find = np.bincount(counts, minlength=len(images.images)).astype(np.float32)  # [I]
        self._to_find = to_find @ weights  # [R]
        matched_counting = _bits_of_area(detections.matched_counting[rows], place)
        matched_ignored = _bits_of_area(detections.matched_ignored[rows], place)
        in_area = (detections.area_bits[rows] >> place & 1).astype(np.bool_)
        matched = np.flatnonzero(matched_counting | matched_ignored)  # [P]
        self._counting, self._ignored = matched_counting[matched], matched_ignored[matched]
        self._in_area, self._ranks = in_area[matched], detections.ranks[rows[matched]]
        self._weights = weights[detections.images[rows[matched]]]  # [P, R]
        # Row p of `steps` says which images' detections come after the matched one before p, up to p itself.
        before = np.flatnonzero(in_area[: matched[-1] + 1]) if len(matched) else matched
        steps = sparse.csr_matrix(
            (
                np.ones(len(before), np.float32),
                (np.searchsorted(matched, before), detections.images[rows[before]]),
            ),
            shape=(len(matched), len(images.images)),
        )
        self._seen = _accumulated(np.add, steps @ weights)  # [P, R]: detections in the area range so far

    def average_precision(self, threshold: int) -> Floats:
        """float64 [R] at one IoU threshold, interpolated at 101 recalls as in ``coco_accumulation``."""
        is_found = _is_set(self._counting, threshold)
        found = np.flatnonzero(is_found)  # [F]
        if not len(found):
            return self._unless_nothing_to_find(np.zeros(len(self._to_find)))
        true_positives = _accumulated(np.add, self._weights[found])  # [F, R]
        # An unmatched detection is a false positive when its own area is in the range, else it is ignored.
        judged = self._seen[found]  # [F, R]
        is_ignored = _is_set(self._ignored, threshold)
        correction = np.flatnonzero((is_found & ~self._in_area) | (is_ignored & self._in_area))
        if len(correction):
            signs = np.where(is_found[correction], 1, -1).astype(np.float32)
            corrections = _accumulated(np.add, self._weights[correction] * signs[:, None])
            corrections = np.concatenate([np.zeros_like(corrections[:1]), corrections])
            judged += corrections[np.searchsorted(correction, found, side="right")]
        precisions = np.divide(true_positives, np.maximum(judged, 1, out=judged), out=judged)
        precisions = _accumulated(np.maximum, precisions[::-1])[::-1]
        reached = _recall_thresholds_reached(true_positives, self._to_find)  # [F, R]
        # Every threshold is worth the precision at the first detection that reaches it; recall 0 at the very first.
        gained = np.subtract(reached[1:], reached[:-1])
        sums = np.einsum("fr,fr->r", precisions[1:], gained) + precisions[0] * (reached[0] + 1)
        return self._unless_nothing_to_find(sums / len(RECALL_THRESHOLDS))

    def recall(self, threshold: int, max_detections: int) -> Floats:
        """float64 [R]: the highest recall with so many detections of the class in an image."""
        found = _is_set(self._counting, threshold) & (self._ranks < max_detections)
        with np.errstate(invalid="ignore"):
            return self._weights[found].sum(axis=0) / self._to_find.astype(np.float64)  # 0 / 0 is NaN

    def _unless_nothing_to_find(self, values: npt.NDArray[np.floating]) -> Floats:
        return np.where(self._to_find > 0, values, np.nan).astype(np.float64)


def _recall_thresholds_reached(true_positives: Weights, to_find: Weights) -> Weights:
    """How many recall thresholds above 0 each recall reaches; [F, R], counts of at most 100. Overwrites its input."""
    true_positives *= np.float32(len(RECALL_THRESHOLDS) - 1)
    true_positives /= np.maximum(to_find, 1)
    reached = np.floor(true_positives)
    exactly = np.flatnonzero(reached == true_positives)
    flat = reached.reshape(-1)
    flat[exactly] -= _MISSED_BY_ROUNDING[flat[exactly].astype(np.intp)]
    return reached


def _bits_of_area(bits: Bits, place: int) -> Integers:
    """The bits of one area range: bit t for IoU threshold t."""
    shifted: Integers = (bits >> np.uint64(_NUM_THRESHOLDS * place) & np.uint64((1 << _NUM_THRESHOLDS) - 1)).astype(
        np.int64
    )
    return shifted


def _is_set(bits: Integers, place: int) -> Bools:
    return (bits >> place & 1).astype(np.bool_)


def _accumulated(operation: np.ufunc, rows: Weights) -> Weights:
    """``operation.accumulate`` along the first axis, in place: row by row it is five times as fast as numpy's own."""
    for row in range(1, len(rows)):
        operation(rows[row - 1], rows[row], out=rows[row])
    return rows


def _most_matched(detections: Detections) -> int:
    """Matched detections of the class that has most."""
    matched = (detections.matched_counting | detections.matched_ignored) > 0
    return int(np.bincount(detections.classes[matched]).max(initial=1))
