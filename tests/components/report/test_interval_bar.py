from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.report.interval_bar import UNIT_SCALE, interval_bar, scale_around


def test_a_floor_allows_what_is_right_of_it_and_a_fall_what_is_left() -> None:
    floor = interval_bar(0.5, (0.4, 0.7), UNIT_SCALE, mark=0.6, allowed="from the mark")
    assert (floor.value, floor.low, floor.high, floor.mark, floor.zero) == pytest.approx((50, 40, 70, 60, 0))
    assert floor.allowed == pytest.approx((60, 100))
    fall = interval_bar(0.0, None, (-1.0, 1.0), mark=0.5, allowed="up to the mark")
    assert (fall.value, fall.low, fall.high, fall.zero) == (50, None, None, 50)
    assert fall.allowed == pytest.approx((0, 75))


def test_what_is_not_known_is_not_drawn() -> None:
    bar = interval_bar(math.nan, None, UNIT_SCALE, allowed="from the mark")
    assert (bar.value, bar.mark, bar.allowed) == (None, None, None)


@given(st.lists(st.floats(-10, 10) | st.just(math.nan)), st.floats(-20, 20))
def test_every_place_is_on_the_bar_and_a_scale_holds_its_values(values: list[float], other: float) -> None:
    scale = scale_around(*values)
    assert scale[0] < 0 < scale[1]
    assert all(math.isnan(value) or scale[0] < value < scale[1] for value in values)
    place = interval_bar(other, None, scale).value
    assert place is not None
    assert 0 <= place <= 100
