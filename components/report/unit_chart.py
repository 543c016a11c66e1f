"""Geometry of charts whose axes both go from 0 to 1; ``templates/unit_chart.html`` draws them as SVG."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Final, Literal

from components.report.charts import Axes, Point

Style = Literal["solid", "dashed", "faint"]

_SIZES: Final = {"large": (520, 340), "small": (240, 170)}
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 12, 10, 24
_TICKS: Final = {"large": 5, "small": 2}


@dataclasses.dataclass(frozen=True)
class UnitLine:
    """One line.

    Attributes:
      name: for the legend; a line without one is not in it.
      colour: of the line.
      points: (x, y); those that are not finite are left out, values are cut at 0 and 1.
      style: how it is drawn.
      has_dots: its points are drawn as such, too.
    """

    name: str
    colour: str
    points: Sequence[Point]
    style: Style = "solid"
    has_dots: bool = False


@dataclasses.dataclass(frozen=True)
class UnitChart(Axes):
    """Lines in the drawing's units.

    Attributes:
      x_label, y_label: what the axes are.
      lines: the lines.
    """

    x_label: str
    y_label: str
    lines: tuple[UnitLine, ...]


def unit_chart(
    lines: Sequence[UnitLine], x_label: str, y_label: str, size: Literal["large", "small"] = "large"
) -> UnitChart:
    """Places lines, whose points are 0 to 1 in both directions, in a drawing."""
    width, height = _SIZES[size]

    def place(x: float, y: float) -> Point:
        x, y = (min(max(value, 0.0), 1.0) for value in (x, y))
        return _LEFT + x * (width - _LEFT - _RIGHT), _TOP + (1 - y) * (height - _TOP - _BOTTOM)

    shares = [tick / _TICKS[size] for tick in range(_TICKS[size] + 1)]
    return UnitChart(
        width=width,
        height=height,
        left=_LEFT,
        right=width - _RIGHT,
        y_ticks=tuple((place(0, share)[1], f"{share:.1g}") for share in shares),
        x_ticks=tuple((place(share, 0)[0], f"{share:.1g}") for share in shares),
        x_label=x_label,
        y_label=y_label,
        lines=tuple(
            dataclasses.replace(
                line,
                points=tuple(place(x, y) for x, y in line.points if math.isfinite(x) and math.isfinite(y)),
            )
            for line in lines
        ),
    )
