"""One line of a verdict: one bound, what was measured, how sure that is, and what it means."""

from __future__ import annotations

import dataclasses
import math
from typing import Final, Literal

from components.evaluator.gate_settings import Undecided

SliceValues = tuple[tuple[str, str], ...]
"""Columns and values of a slice, () is the whole split."""

OVERALL: Final[SliceValues] = ()

BoundKind = Literal["minimum", "absolute drop", "relative drop"]

Status = Literal["met", "not met", "cannot tell", "not judged"]


def slice_name(values: SliceValues) -> str:
    """``weather=fog, time_of_day=night``, or ``all images``."""
    return ", ".join(f"{column}={value}" for column, value in values) or "all images"


@dataclasses.dataclass(frozen=True)
class Check:
    """One bound of the gate.

    Attributes:
      metric: e.g. ``AP50``, ``AP/car``.
      slice_values: the slice it was checked on.
      kind: what is bounded: the value, or the drop below the baseline (as a difference, or as a share of its value).
      bound: the lowest allowed value, or the largest allowed drop.
      status: ``cannot tell`` where the bound lies inside the interval, ``not judged`` where there is nothing to judge.
      value: the metric, or its drop below the baseline (positive is worse); NaN when it could not be computed.
      low, high: the interval around the value; NaN when there is none.
      confidence: of the interval.
      baseline: the last blessed model's metric, None when none was compared.
      images: how many the value rests on.
      images_to_tell: how many of the same kind could tell, as far as these can; None when that is not known.
      undecided: what follows from ``cannot tell``.
      is_on_earlier_spans: whether it was checked on images of earlier spans alone.
      reason: why there is no value, or nothing to judge.
    """

    metric: str
    slice_values: SliceValues
    kind: BoundKind
    bound: float
    status: Status
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    confidence: float = 0.0
    baseline: float | None = None
    images: int = 0
    images_to_tell: int | None = None
    undecided: Undecided = "refuse"
    is_on_earlier_spans: bool = False
    reason: str = ""

    @property
    def refuses(self) -> bool:
        """Whether the model is refused for it."""
        return self.status == "not met" or (self.status == "cannot tell" and self.undecided == "refuse")

    @property
    def missed_by(self) -> float:
        """How far the value is on the wrong side of the bound; NaN when there is no value."""
        return self.bound - self.value if self.kind == "minimum" else self.value - self.bound

    @property
    def where(self) -> str:
        """What was measured on which images."""
        images = "images of earlier spans" if self.is_on_earlier_spans else slice_name(self.slice_values)
        return f"{self.metric} on {images}"

    @property
    def rule(self) -> str:
        """The bound in words."""
        if self.kind == "minimum":
            return f"at least {self.bound:g}"
        return f"at most {self.bound:g}{'' if self.kind == 'absolute drop' else ' of it'} below the last blessed model"

    @property
    def measured(self) -> str:
        """The value and its interval."""
        if math.isnan(self.value):
            return "–"
        return f"{self.value:.4f}{'' if math.isnan(self.low) else f' ({self.low:.4f} to {self.high:.4f})'}"

    def __str__(self) -> str:
        if self.status == "not judged":
            return f"not judged: {self.where}: {self.reason}"
        if math.isnan(self.value):
            return f"{self.where} could not be computed ({self.reason}), its bound is {self.bound:g}"
        said = f"{self.where} {self._value_in_words}"
        if self.status == "cannot tell":
            more = "" if self.images_to_tell is None else f"; about {self.images_to_tell} could"
            meaning = "so the model is refused" if self.undecided == "refuse" else "which is no reason to refuse it"
            return f"{said}: {self.images} images cannot tell whether it is {self.rule}{more}; {meaning}"
        if self.status == "met":
            return f"{said}, {self.rule}"
        if self.kind == "minimum":
            return f"{said}, {self.missed_by:.4f} below its minimum {self.bound:g}"
        return f"{said}, {self.missed_by:.4f} more than the allowed {self.bound:g}"

    @property
    def _value_in_words(self) -> str:
        interval = (
            "" if math.isnan(self.low) else f" ({100 * self.confidence:g} % sure: {self.low:.4f} to {self.high:.4f})"
        )
        if self.kind == "minimum":
            return f"is {self.value:.4f}{interval}"
        against = "" if self.baseline is None else f" (baseline {self.baseline:.4f})"
        unit = "" if self.kind == "absolute drop" else " of it"
        return f"fell by {self.value:.4f}{unit}{interval} below the last blessed model{against}"
