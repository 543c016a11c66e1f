"""Which nodes ran, were cached or failed, and how long they took."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Self

from components.report.local_time import local_time
from components.report.run_record import RunRecord
from components.report.section import Run, Section, TextPair


@dataclasses.dataclass(frozen=True)
class Nodes(Section):
    """The nodes of the run."""

    title = "Run"
    template = "nodes.html"

    record: RunRecord

    @classmethod
    def read(cls, run: Run) -> Self:
        """ML Metadata has been read."""
        return cls(run.record)

    @property
    def seconds(self) -> float:
        """Of all nodes together."""
        return sum(node.seconds for node in self.record.nodes)

    @staticmethod
    def local_time(seconds: float) -> str:
        """For the table."""
        return local_time(seconds)

    def lines(self) -> Sequence[TextPair]:
        """The run's id, and its nodes counted by state."""
        states = collections.Counter(node.state for node in self.record.nodes)
        counted = ", ".join(
            f"{states[state]} {state}" for state in ("ran", "cached", "failed", "unfinished") if states[state]
        )
        run = f"{self.record.pipeline_name} {self.record.run_id}"
        return ((self.title, f"{run}: nodes {counted}, {self.seconds:.0f} s"),)

    def tiles(self) -> Sequence[TextPair]:
        """The time."""
        return (("node time", f"{self.seconds:.0f} s"),)
