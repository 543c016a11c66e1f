"""Whether the model is good enough, and why not: the decision, and every check behind it."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Sequence
from typing import Final, Self

from components.evaluator.check import Check, Status
from components.evaluator.verdict import Verdict
from components.report.interval_bar import UNIT_SCALE, IntervalBar, Scale, interval_bar, scale_around
from components.report.section import Run, Section, TextPair

_STATUS_ORDER: Final[tuple[Status, ...]] = ("not met", "cannot tell", "not judged", "met")
_COLOURS: Final[dict[Status, str]] = {"not met": "bad", "cannot tell": "mild", "not judged": "soft", "met": "good"}
_MOST_MET: Final = 40


@dataclasses.dataclass(frozen=True)
class CheckRow:
    """A row of the table of checks.

    Attributes:
      check: the check.
      bar: its value, interval and bound; None without a value.
    """

    check: Check
    bar: IntervalBar | None

    @property
    def colour(self) -> str:
        """Class of the status."""
        return "bad" if self.check.refuses else _COLOURS[self.check.status]

    @property
    def status(self) -> str:
        """The status and, where the config decides it, what follows."""
        if self.check.status != "cannot tell":
            return self.check.status
        return "cannot tell, refuses" if self.check.refuses else "cannot tell, allowed"

    @property
    def what(self) -> str:
        """What is bounded."""
        return self.check.metric if self.check.kind == "minimum" else f"fall of {self.check.metric}"

    @property
    def images(self) -> str:
        """Which images it rests on, and how many they are."""
        check = self.check
        there = f" ({check.images})" if check.images else ""
        return check.where.removeprefix(f"{check.metric} on ") + there

    @property
    def value(self) -> str:
        """What was measured."""
        return "–" if math.isnan(self.check.value) else f"{self.check.value:.4f}"

    @property
    def interval(self) -> str:
        """Around it; empty without one."""
        return "" if math.isnan(self.check.low) else f"{self.check.low:.4f} to {self.check.high:.4f}"

    @property
    def bound(self) -> str:
        """The bound in words."""
        return self.check.rule.removesuffix(" below the last blessed model")

    @property
    def remark(self) -> str:
        """Why there is nothing to say, what could say it, or how far the bound is missed."""
        check = self.check
        if check.reason:
            return check.reason
        if check.status == "cannot tell":
            more = check.images_to_tell
            return f"{check.images} images are too few" + ("" if more is None else f"; about {more} could tell")
        return f"missed by {check.missed_by:.4f}" if check.status == "not met" else ""


@dataclasses.dataclass(frozen=True)
class Gate(Section):
    """The gate's decision.

    Attributes:
      verdict: the decision.
      note: what to keep in mind about its figures; empty when there is nothing.
    """

    title = "Gate"
    template = "gate.html"

    verdict: Verdict
    note: str

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Reads the artifact ``evaluation``."""
        if run.evaluation is None:
            return None
        note = (
            f"the figures are of the images that the checkpoint was chosen on (split {run.record.judged_split})"
            if run.record.judged_on_chosen_split
            else ""
        )
        return cls(run.evaluation.verdict, note)

    def tiles(self) -> Sequence[TextPair]:
        """The decision."""
        return (("verdict", self.said),)

    def lines(self) -> Sequence[TextPair]:
        """The decision, a line for every threshold that was not met or not judged, and the notes."""
        first, *others = self.verdict.lines()
        return [(self.title, first), *(("", line.strip()) for line in (*others, self.note) if line)]

    @property
    def said(self) -> str:
        """The decision in a word."""
        if self.verdict.accepted_by:
            return "Blessed by hand"
        return "Blessed" if self.verdict.blessed else "Not blessed"

    @property
    def details(self) -> Sequence[str]:
        """What there is to know beside the table."""
        verdict = self.verdict
        if verdict.accepted_by:
            grounds = f"the gate refuses it; {verdict.accepted_by} accepted it: {verdict.accepted_because}"
        elif verdict.blessed:
            grounds = verdict.grounds
        else:
            refusing = sum(check.refuses for check in verdict.checks)
            grounds = f"{refusing} of {len(verdict.checks)} checks refuse it"
        if not any(note.startswith(verdict.comparison) for note in verdict.notes):
            grounds += f"; {verdict.comparison}"
        return [line for line in (grounds, *verdict.notes, self.note, verdict.way_out) if line]

    @property
    def counts(self) -> str:
        """The checks by status."""
        counts = collections.Counter(check.status for check in self.verdict.checks)
        named = ", ".join(f"{counts[status]} {status}" for status in _STATUS_ORDER if counts[status])
        return f"{len(self.verdict.checks)} checks: {named}"

    @property
    def confidence(self) -> float:
        """Of the intervals that there are, the greatest; 0 without one."""
        return max((check.confidence for check in self.verdict.checks if not math.isnan(check.low)), default=0.0)

    @property
    def rows(self) -> Sequence[CheckRow]:
        """Every check, those that refuse the model first."""
        ordered = sorted(self.verdict.checks, key=lambda check: (not check.refuses, _STATUS_ORDER.index(check.status)))
        return [CheckRow(check, _bar(check, self._scale(check))) for check in ordered]

    @property
    def shown(self) -> Sequence[CheckRow]:
        """The rows that are seen without unfolding: all but a great many that are met."""
        return self.rows[: max(_MOST_MET, sum(check.status != "met" for check in self.verdict.checks))]

    @property
    def folded(self) -> Sequence[CheckRow]:
        """The others."""
        return self.rows[len(self.shown) :]

    def _scale(self, check: Check) -> Scale:
        """Bounds of one kind share a scale, so that their bars can be compared."""
        if check.kind == "minimum":
            return UNIT_SCALE
        alike = [one for one in self.verdict.checks if one.kind == check.kind]
        return scale_around(*(value for one in alike for value in (one.bound, one.value, one.low, one.high)))


def _bar(check: Check, scale: Scale) -> IntervalBar | None:
    if math.isnan(check.value):
        return None
    interval = None if math.isnan(check.low) else (check.low, check.high)
    side = "from the mark" if check.kind == "minimum" else "up to the mark"
    return interval_bar(check.value, interval, scale, mark=check.bound, allowed=side)  # type: ignore[arg-type]
