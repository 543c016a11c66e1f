from __future__ import annotations

import math

from components.report.unit_chart import UnitLine, unit_chart
from components.report.worst_classes import worst_classes


def test_corners_are_the_ends_of_the_axes_and_what_is_no_number_is_left_out() -> None:
    line = UnitLine("a", "red", [(0, 0), (math.nan, 0.5), (1, 1), (2, -1)])
    chart = unit_chart([line], "recall", "precision")
    bottom, top = chart.y_ticks[0][0], chart.y_ticks[-1][0]
    assert chart.lines[0].points == ((chart.left, bottom), (chart.right, top), (chart.right, bottom))
    assert [text for _, text in chart.x_ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    small = unit_chart([line], "recall", "precision", "small")
    assert small.width < chart.width
    assert [text for _, text in small.x_ticks] == ["0", "0.5", "1"]


def test_the_worst_come_first_and_the_rest_is_counted() -> None:
    assert worst_classes([0.1, math.nan, 0.3, 0.3, 0.2], most=3) == ([2, 3, 4], 1)
    assert worst_classes([]) == ([], 0)
