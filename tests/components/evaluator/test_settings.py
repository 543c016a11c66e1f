from __future__ import annotations

from typing import Any

import pydantic
import pytest

from components.evaluator.coco import COCO_METRICS
from components.evaluator.settings import EvalSettings


def test_settings_survive_the_way_through_json() -> None:
    settings = EvalSettings.model_validate(
        {
            "slices": [["weather", "time_of_day"], ["class"]],
            "operating_point": {"rule": "precision", "value": 0.9},
            "gates": {
                "minimum": {"AP50": 0.8},
                "max_drop": {"AP": {"absolute": 0.01, "relative": 0.05}},
                "slice_floors": [{"slice": {"weather": "fog"}, "metric": "AP50", "min": 0.5}],
                "class_floors": [{"class_name": "*", "metric": "AP", "min": 0.1}],
            },
        }
    )
    assert EvalSettings.model_validate_json(settings.model_dump_json()) == settings
    assert EvalSettings.model_validate(settings.model_dump(mode="json")) == settings


def test_every_coco_metric_can_be_reported_by_class() -> None:
    assert EvalSettings.model_validate({"per_class_metrics": COCO_METRICS}).per_class_metrics == COCO_METRICS


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"gates": {"minimum": {"AP5O": 0.5}}}, "'AP50'"),
        ({"gates": {"minimum": {"AP50": 50}}}, "less than or equal to 1"),
        ({"gates": {"max_drop": {"AP": {}}}}, "neither `absolute` nor `relative`"),
        ({"gates": {"slice_floors": [{"slice": {}, "metric": "AP", "min": 0.5}]}}, "at least 1 item"),
        ({"operating_point": {"value": 0.9}}, "found `value: 0.9` with the rule `f1`, which has none"),
        ({"operating_point": {"rule": "precision"}}, "found the rule `precision` without a value"),
        ({"operating_point": {"rule": "recall", "value": 90}}, "less than or equal to 1"),
        ({"operating_point": {"rule": "best"}}, "'f1', 'precision' or 'recall'"),
        ({"slices": [[]]}, "empty slice"),
        ({"slices": [["weather", "weather"]]}, "column twice"),
        ({"slices": [["a", "b"], ["b", "a"]]}, "slice twice"),
        ({"object_count_bounds": [4, 1]}, r"found bounds \[4, 1\]"),
        ({"image_size_bounds_pixels": []}, "at least one"),
        ({"slizes": []}, "slizes"),
    ],
)
def test_mistakes_are_named(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=complaint):
        EvalSettings.model_validate(values)
