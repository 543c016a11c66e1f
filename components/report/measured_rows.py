"""A metric of some images beside the last blessed model's, each with how sure it is: rows of the page's tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal, Self

from components.evaluator.evaluation import Interval, SliceResult
from components.report.interval_bar import UNIT_SCALE, IntervalBar, interval_bar, scale_around

Certainly = Literal["worse", "better"]


@dataclasses.dataclass(frozen=True)
class MeasuredRow:
    """One row.

    Attributes:
      name: the metric, class or slice.
      value: the candidate's; NaN where there is nothing to find.
      interval: around it; None where the images are too few to say.
      before: the last blessed model's; NaN without one.
      change: interval around value minus before; None where it is not known.
      beside: the same of another metric, as text.
      images: how many it rests on; None where that stands elsewhere.
    """

    name: str
    value: float
    interval: Interval | None
    before: float
    change: Interval | None
    beside: str = ""
    images: int | None = None

    @classmethod
    def of(
        cls,
        result: SliceResult,
        metric: str,
        name: str,
        *,
        beside: str | None = None,
        images: int | None = None,
    ) -> Self:
        """The row of one metric of a slice.

        Args:
          result: the slice.
          metric: key of the metric, such as ``AP/car``.
          name: of the row.
          beside: key of the other metric.
          images: that it rests on.
        """
        return cls(
            name,
            result.metrics.get(metric, math.nan),
            result.intervals.get(metric),
            result.baseline_metrics.get(metric, math.nan),
            result.changes.get(metric),
            number(result.metrics.get(beside, math.nan)) if beside else "",
            images,
        )

    @property
    def certainly(self) -> Certainly | None:
        """Whether the whole interval of the change lies on one side of 0."""
        if self.change is None or self.change[0] <= 0 <= self.change[1]:
            return None
        return "worse" if self.change[1] < 0 else "better"

    @property
    def bar(self) -> IntervalBar:
        """The value from 0 to 1, its interval, and the last blessed model's."""
        return interval_bar(self.value, self.interval, UNIT_SCALE, mark=self.before)

    @property
    def value_text(self) -> str:
        """The value."""
        return number(self.value)

    @property
    def interval_text(self) -> str:
        """``0.42 to 0.58``; empty without one."""
        return "" if self.interval is None else f"{self.interval[0]:.3f} to {self.interval[1]:.3f}"

    @property
    def before_text(self) -> str:
        """The last blessed model's value."""
        return number(self.before)

    @property
    def change_text(self) -> str:
        """``+0.034``; a dash without one."""
        change = self.value - self.before
        return "–" if math.isnan(change) else f"{change:+.3f}"

    @property
    def change_interval_text(self) -> str:
        """``-0.010 to +0.080``; empty without one."""
        return "" if self.change is None else f"{self.change[0]:+.3f} to {self.change[1]:+.3f}"


@dataclasses.dataclass(frozen=True)
class MeasuredTable:
    """Rows that are shown as one table.

    Attributes:
      title: what they have in common.
      kind: what a row is: ``metric``, ``class``, ``slice``.
      metric: what is measured; empty where every row says so by its name.
      beside: what else is shown as a number; empty for nothing.
      rows: the rows.
    """

    title: str
    kind: str
    metric: str
    beside: str
    rows: Sequence[MeasuredRow]

    @property
    def is_compared(self) -> bool:
        """Whether any row has something to be compared with."""
        return any(not math.isnan(row.before) for row in self.rows)

    @property
    def has_images(self) -> bool:
        """Whether the rows say how many images they rest on."""
        return any(row.images is not None for row in self.rows)

    def change_bar(self, row: MeasuredRow) -> IntervalBar:
        """A row's change on a scale that all rows share."""
        changes = [other.value - other.before for other in self.rows]
        ends = [end for other in self.rows if other.change is not None for end in other.change]
        return interval_bar(row.value - row.before, row.change, scale_around(*changes, *ends))


def number(value: float) -> str:
    """Three decimals; a dash for what could not be computed."""
    return "–" if math.isnan(value) else f"{value:.3f}"


def pair(metrics: Mapping[str, float]) -> str:
    """AP and AP50."""
    return f"{number(metrics.get('AP', math.nan))} / {number(metrics.get('AP50', math.nan))}"
