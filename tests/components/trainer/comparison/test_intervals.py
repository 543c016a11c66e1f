"""Intervals over seeds against scipy's, and the choice."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from components.trainer.comparison.intervals import Estimate, choose, estimate


@pytest.mark.parametrize("count", [2, 3, 10])
def test_the_interval_is_students(count: int) -> None:
    values = np.random.default_rng(count).normal(0.5, 0.1, count)
    found = estimate(values.tolist())
    low, high = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_one_value_says_nothing_about_the_spread() -> None:
    found = estimate([0.5])
    assert found.half_width is None
    assert str(found) == "0.500"


def test_the_cheapest_that_reaches_the_best_is_taken() -> None:
    reached = {
        "fine_tune": Estimate(0.60, 0.02, 3),
        "frozen": Estimate(0.57, 0.02, 3),
        "svm": Estimate(0.50, 0.02, 3),
    }
    choice = choose(reached, {"fine_tune": 100.0, "frozen": 40.0, "svm": 5.0})
    assert choice is not None
    assert choice.name == "frozen"
    assert "fine_tune 0.600 ± 0.020 in 100 s" in choice.reason
    assert "svm" not in choice.reason


def test_without_intervals_the_best_is_taken() -> None:
    choice = choose({"a": estimate([0.5]), "b": estimate([0.51])}, {"a": 1.0, "b": 100.0})
    assert choice is not None
    assert choice.name == "b"
    assert "one seed" in choice.reason


def test_nothing_to_choose_from() -> None:
    assert choose({"a": estimate([float("nan")])}, {"a": 1.0}) is None
