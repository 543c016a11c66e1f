from __future__ import annotations

import json

import pytest

from components.evaluator.eval_config import build_eval_config
from components.evaluator.settings import EvalSettings

SETTINGS = EvalSettings.model_validate({"slices": [["weather"], ["weather", "time_of_day"]]})


def test_settings_travel_with_the_metric() -> None:
    (spec,) = build_eval_config(SETTINGS, ["candidate"]).metrics_specs
    (metric,) = spec.metrics
    assert EvalSettings.model_validate(json.loads(metric.config)["settings"]) == SETTINGS


def test_slices_hold_the_whole_split_and_those_asked_for() -> None:
    specs = [tuple(spec.feature_keys) for spec in build_eval_config(SETTINGS, ["candidate"]).slicing_specs]
    assert specs == [(), ("weather",), ("time_of_day", "weather")]


@pytest.mark.parametrize("names", [["candidate"], ["candidate", "baseline"]])
def test_the_second_model_is_the_baseline(names: list[str]) -> None:
    config = build_eval_config(SETTINGS, names)
    assert [(spec.name, spec.is_baseline) for spec in config.model_specs] == [
        (name, name == "baseline") for name in names
    ]
    assert list(config.metrics_specs[0].model_names) == names
