"""Geometry of a comparison's two plots; ``templates/comparison_charts.html`` draws them as SVG."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from components.report.charts import COLOURS, Axes, Point
from components.trainer.comparison.learning_curve import Forecast
from components.trainer.comparison.summary import Line, Summary

_COLOURS: Final = (*COLOURS, "#c23b6e", "#1f9aa8", "#7a7f1e", "#a35d3b", "#4b4fd1", "#2f8f8f")
"""As many as there may be rungs."""
_WIDTH, _HEIGHT = 520, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 16, 12, 26
_INTERVALS: Final = 4
_TOPS: Final = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclasses.dataclass(frozen=True)
class Curve:
    """What one rung reaches, in the drawing's units.

    Attributes:
      name: of the rung.
      colour: of all of it.
      points: means.
      bars: x with both ends of the interval, where there is one.
      ahead: the forecast's medians, from the last point on.
      band: outline of the forecast's interval.
    """

    name: str
    colour: str
    points: tuple[Point, ...]
    bars: tuple[tuple[float, float, float], ...]
    ahead: tuple[Point, ...] = ()
    band: tuple[Point, ...] = ()


@dataclasses.dataclass(frozen=True)
class CurveChart(Axes):
    """Curves over a logarithmic axis, in the drawing's units.

    Attributes:
      x_label: what the axis is.
      curves: the curves.
    """

    x_label: str
    curves: tuple[Curve, ...]


def chart_by_images(summary: Summary, forecasts: Mapping[str, list[Forecast] | str]) -> CurveChart | None:
    """AP against labelled images, with what more of them would bring; None when nothing was reached."""
    ahead = {rung: said for rung, said in forecasts.items() if not isinstance(said, str)}
    return _chart(summary, "labelled images", lambda line: float(line.images), ahead)


def chart_by_seconds(summary: Summary) -> CurveChart | None:
    """AP against the seconds of a training, a point for each number of images; None when nothing was reached."""
    return _chart(summary, "seconds of a training", lambda line: line.seconds, {})


def _chart(
    summary: Summary, x_label: str, x_of: Callable[[Line], float], ahead: Mapping[str, Sequence[Forecast]]
) -> CurveChart | None:
    lines = [line for line in summary.lines if line.estimates and not math.isnan(line.estimates["AP"].mean)]
    if not lines:
        return None
    xs = [max(x_of(line), 1.0) for line in lines] + [float(point.images) for said in ahead.values() for point in said]
    highest = max([line.estimates["AP"].high for line in lines] + [p.median for said in ahead.values() for p in said])
    y_max = next((top for top in _TOPS if top >= highest), 1.0)
    low, high = math.log(min(xs)), math.log(max(xs))

    def place(x: float, y: float) -> Point:
        share = (math.log(max(x, 1.0)) - low) / ((high - low) or 1.0)
        height = 1 - min(max(y, 0.0), y_max) / y_max
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT), _TOP + height * (_HEIGHT - _TOP - _BOTTOM)

    curves = []
    for index, rung in enumerate(summary.rungs):
        own = sorted((line for line in lines if line.rung == rung), key=x_of)
        means = [place(x_of(line), line.estimates["AP"].mean) for line in own]
        ends = [(line, line.estimates["AP"]) for line in own if line.estimates["AP"].half_width is not None]
        bars = [(*place(x_of(line), ap.low), place(x_of(line), ap.high)[1]) for line, ap in ends]
        said = ahead.get(rung, ())
        band = [place(p.images, p.low) for p in said] + [place(p.images, p.high) for p in reversed(said)]
        medians = tuple(place(p.images, p.median) for p in said)
        colour = _COLOURS[index % len(_COLOURS)]
        curves.append(Curve(rung, colour, tuple(means), tuple(bars), medians, tuple(band)))
    ticks = (
        [math.exp(low + (high - low) * step / _INTERVALS) for step in range(_INTERVALS + 1)] if high > low else xs[:1]
    )
    return CurveChart(
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        y_ticks=tuple(
            (place(1.0, y_max * step / _INTERVALS)[1], f"{y_max * step / _INTERVALS:.3g}")
            for step in range(_INTERVALS + 1)
        ),
        x_ticks=tuple((place(x, 0.0)[0], f"{x:.0f}") for x in ticks),
        x_label=x_label,
        curves=tuple(curves),
    )
