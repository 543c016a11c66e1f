"""Whether the model is good enough, and why not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Self

from components.evaluator.verdict import Verdict
from components.report.section import Run, Section, TextPair


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

    def lines(self) -> Sequence[TextPair]:
        """The decision, a line for every threshold that was not met or not judged, and the notes."""
        first, *others = self.verdict.lines()
        return [(self.title, first), *(("", line.strip()) for line in (*others, self.note) if line)]

    @property
    def details(self) -> Sequence[str]:
        """The lines below "Blessed" or "Not blessed", which say that word already."""
        first, *others = self.verdict.lines()
        shown = [first.removeprefix("blessed: ")] if self.verdict.blessed else []
        return [line.strip() for line in (*shown, *others, self.note) if line]
