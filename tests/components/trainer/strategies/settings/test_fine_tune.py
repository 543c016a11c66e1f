"""Stages and how they divide the steps."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.trainer.strategies.settings.fine_tune import FineTuneSettings


def settings(*steps: int | float | None) -> FineTuneSettings:
    return FineTuneSettings.model_validate({"stages": [{"steps": each} for each in steps]})


@pytest.mark.parametrize(
    ("stages", "steps", "lengths"),
    [
        ((), 10, [10]),
        ((4, 6), 10, [4, 6]),
        ((0.3, 0.7), 10, [3, 7]),
        ((4, None, 0.2), 10, [4, 4, 2]),
        ((0.5, 0.25, 0.25), 1001, [500, 251, 250]),
    ],
)
def test_stages_divide_the_steps(stages: tuple[Any, ...], steps: int, lengths: list[int]) -> None:
    assert settings(*stages).stage_steps(steps) == lengths


@given(st.lists(st.integers(1, 100), min_size=2, max_size=6), st.integers(600, 100_000))
def test_shares_add_up(weights: list[int], steps: int) -> None:
    lengths = settings(*(weight / sum(weights) for weight in weights)).stage_steps(steps)
    assert sum(lengths) == steps
    for weight, length in zip(weights, lengths, strict=True):
        assert length == pytest.approx(steps * weight / sum(weights), abs=1)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((4, 7), r"train.steps = 10, found 4 \+ 7 = 11"),
        ((0.5, 0.4), r"found 5 \+ 4 = 9"),
        ((4, None, 6), r"at least one step each .* found 4 \+ 0 \+ 6 = 10"),
        ((12, None), r"found 12 \+ -2 = 10"),
    ],
)
def test_stages_that_do_not_add_up(stages: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(*stages).check_steps(10)


def test_stages_leave_a_number_open_that_the_data_decide() -> None:
    settings(4, None).check_steps(None)
    settings(0.5, 0.5).check_steps(None)
    with pytest.raises(ValueError, match=r"train\.steps is auto, .* leave none open"):
        settings(4, 0.5).check_steps(None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"freeze": ["block_(1"]}, r"'block_\(1', which is no regular expression: missing \)"),
        ({"learning_rates": {"[": 0.1}}, r"'\[', which is no regular expression"),
        ({"learning_rates": {"backbone": 0.0}}, "greater than 0"),
        ({"trainable": "heads", "stages": [{}]}, "every one of `stages`; found trainable beside them"),
        ({"stages": [{"steps": 3}, {}, {}]}, "only one may take the steps that the others leave"),
        ({"stages": [{"trainable": "heds"}]}, "did you mean 'heads'"),
    ],
)
def test_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        FineTuneSettings.model_validate(values)


def test_json_and_back() -> None:
    stages = [{"steps": 0.2, "trainable": "heads"}, {"learning_rate": 1e-4, "freeze": ["^Conv1$"]}]
    made = FineTuneSettings.model_validate({"stages": stages, "learning_rates": {"backbone": 0.1, "head": 2}})
    assert FineTuneSettings.model_validate_json(made.model_dump_json()) == made
    assert list(made.learning_rates) == ["backbone", "head"]
