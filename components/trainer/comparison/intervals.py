"""Means over seeds with their intervals, and the choice between ways of transfer. Plain arithmetic."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Final

from scipy import stats

CONFIDENCE: Final = 0.95
CHOICE_RULE: Final = (
    "the cheapest whose 95 % interval reaches the best one's; where there is one seed, and so no interval, the best"
)
"""How ``choose`` decides, in words."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
      mean: of the values.
      half_width: of the interval around it; None where one value says nothing about the spread.
      count: of values.
    """

    mean: float
    half_width: float | None
    count: int

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - (self.half_width or 0.0)

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + (self.half_width or 0.0)

    def __str__(self) -> str:
        return f"{self.mean:.3f}" if self.half_width is None else f"{self.mean:.3f} ± {self.half_width:.3f}"


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and the 95 % interval of Student's t distribution.

    Raises:
      ValueError: there is no value.
    """
    mean = statistics.fmean(values)
    count = len(values)
    if count < 2:
        return Estimate(mean, None, count)
    quantile = float(stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1))
    return Estimate(mean, quantile * statistics.stdev(values) / math.sqrt(count), count)


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which way of transfer to take.

    Attributes:
      name: of the rung.
      reason: in a sentence.
    """

    name: str
    reason: str


def choose(reached: Mapping[str, Estimate], seconds: Mapping[str, float], metric: str = "AP") -> Choice | None:
    """The cheapest whose interval reaches the best one's (``CHOICE_RULE``).

    Args:
      reached: the metric by rung; the higher the better.
      seconds: what a training costs by rung.
      metric: for the sentence.

    Returns:
      The choice; None when nothing was reached.
    """
    there = {name: value for name, value in reached.items() if not math.isnan(value.mean)}
    if not there:
        return None
    best = max(there, key=lambda name: there[name].mean)
    as_good = [name for name in there if there[name].high >= there[best].low]
    chosen = min(as_good, key=lambda name: (seconds[name], name))
    said = f"{chosen} reaches {metric} {there[chosen]} in {seconds[chosen]:.0f} s"
    if chosen == best and len(as_good) == 1:
        without = "" if there[best].half_width is not None else " (one seed: how far that is by chance, nobody knows)"
        return Choice(chosen, f"{said}, and nothing else reaches it{without}")
    others = [f"{name} {there[name]} in {seconds[name]:.0f} s" for name in as_good if name != chosen]
    return Choice(chosen, f"{said}; as good within the 95 % intervals, but not cheaper: {', '.join(others)}")
