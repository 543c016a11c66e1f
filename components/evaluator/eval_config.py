"""From the evaluation's settings to TFMA's ``EvalConfig``. TFMA measures; ``judge.py`` judges."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.coco_metric import CocoMetrics
from components.evaluator.settings import EvalSettings
from schema.exported_model import EVALUATE_SIGNATURE


def build_eval_config(settings: EvalSettings, model_names: Sequence[str]) -> config_pb2.EvalConfig:
    """TFMA's config: COCO's metrics of one or two models over the whole split and by slice.

    Args:
      settings: what is measured.
      model_names: the candidate, and the last blessed model where there is one.
    """
    config = config_pb2.EvalConfig()
    for name in model_names:
        config.model_specs.add(
            name=name, signature_name=EVALUATE_SIGNATURE, is_baseline=len(model_names) > 1 and name == model_names[-1]
        )
    config.options.include_default_metrics.value = False
    config.metrics_specs.add(model_names=model_names).metrics.add(
        class_name=CocoMetrics.__name__,
        module=CocoMetrics.__module__,
        config=json.dumps({"name": "coco", "settings": settings.model_dump(mode="json")}, sort_keys=True),
    )
    for columns in ((), *settings.slices):
        config.slicing_specs.add(feature_keys=sorted(columns))
    return config
