from __future__ import annotations

import math

import pytest

from components.report.charts import Bar, line_chart


def test_a_chart_leaves_out_what_is_not_finite_and_cuts_at_its_ends() -> None:
    chart = line_chart({"a": [(0, 1.0), (1, math.nan), (2, 9.0)], "b": [(0, 0.0)]}, y_max=2.0)
    assert chart is not None
    assert [len(line.points) for line in chart.lines] == [2, 1]
    [(left, middle), (right, top)] = chart.lines[0].points
    assert (left, right) == (chart.left, chart.right)
    assert [text for _, text in chart.y_ticks] == ["0", "0.5", "1", "1.5", "2"]
    assert middle == chart.y_ticks[2][0]
    assert top == chart.y_ticks[4][0]
    assert [text for _, text in chart.x_ticks] == ["0", "0", "1", "2", "2"]


def test_no_points_no_chart() -> None:
    assert line_chart({}, y_max=1.0) is None
    assert line_chart({"a": [(0, math.inf)]}, y_max=1.0) is None


@pytest.mark.parametrize(("value", "share"), [(0.5, 0.5), (3.0, 1.0), (-1.0, 0.0), (math.nan, 0.0)])
def test_bars_are_cut_at_full_and_empty_without_a_number(value: float, share: float) -> None:
    assert Bar("one", value, "").share == share
