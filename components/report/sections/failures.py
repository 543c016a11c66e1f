"""Which nodes failed, and of what."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Self

from components.report.run_record import NodeRun
from components.report.section import Run, Section, TextPair


@dataclasses.dataclass(frozen=True)
class Failures(Section):
    """The nodes that failed, at least one."""

    title = "Failed"
    template = "failures.html"

    nodes: tuple[NodeRun, ...]

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """ML Metadata has been read."""
        failed = tuple(node for node in run.record.nodes if node.state == "failed")
        return cls(failed) if failed else None

    def lines(self) -> Sequence[TextPair]:
        """A line a node; the page has all of what it raised."""
        return [(self.title, ": ".join([node.node, *node.error.splitlines()[:1]])) for node in self.nodes]
