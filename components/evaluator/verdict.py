"""Why a model was or was not blessed: TFMA's validation result in words and numbers.

``read_verdict(uri of the Evaluator's evaluation)`` -> ``Verdict``; ``verdict.lines()`` is what a person reads.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Container, Iterator, Mapping
from typing import Final, Literal

import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2, validation_result_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from components.evaluator.coco import class_metric
from components.evaluator.coco_metric import IMAGE_COUNT, is_for_the_gate, is_on_earlier, known, on_earlier, unguarded
from components.evaluator.eval_config import settings_of
from components.evaluator.settings import CLASS_COLUMN, EVERY_CLASS, EvalSettings, Gates

SliceValues = tuple[tuple[str, str], ...]
"""Columns and values of a slice, () is the whole split."""

OVERALL: SliceValues = ()

BoundKind = Literal["minimum", "maximum", "absolute drop", "relative drop"]

_MOST_CLASSES_A_LINE: Final = 8


def slice_name(values: SliceValues) -> str:
    """``weather=fog, time_of_day=night``, or ``all images``."""
    return ", ".join(f"{column}={value}" for column, value in values) or "all images"


@dataclasses.dataclass(frozen=True)
class Failure:
    """One threshold that was not met.

    Attributes:
      metric: e.g. ``AP50``, ``AP/car``.
      slice_values: the slice it was checked on.
      kind: what was bounded: the value, or the drop below the baseline (as a difference, or as a share of its value).
      value: the metric, or its drop below the baseline (positive is worse); NaN when it could not be computed.
      bound: the lowest or highest allowed value, or the largest allowed drop.
      baseline: the baseline's metric, None when it has none or none was compared.
      reason: why there is no value.
      is_on_earlier_spans: whether it was checked on images of earlier spans alone.
    """

    metric: str
    slice_values: SliceValues
    kind: BoundKind
    value: float
    bound: float
    baseline: float | None = None
    reason: str = "no such object or class there"
    is_on_earlier_spans: bool = False

    @property
    def missed_by(self) -> float:
        """How far the value is on the wrong side of the bound; NaN when there is no value."""
        return self.bound - self.value if self.kind == "minimum" else self.value - self.bound

    def __str__(self) -> str:
        images = "images of earlier spans" if self.is_on_earlier_spans else slice_name(self.slice_values)
        where = f"{self.metric} on {images}"
        if math.isnan(self.value):
            return f"{where} could not be computed ({self.reason}), its bound is {self.bound:g}"
        if self.kind in ("minimum", "maximum"):
            side = "below" if self.kind == "minimum" else "above"
            return f"{where} is {self.value:.4f}, {self.missed_by:.4f} {side} its {self.kind} {self.bound:g}"
        against = "" if self.baseline is None else f" (baseline {self.baseline:.4f})"
        unit = "" if self.kind == "absolute drop" else " of it"
        return (
            f"{where} fell by {self.value:.4f}{unit} below the last blessed model{against}, "
            f"{self.missed_by:.4f} more than the allowed {self.bound:g}"
        )


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The gate's decision on one model.

    Attributes:
      blessed: every threshold that was judged was met.
      failures: the thresholds that were not.
      metrics: the candidate's metrics by slice.
      baseline_metrics: the last blessed model's on the same images; empty when there was none.
      unjudged: the floors that did not count because too few images were there.
      notes: what else a person should know, e.g. that images were left out.
    """

    blessed: bool
    failures: tuple[Failure, ...]
    metrics: Mapping[SliceValues, Mapping[str, float]]
    baseline_metrics: Mapping[SliceValues, Mapping[str, float]]
    unjudged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """A line for the decision, one for each threshold that was not met or not judged, and the notes."""
        compared = (
            "compared with the last blessed model" if self.baseline_metrics else "no blessed model to compare with"
        )
        met = "every threshold that was judged is met" if self.unjudged else "every threshold met"
        decision = f"blessed: {met}, {compared}" if self.blessed else f"not blessed ({compared}):"
        further = (*map(str, self.failures), *(f"not judged: {floor}" for floor in self.unjudged), *self.notes)
        return [decision, *(f"  {line}" for line in further)]


def read_verdict(evaluation_uri: str) -> Verdict:
    """Reads the artifact ``evaluation`` of TFX's Evaluator.

    Raises:
      ValueError: the folder holds no evaluation that validated the model.
    """
    if not tf.io.gfile.glob(f"{evaluation_uri}/{constants.VALIDATIONS_KEY}*"):
        raise ValueError(
            f"{evaluation_uri}: holds no validation result; expected the `evaluation` output of an Evaluator"
        )
    validation = tfma.load_validation_result(evaluation_uri)
    config = tfma.load_eval_result(evaluation_uri).config
    settings = settings_of(config)
    models = [(str(spec.name), bool(spec.is_baseline)) for spec in config.model_specs]
    candidate = next(name for name, is_baseline in models if not is_baseline)
    baseline = next((name for name, is_baseline in models if is_baseline), None)
    every_metric = _metrics_by_slice(evaluation_uri, candidate)
    names = _Names.of(every_metric.get(OVERALL, {}))
    metrics = _reported(every_metric)
    of_baseline = _metrics_by_slice(evaluation_uri, baseline) if baseline else {}
    baseline_metrics = _reported(of_baseline)
    failures = [
        failure
        for on_slice in validation.metric_validations_per_slice
        for failed in on_slice.failures
        for failure in _failures(failed, _slice_values(on_slice.slice_key), of_baseline)
    ]
    failures += [
        Failure("every metric", _values_of_spec(missing), "minimum", math.nan, 0.0)
        for missing in validation.missing_slices
    ]
    misnamed = list(_misnamed_floors(settings.gates, names))
    explained = {(failure.metric, failure.slice_values) for failure in misnamed}
    others = [f for f in failures if not is_for_the_gate(f.metric) and (f.metric, f.slice_values) not in explained]
    return Verdict(
        validation.validation_ok,
        tuple(dict.fromkeys([*others, *misnamed])),
        metrics,
        baseline_metrics,
        (
            *dict.fromkeys(_unjudged_floors(settings.gates, names, metrics, explained)),
            *_unjudged_drops(settings.gates, names, every_metric.get(OVERALL, {}), baseline is not None),
        ),
        tuple(_notes(settings, names)),
    )


def _metrics_by_slice(evaluation_uri: str, model_name: str) -> dict[SliceValues, dict[str, float]]:
    """Metrics by slice, whole split first; differences between models are left out."""
    result = tfma.load_eval_result(evaluation_uri, model_name=model_name)
    by_slice = {}
    for slice_key, outputs in result.slicing_metrics:
        every = {key: float(value["doubleValue"]) for key, value in outputs[""][""].items() if "doubleValue" in value}
        differences = {f"{key}_diff" for key in every}
        by_slice[tuple((str(column), str(value)) for column, value in slice_key)] = {
            key: value for key, value in every.items() if key not in differences
        }
    return dict(sorted(by_slice.items()))


def _reported(by_slice: Mapping[SliceValues, Mapping[str, float]]) -> dict[SliceValues, dict[str, float]]:
    """What a person wants to see: the metrics of slices with an image."""
    return {
        values: {key: value for key, value in metrics.items() if not is_for_the_gate(key)}
        for values, metrics in by_slice.items()
        if metrics.get(IMAGE_COUNT)
    }


def _failures(
    failed: validation_result_pb2.ValidationFailure,
    slice_values: SliceValues,
    baseline_metrics: Mapping[SliceValues, Mapping[str, float]],
) -> list[Failure]:
    """TFMA's failure as ours; a change threshold with two bounds may be two of them."""
    key = failed.metric_key.name
    metric = unguarded(key)
    value = failed.metric_value.double_value.value if failed.HasField("metric_value") else math.nan
    threshold = failed.metric_threshold
    if threshold.HasField("value_threshold"):
        bounds = threshold.value_threshold
        if bounds.HasField("upper_bound"):
            return [Failure(metric, slice_values, "maximum", value, bounds.upper_bound.value)]
        return [Failure(metric, slice_values, "minimum", value, bounds.lower_bound.value)]
    change = threshold.change_threshold
    baseline = baseline_metrics.get(slice_values, {}).get(key, math.nan)
    share = -value / baseline if baseline else math.nan
    drops: list[tuple[BoundKind, float, float]] = []
    if change.HasField("absolute"):
        drops.append(("absolute drop", -value, -change.absolute.value))
    if change.HasField("relative"):
        drops.append(("relative drop", share, -change.relative.value))
    failures = [
        Failure(metric, slice_values, *drop, baseline, is_on_earlier_spans=is_on_earlier(key)) for drop in drops
    ]
    return [failure for failure in failures if not failure.missed_by <= 0]


@dataclasses.dataclass(frozen=True)
class _Names:
    """Images behind columns and classes by name; NaN for a name that only the config knows.

    Attributes:
      columns: of images.
      classes: of both models and the ground truth.
      known_before: classes of the last blessed model, empty without one.
    """

    columns: Mapping[str, float]
    classes: Mapping[str, float]
    known_before: Mapping[str, float]

    @classmethod
    def of(cls, metrics: Mapping[str, float]) -> _Names:
        """The names among the metrics of the whole split."""
        prefixes = known("column", ""), known("class", ""), known("before", "")
        return cls(
            *(
                {key.removeprefix(prefix): count for key, count in metrics.items() if key.startswith(prefix)}
                for prefix in prefixes
            )
        )

    def complaint_about_column(self, column: str, setting: str) -> str:
        """Why a column in the config is none, empty when it is one."""
        return _complaint(f"{setting} names the column {column!r}, which no image has", column, self.columns)

    def complaint_about_class(self, name: str, setting: str) -> str:
        """Why a class in the config is none, empty when it is one."""
        what = f"{setting} names the class {name!r}, which neither the model nor the ground truth knows"
        return _complaint(what, name, self.classes)


def _complaint(what: str, name: str, counts: Mapping[str, float]) -> str:
    if not math.isnan(counts.get(name, 0.0)):
        return ""
    nearest = difflib.get_close_matches(name, [other for other, count in counts.items() if not math.isnan(count)], n=1)
    return f"{what}; did you mean {nearest[0]!r}?" if nearest else what


def _misnamed_floors(gates: Gates, names: _Names) -> Iterator[Failure]:
    """A failure for every floor that could never apply, because nobody knows a name in it."""
    for slice_floor in gates.slice_floors:
        setting = "eval.gates.slice_floors"
        complaints = [names.complaint_about_column(column, setting) for column in slice_floor.slice]
        if CLASS_COLUMN in slice_floor.slice:
            complaints.append(names.complaint_about_class(slice_floor.slice[CLASS_COLUMN], setting))
        reason = "; ".join(filter(None, complaints))
        if reason:
            values = _sorted_values(slice_floor.slice)
            yield Failure(slice_floor.metric, values, "minimum", math.nan, slice_floor.min, reason=reason)
    for floor in gates.class_floors:
        reason = names.complaint_about_class(floor.class_name, "eval.gates.class_floors")
        if reason:
            metric = class_metric(floor.metric, floor.class_name)
            yield Failure(metric, OVERALL, "minimum", math.nan, floor.min, reason=reason)


def _unjudged_floors(
    gates: Gates,
    names: _Names,
    metrics: Mapping[SliceValues, Mapping[str, float]],
    misnamed: Container[tuple[str, SliceValues]],
) -> Iterator[str]:
    """The floors that did not count because of ``Gates.min_images``."""
    for slice_floor in gates.slice_floors:
        values = _sorted_values(slice_floor.slice)
        count = metrics.get(values, {}).get(IMAGE_COUNT, 0.0)
        if count < gates.min_images and (slice_floor.metric, values) not in misnamed:
            yield f"{slice_floor.metric} on {slice_name(values)}, {count:.0f} images, needs {gates.min_images}"
    for floor in gates.class_floors:
        every = floor.class_name == EVERY_CLASS
        few = [
            f"{name} ({count:.0f} images)"
            for name, count in sorted(names.classes.items())
            if (every or name == floor.class_name) and count < gates.min_images
        ]
        if few:
            more = f" and {len(few) - _MOST_CLASSES_A_LINE} more" if len(few) > _MOST_CLASSES_A_LINE else ""
            listed = ", ".join(few[:_MOST_CLASSES_A_LINE]) + more
            yield f"{floor.metric} of {listed}, needs {gates.min_images}"


def _unjudged_drops(gates: Gates, names: _Names, metrics: Mapping[str, float], has_baseline: bool) -> Iterator[str]:
    """The bounds on losses that did not count, because there was nothing to compare.

    Args:
      gates: the bounds.
      names: classes by name.
      metrics: the candidate's on the whole split, those for the gate included.
      has_baseline: whether there was a blessed model. Without one the decision says so of `max_drop`.
    """
    shows_nothing = not any(names.known_before.values())
    if has_baseline and gates.max_drop and shows_nothing:
        yield f"drop of {', '.join(gates.max_drop)}: no image shows a class that the last blessed model knows"
    if not gates.forgetting:
        return
    count = metrics.get(on_earlier(IMAGE_COUNT), 0.0)
    lost = f"loss of {', '.join(gates.forgetting)} on earlier spans"
    if not has_baseline:
        yield f"{lost}: no blessed model to compare with"
    elif count < max(gates.min_images, 1):
        yield f"{lost}, {count:.0f} images, needs {max(gates.min_images, 1)} (data.span_window: spans to read together)"
    elif shows_nothing:
        yield f"{lost}: no image shows a class that the last blessed model knows"


def _notes(settings: EvalSettings, names: _Names) -> Iterator[str]:
    new = sorted(name for name, count in names.classes.items() if count > 0 and name not in names.known_before)
    if names.known_before and new and (settings.gates.max_drop or settings.gates.forgetting):
        more = f" and {len(new) - _MOST_CLASSES_A_LINE} more" if len(new) > _MOST_CLASSES_A_LINE else ""
        yield (
            "compared with the last blessed model over the classes that it knows, without "
            f"{', '.join(new[:_MOST_CLASSES_A_LINE])}{more}"
        )
    complaints = (names.complaint_about_column(column, "eval.slices") for entry in settings.slices for column in entry)
    yield from dict.fromkeys(filter(None, complaints))


def _sorted_values(values: Mapping[str, str]) -> SliceValues:
    return tuple(sorted(values.items()))


def _slice_values(key: metrics_for_slice_pb2.SliceKey) -> SliceValues:
    return tuple((str(column), str(value)) for column, value in slicer_lib.deserialize_slice_key(key))


def _values_of_spec(spec: config_pb2.SlicingSpec) -> SliceValues:
    return tuple(sorted((str(column), str(value)) for column, value in spec.feature_values.items()))
