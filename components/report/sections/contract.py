"""Whether servers and clients can use the model, why not, and how fast it answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Self

from components.report.section import Run, Section, TextPair, read_text, reading
from schema.contract_report import CONTRACT_FILE, ContractReport


@dataclasses.dataclass(frozen=True)
class Contract(Section):
    """What the check before the push found.

    Attributes:
      report: every check, and the latencies.
    """

    title = "Contract"
    template = "contract.html"

    report: ContractReport

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Reads the artifact ``infra_blessing``. A model that is not blessed is not checked."""
        path = run.optional_file("infra_blessing", CONTRACT_FILE)
        if path is None:
            return None
        text = read_text(path)
        with reading(path):
            return cls(ContractReport.of_json(text))

    def lines(self) -> Sequence[TextPair]:
        """The decision, a line for every check that failed, and the latencies."""
        failures = self.report.failures
        decision = f"broken, so nothing is pushed: {len(failures)} of" if failures else "kept:"
        first = f"{decision} {len(self.report.checks)} checks{' failed' if failures else ''}"
        return [(self.title, first), *(("", line) for line in self.details)]

    @property
    def details(self) -> Sequence[str]:
        """A line for every check that failed, and for each latency."""
        return [*(check.line for check in self.report.failures), *(one.line for one in self.report.latencies)]
