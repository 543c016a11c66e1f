"""What `transfer.strategy: auto` tried, and why the winner won."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final, Self

from components.report.section import Run, Section, TextPair, read_text, reading
from components.trainer.comparison.summary import Line, Summary, costs

CHOICE_FILE: Final = "transfer_choice.json"


@dataclasses.dataclass(frozen=True)
class TransferChoice(Section):
    """The ways of transfer that were tried.

    Attributes:
      summary: their trainings.
    """

    title = "Transfer"
    template = "transfer_choice.html"

    summary: Summary

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Reads the artifact ``model_run``; a Trainer that was told its strategy has chosen none."""
        path = run.optional_file("model_run", CHOICE_FILE)
        if path is None:
            return None
        text = read_text(path)
        with reading(path):
            return cls(Summary.read(text))

    def lines(self) -> Sequence[TextPair]:
        """The choice and its reason."""
        choice = self.summary.choice
        return ((self.title, f"{choice.name} of {len(self.summary.rungs)} tried: {choice.reason}"),) if choice else ()

    def costs(self, line: Line) -> list[str]:
        """For the table."""
        return costs(line)
