"""The ``tuner`` section."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.trainer.tuning.settings import TunerSettings, as_hyperparameter, overrides_of

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=4)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({}, "at least 1 item"),
        ({"data.path": {"choices": ["a", "b"]}}, "expected dotted keys of model, transfer, train"),
        ({"train": {"choices": [1, 2]}}, "expected dotted keys"),
        ({"train.steps": {"min": 1, "max": 5}}, r"trials all have the steps of tuner\.steps"),
        ({"train.batch_size": {"min": 8, "max": 4}}, "min must be below max, found 8 and 4"),
        ({"train.optimizer.weight_decay": {"min": 0, "max": 1, "scale": "log"}}, "min must be above 0"),
        ({"train.batch_size": {"choices": [4]}}, "at least 2 items"),
    ],
)
def test_refused(search: Any, message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        TunerSettings(search=search)


def test_whole_numbers_stay_whole_through_json() -> None:
    settings = TunerSettings.model_validate({"search": {"train.batch_size": {"min": 4, "max": 8}}})
    again = TunerSettings.model_validate_json(settings.model_dump_json())
    assert again == settings
    assert again.search["train.batch_size"].is_whole  # type: ignore[union-attr]


@given(JSON)
def test_any_value_comes_back(value: Any) -> None:
    assert overrides_of({"key": as_hyperparameter(value)}) == {"key": value}
