"""COCO's detection metrics, in numpy: pycocotools' numbers without pycocotools.

``coco_metrics(results, class_names)`` gives the twelve numbers of the COCO challenge by their usual names, overall and
by class:

===============  =======================================================================================
AP               mean of the average precision at IoU 0.50, 0.55, ... 0.95, then of the classes
AP50, AP75       the same at one IoU
APs, APm, APl    AP of objects below 32^2, from 32^2 to 96^2 and above 96^2 square pixels
AR1, AR10, AR100 mean of the highest recall with that many detections an image and class
ARs, ARm, ARl    AR100 by object size
===============  =======================================================================================

``AP/<class>`` and so on are a class's own. A number with nothing to find behind it (no object of the class, or of the
size, that counts) is NaN where pycocotools says -1, and means leave such classes out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import numpy as np

from components.evaluator.coco_accumulation import RECALL_MAX_DETECTIONS, Accumulated, accumulate
from components.evaluator.coco_matching import (
    AREA_RANGES_PIXELS,
    IOU_THRESHOLDS,
    MAX_DETECTIONS,
    Floats,
    ImageResult,
    match_images,
)
from components.evaluator.gate_settings import Metric

__all__ = ["COCO_METRICS", "ImageResult", "class_metric", "coco_metrics", "metrics_of"]


@dataclasses.dataclass(frozen=True)
class MetricDefinition:
    """What a metric is a mean of, before the mean of the classes.

    Attributes:
      kind: average precision, or the highest recall.
      area: name of the area range.
      thresholds: places in ``IOU_THRESHOLDS``.
      max_detections: of one class in an image.
    """

    kind: Literal["precision", "recall"]
    area: str = "all"
    thresholds: tuple[int, ...] = tuple(range(len(IOU_THRESHOLDS)))
    max_detections: int = MAX_DETECTIONS


METRIC_DEFINITIONS: Final[dict[Metric, MetricDefinition]] = {
    "AP": MetricDefinition("precision"),
    "AP50": MetricDefinition("precision", thresholds=(0,)),
    "AP75": MetricDefinition("precision", thresholds=(5,)),
    "APs": MetricDefinition("precision", "small"),
    "APm": MetricDefinition("precision", "medium"),
    "APl": MetricDefinition("precision", "large"),
    "AR1": MetricDefinition("recall", max_detections=1),
    "AR10": MetricDefinition("recall", max_detections=10),
    "AR100": MetricDefinition("recall"),
    "ARs": MetricDefinition("recall", "small"),
    "ARm": MetricDefinition("recall", "medium"),
    "ARl": MetricDefinition("recall", "large"),
}

COCO_METRICS: Final = tuple(METRIC_DEFINITIONS)
"""Metric names in the order ``COCOeval.summarize`` prints them."""


def class_metric(metric: str, class_name: str) -> str:
    """Key of one class's metric: ``class_metric("AP", "car") == "AP/car"``."""
    return f"{metric}/{class_name}"


def coco_metrics(results: Iterable[ImageResult], class_names: Sequence[str]) -> dict[str, float]:
    """COCO metrics of a set of images, overall and by class.

    Args:
      results: detections and ground truth of each image; their order decides between equal scores.
      class_names: names by class index.

    Raises:
      ValueError: a class index without a name.
    """
    return metrics_of(accumulate(match_images(list(results)), len(class_names)), class_names)


def metrics_of(
    accumulated: Accumulated, class_names: Sequence[str], per_class: Sequence[str] = COCO_METRICS
) -> dict[str, float]:
    """The metrics by name: all of ``COCO_METRICS`` overall, those in ``per_class`` for every class."""
    by_class = _by_class(accumulated)
    metrics: dict[str, float] = {name: _mean(by_class[name]) for name in COCO_METRICS}
    for index, class_name in enumerate(class_names):
        metrics |= {class_metric(name, class_name): float(by_class[name][index]) for name in per_class}
    return metrics


def _by_class(accumulated: Accumulated) -> Mapping[str, Floats]:
    """Every metric's values by class, float64 [K]."""
    areas = {name: index for index, name in enumerate(AREA_RANGES_PIXELS)}
    most = {count: index for index, count in enumerate(RECALL_MAX_DETECTIONS)}
    values: dict[str, Floats] = {}
    for name, metric in METRIC_DEFINITIONS.items():
        thresholds, area = list(metric.thresholds), areas[metric.area]
        if metric.kind == "precision":
            values[name] = accumulated.average_precisions[area, thresholds].mean(axis=0)
        else:
            values[name] = accumulated.recalls[most[metric.max_detections], area, thresholds].mean(axis=0)
    return values


def _mean(values: Floats) -> float:
    """Mean of the classes that have a value; NaN when none has."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else float("nan")
