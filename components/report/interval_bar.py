"""Geometry of a value with its interval on a scale; ``templates/interval_bar.html`` draws it as SVG."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

Place = float
"""Percent of the bar's width from the left, 0..100."""
Scale = tuple[float, float]
"""The values at the left and the right end."""

UNIT_SCALE: Scale = (0.0, 1.0)
_MARGIN = 0.08


@dataclasses.dataclass(frozen=True)
class IntervalBar:
    """A value on a scale. Places are None where there is no such number; those beyond the scale lie at its end.

    Attributes:
      value: of the value.
      low, high: ends of the interval around it.
      mark: of what it is compared with: a bound, or the value of an earlier model.
      zero: of the number 0.
      allowed: left and right end of what a bound allows.
    """

    value: Place | None
    low: Place | None
    high: Place | None
    mark: Place | None
    zero: Place | None
    allowed: tuple[Place, Place] | None


def interval_bar(
    value: float,
    interval: tuple[float, float] | None,
    scale: Scale,
    *,
    mark: float = math.nan,
    allowed: Literal["from the mark", "up to the mark"] | None = None,
) -> IntervalBar:
    """Places a value on a scale.

    Args:
      value: NaN where there is none.
      interval: around it.
      scale: its ends, the left one smaller.
      mark: what it is compared with, NaN for nothing.
      allowed: which side of the mark is the good one.
    """
    low, high = interval or (math.nan, math.nan)
    marked = _place(mark, scale)
    good = None
    if allowed is not None and marked is not None:
        good = (marked, 100.0) if allowed == "from the mark" else (0.0, marked)
    return IntervalBar(_place(value, scale), _place(low, scale), _place(high, scale), marked, _place(0.0, scale), good)


def scale_around(*values: float) -> Scale:
    """A scale that holds zero and all values that are finite, with a margin."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(0.0, *finite, 0.0), max(0.0, *finite, 0.0)
    margin = _MARGIN * (high - low) or 1.0
    return low - margin, high + margin


def _place(value: float, scale: Scale) -> Place | None:
    if math.isnan(value):
        return None
    low, high = scale
    return 100 * min(max((value - low) / (high - low), 0.0), 1.0)
