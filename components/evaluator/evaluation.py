"""An evaluation as it is kept beside TFMA's files: the metrics of both models by slice with intervals, and the verdict.

``read_evaluation(uri of the artifact evaluation)`` needs neither TFMA nor a model.
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
from collections.abc import Mapping
from typing import Any, Final

import tensorflow as tf

from components.evaluator.bootstrap import Quantity, SliceResamples, interval
from components.evaluator.check import OVERALL, SliceValues
from components.evaluator.coco import class_metric
from components.evaluator.gate_settings import Gates, Metric
from components.evaluator.matched_images import MatchedImages
from components.evaluator.verdict import Verdict

EVALUATION_FILE: Final = "evaluation.json"
INTERVAL_METRICS: Final[tuple[Metric, ...]] = ("AP", "AP50")
"""The metrics that have an interval in every slice; over the whole split, those of every class as well."""

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class SliceResult:
    """What was measured on one slice.

    Attributes:
      values: the slice.
      metrics: the candidate's, with ``image_count`` and ``object_count``.
      baseline_metrics: the last blessed model's on the same images; empty without one.
      intervals: around the candidate's ``INTERVAL_METRICS`` (``AP``, and of the whole split ``AP/car``); none where the
        images are too few to say: fewer than ``eval.gates.min_images`` in the slice, or that show the class.
      changes: around candidate minus baseline, the same.
    """

    values: SliceValues
    metrics: Mapping[str, float]
    baseline_metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    intervals: Mapping[str, Interval] = dataclasses.field(default_factory=dict)
    changes: Mapping[str, Interval] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One model, measured and judged.

    Attributes:
      verdict: the decision.
      slices: the whole split first, then by columns and values.
      confidence: of the intervals in the slices.
    """

    verdict: Verdict
    slices: tuple[SliceResult, ...]
    confidence: float = 0.95

    @property
    def overall(self) -> SliceResult | None:
        """The whole split; None where it had no image."""
        return next((result for result in self.slices if result.values == OVERALL), None)

    def to_json(self) -> str:
        """As JSON; numbers that could not be computed are NaN, as Python's own reader takes them."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Evaluation:
        """The inverse of ``to_json``."""
        data = json.loads(text)
        return cls(Verdict.from_data(data["verdict"]), tuple(map(_slice_result, data["slices"])), data["confidence"])


def _slice_result(data: Mapping[str, Any]) -> SliceResult:
    return SliceResult(
        tuple((column, value) for column, value in data["values"]),
        data["metrics"],
        data["baseline_metrics"],
        *({name: (low, high) for name, (low, high) in data[key].items()} for key in ("intervals", "changes")),
    )


def read_evaluation(evaluation_uri: str) -> Evaluation:
    """Reads the artifact ``evaluation`` of the Evaluator.

    Raises:
      ValueError: the folder holds none.
    """
    path = posixpath.join(evaluation_uri, EVALUATION_FILE)
    if not tf.io.gfile.exists(path):
        raise ValueError(f"{path}: not found; expected the `evaluation` output of an Evaluator")
    with tf.io.gfile.GFile(path) as file:
        return Evaluation.from_json(file.read())


def slice_result(
    images: MatchedImages,
    values: SliceValues,
    metrics: Mapping[str, float],
    baseline_metrics: Mapping[str, float],
    gates: Gates,
    drawn: SliceResamples | None = None,
) -> SliceResult:
    """Puts intervals to what was measured on a slice.

    Args:
      images: all of them.
      values: the slice; it has an image.
      metrics: the candidate's on it.
      baseline_metrics: the baseline's on it.
      gates: say how sure the intervals are, and from how many resamples.
      drawn: those resamples of the images, where others use them too.
    """
    resamples = (drawn or SliceResamples(images, gates.resamples)).of(values)
    if gates.confidence == 0 or (values != OVERALL and len(resamples.images.images) < gates.min_images):
        return SliceResult(values, metrics, baseline_metrics)
    every = tuple(range(len(images.class_names)))
    quantities = {str(metric): Quantity(metric, every) for metric in INTERVAL_METRICS}
    if values == OVERALL:
        shown = [name for name, count in images.images_with_class.items() if count >= max(gates.min_images, 1)]
        for name in shown:
            index = images.class_names.index(name)
            quantities |= {class_metric(metric, name): Quantity(metric, (index,)) for metric in INTERVAL_METRICS}
    candidates, *baselines = resamples.values(tuple(quantities.values()))
    intervals: dict[str, Interval] = {}
    changes: dict[str, Interval] = {}
    for place, metric in enumerate(quantities):
        candidate = candidates[place]
        for found, resampled in ((intervals, candidate), *((changes, candidate - b[place]) for b in baselines)):
            ends = interval(resampled, resamples.num_clusters, gates.confidence)
            if ends is not None:
                found[metric] = ends
    return SliceResult(values, metrics, baseline_metrics, intervals, changes)
