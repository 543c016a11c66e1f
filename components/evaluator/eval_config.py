"""From the evaluation's settings to TFMA's ``EvalConfig``.

One config serves runs with and without a baseline: TFX's Evaluator adds the baseline's model when there is one and
drops the thresholds on change when there is none.
"""

from __future__ import annotations

import json
from typing import Final

from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.coco import class_metric
from components.evaluator.coco_metric import CocoMetrics, guarded, kept, known, on_earlier
from components.evaluator.settings import Drop, EvalSettings
from schema.exported_model import EVALUATE_SIGNATURE

EXTRACTORS_MODULE: Final = "components.evaluator.extractors"
"""``module_path`` of TFX's Evaluator."""


def build_eval_config(settings: EvalSettings) -> config_pb2.EvalConfig:
    """The ``eval_config`` of TFX's Evaluator, which must also be given ``module_path=EXTRACTORS_MODULE``."""
    config = config_pb2.EvalConfig()
    config.model_specs.add(signature_name=EVALUATE_SIGNATURE)
    config.options.include_default_metrics.value = False
    spec = config.metrics_specs.add()
    spec.metrics.add(
        class_name=CocoMetrics.__name__,
        module=CocoMetrics.__module__,
        config=json.dumps({"name": "coco", "settings": settings.model_dump(mode="json")}, sort_keys=True),
    )
    floors = [frozenset(floor.slice) for floor in settings.gates.slice_floors]
    for columns in dict.fromkeys([frozenset[str](), *map(frozenset, settings.slices), *floors]):
        config.slicing_specs.add(feature_keys=sorted(columns))
    _add_thresholds(spec, settings)
    return config


def settings_of(eval_config: config_pb2.EvalConfig) -> EvalSettings:
    """The settings the evaluation was configured from; they travel in the metric's configuration.

    Raises:
      ValueError: the metric of this package is not in the config.
    """
    for metrics_spec in eval_config.metrics_specs:
        for metric in metrics_spec.metrics:
            if metric.class_name == CocoMetrics.__name__:
                return EvalSettings.model_validate(json.loads(metric.config)["settings"])
    raise ValueError(
        "eval_config has no metric CocoMetrics; make the config with components.evaluator.eval_config.build_eval_config"
    )


def _add_thresholds(spec: config_pb2.MetricsSpec, settings: EvalSettings) -> None:
    gates = settings.gates
    # Without any threshold TFX does not validate and never blesses; AP itself must be a number in any case.
    for metric, lowest in {"AP": 0.0, **gates.minimum}.items():
        _threshold(spec, metric, {}).value_threshold.lower_bound.value = lowest
    for metric, drop in gates.max_drop.items():
        _set_change(_threshold(spec, kept(metric), {}), drop)
    for metric, drop in gates.forgetting.items():
        _set_change(_threshold(spec, on_earlier(metric), {}), drop)
    for slice_floor in gates.slice_floors:
        threshold = _threshold(spec, guarded(slice_floor.metric), slice_floor.slice)
        threshold.value_threshold.lower_bound.value = slice_floor.min
    for floor in gates.class_floors:
        threshold = _threshold(spec, guarded(class_metric(floor.metric, floor.class_name)), {})
        threshold.value_threshold.lower_bound.value = floor.min
    # A number, be it 0, says that the name is known.
    columns, classes = sorted(gates.columns), sorted(gates.class_names)  # a set's order would undo the cache
    for key in (*(known("column", name) for name in columns), *(known("class", name) for name in classes)):
        _threshold(spec, key, {}).value_threshold.lower_bound.value = 0.0


def _threshold(spec: config_pb2.MetricsSpec, key: str, values: dict[str, str]) -> config_pb2.MetricThreshold:
    """A new threshold for a metric key on one slice (no values: the whole split)."""
    on_slice = spec.per_slice_thresholds[key].thresholds.add()
    on_slice.slicing_specs.add(feature_values=values)
    return on_slice.threshold


def _set_change(threshold: config_pb2.MetricThreshold, drop: Drop) -> None:
    threshold.change_threshold.direction = config_pb2.MetricDirection.HIGHER_IS_BETTER
    if drop.absolute is not None:
        threshold.change_threshold.absolute.value = -drop.absolute
    if drop.relative is not None:
        threshold.change_threshold.relative.value = -drop.relative
