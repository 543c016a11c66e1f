from __future__ import annotations

from components.evaluator.eval_config import build_eval_config, settings_of
from components.evaluator.settings import EvalSettings

SETTINGS = EvalSettings.model_validate(
    {
        "slices": [["weather"], ["weather", "time_of_day"]],
        "gates": {
            "minimum": {"AP": 0.3},
            "max_drop": {"AP50": {"relative": 0.1}},
            "forgetting": {"AP": {"absolute": 0.01}},
            "slice_floors": [
                {"slice": {"weather": "fog"}, "metric": "AP50", "min": 0.5},
                {"slice": {"camera": "3"}, "metric": "AP50", "min": 0.5},
            ],
            "class_floors": [{"class_name": "car", "metric": "AP", "min": 0.2}],
        },
    }
)


def test_settings_travel_in_the_config() -> None:
    assert settings_of(build_eval_config(SETTINGS)) == SETTINGS


def test_slices_hold_the_whole_split_those_asked_for_and_those_with_floors_once() -> None:
    specs = [tuple(spec.feature_keys) for spec in build_eval_config(SETTINGS).slicing_specs]
    assert specs == [(), ("weather",), ("time_of_day", "weather"), ("camera",)]


def test_thresholds_stand_at_their_keys() -> None:
    (spec,) = build_eval_config(SETTINGS).metrics_specs
    bounds = {
        (key, tuple(on_slice.slicing_specs[0].feature_values.items())): on_slice.threshold
        for key, thresholds in spec.per_slice_thresholds.items()
        for on_slice in thresholds.thresholds
    }
    assert bounds.keys() == {
        ("AP", ()),
        ("kept/AP50", ()),
        ("earlier/AP", ()),
        ("guarded/AP50", (("weather", "fog"),)),
        ("guarded/AP50", (("camera", "3"),)),
        ("guarded/AP/car", ()),
        ("known/column/weather", ()),
        ("known/column/camera", ()),
        ("known/class/car", ()),
    }
    assert bounds["AP", ()].value_threshold.lower_bound.value == 0.3
    assert bounds["kept/AP50", ()].change_threshold.relative.value == -0.1
    assert not bounds["kept/AP50", ()].change_threshold.HasField("absolute")
    assert bounds["earlier/AP", ()].change_threshold.absolute.value == -0.01


def test_a_gate_without_floors_still_asks_for_a_number() -> None:
    settings = EvalSettings.model_validate({"gates": {"minimum": {}, "max_drop": {}}})
    (spec,) = build_eval_config(settings).metrics_specs
    (threshold,) = spec.per_slice_thresholds["AP"].thresholds
    assert threshold.threshold.value_threshold.HasField("lower_bound")
