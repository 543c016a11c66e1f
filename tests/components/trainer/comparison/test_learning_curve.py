"""Forecasts of curves that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from components.trainer.comparison.learning_curve import ForecastError, forecast

SIZES = [25, 50, 100, 200] * 3


def _noisy(a: float, b: float, c: float, seed: int, deviation: float = 0.01) -> list[float]:
    random = np.random.default_rng(seed)
    return [a - b * n**-c + random.normal(0.0, deviation) for n in SIZES]


def test_the_interval_holds_what_comes() -> None:
    # 95 % of forecasts should; of 40 at least 34 do with a probability beyond 99 %.
    held = 0
    for seed in range(40):
        (found,) = forecast(SIZES, _noisy(0.7, 2.0, 0.5, seed), [800])
        held += found.low <= 0.7 - 2.0 * 800**-0.5 <= found.high
    assert held >= 34


def test_the_median_is_near_the_least_squares_fit() -> None:
    reached = _noisy(0.7, 2.0, 0.5, seed=1, deviation=0.004)
    fit, _ = curve_fit(lambda n, a, b, c: a - b * n**-c, SIZES, reached, p0=(0.7, 2.0, 0.5))
    (found,) = forecast(SIZES, reached, [400])
    assert found.median == pytest.approx(fit[0] - fit[1] * 400 ** -fit[2], abs=0.015)


def test_farther_ahead_less_is_known() -> None:
    near, far = forecast(SIZES, _noisy(0.7, 2.0, 0.5, seed=2), [300, 3000])
    assert far.high - far.low > near.high - near.low
    assert far.median >= near.median


def test_one_seed_gives_a_wide_interval() -> None:
    law = [0.7 - 2.0 * n**-0.5 for n in (25, 50, 100)]
    (alone,) = forecast([25, 50, 100], law, [400])
    (thrice,) = forecast([25, 50, 100] * 3, law * 3, [400])
    assert alone.high - alone.low > thrice.high - thrice.low > 0.0


def test_two_sizes_say_nothing() -> None:
    with pytest.raises(ForecastError, match="2 sizes says nothing; expected at least 3"):
        forecast([25, 25, 50, 50], [0.1, 0.2, 0.3, 0.4], [100])


def test_a_curve_that_falls_is_no_learning_curve() -> None:
    with pytest.raises(ForecastError, match="does not grow"):
        forecast(SIZES, [0.9 - 0.004 * n for n in SIZES], [400])


@given(st.lists(st.floats(0.0, 1.0), min_size=12, max_size=12))
def test_whatever_was_reached_a_forecast_is_an_average_precision(reached: list[float]) -> None:
    try:
        (found,) = forecast(SIZES, reached, [400])
    except ForecastError:
        return
    assert 0.0 <= found.low <= found.median <= found.high <= 1.0
