"""Geometry of the page's charts; ``templates/charts.html`` draws them as SVG. No script, no font, no network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Final

Point = tuple[float, float]

COLOURS: Final = ("#3567b2", "#c4572f", "#3a8f5c", "#8a5fb0", "#b08a2f", "#5b6770")
_WIDTH, _HEIGHT = 520, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 26
_INTERVALS: Final = 4
_MOST_DOTS: Final = 40


@dataclasses.dataclass(frozen=True)
class Line:
    """One line, in the drawing's units.

    Attributes:
      name: for the legend.
      colour: of the line.
      points: (x, y).
    """

    name: str
    colour: str
    points: tuple[Point, ...]

    @property
    def dots(self) -> Sequence[Point]:
        """Points that are drawn as such: those of a line that has few."""
        return self.points if len(self.points) <= _MOST_DOTS else ()


@dataclasses.dataclass(frozen=True)
class Axes:
    """What a chart is drawn into, in the drawing's units.

    Attributes:
      width, height: of the drawing.
      left, right: ends of the grid lines.
      y_ticks: y and text of each grid line.
      x_ticks: x and text of each mark below.
    """

    width: int
    height: int
    left: int
    right: int
    y_ticks: tuple[tuple[float, str], ...]
    x_ticks: tuple[tuple[float, str], ...]


@dataclasses.dataclass(frozen=True)
class LineChart(Axes):
    """Lines over steps, in the drawing's units.

    Attributes:
      lines: the lines.
    """

    lines: tuple[Line, ...]


def line_chart(series: Mapping[str, Sequence[Point]], *, y_max: float) -> LineChart | None:
    """Lines through points, y from 0 up.

    Args:
      series: points (x, y) by name; points that are not finite are left out, values are cut at the ends of the axis.
      y_max: upper end of the y axis.

    Returns:
      The chart, None when there is no point.
    """
    finite = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)] for name, points in series.items()
    }
    steps = [x for points in finite.values() for x, _ in points]
    if not steps:
        return None
    first, span = min(steps), (max(steps) - min(steps)) or 1.0

    def place_x(x: float) -> float:
        return _LEFT + (x - first) / span * (_WIDTH - _LEFT - _RIGHT)

    def place_y(y: float) -> float:
        return _TOP + (1 - min(max(y, 0.0), y_max) / y_max) * (_HEIGHT - _TOP - _BOTTOM)

    shares = [tick / _INTERVALS for tick in range(_INTERVALS + 1)]
    return LineChart(
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        y_ticks=tuple((place_y(y_max * share), f"{y_max * share:.3g}") for share in shares),
        x_ticks=tuple((place_x(first + span * share), f"{first + span * share:.0f}") for share in shares),
        lines=tuple(
            Line(name, COLOURS[index % len(COLOURS)], tuple((place_x(x), place_y(y)) for x, y in points))
            for index, (name, points) in enumerate(finite.items())
        ),
    )


@dataclasses.dataclass(frozen=True)
class Bar:
    """A horizontal bar.

    Attributes:
      name: what it is of.
      value: as a share of a full bar; beyond 0..1 it is cut, NaN is an empty bar.
      text: what is shown behind the bar.
    """

    name: str
    value: float
    text: str

    @property
    def share(self) -> float:
        """0..1."""
        return 0.0 if math.isnan(self.value) else min(max(self.value, 0.0), 1.0)
