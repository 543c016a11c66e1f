"""A line about each run: how it ended, on which span, how good its model was, and where that went."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from components.report.local_time import local_time
from components.report.run_record import Output, RunRecord
from components.report.section import Run, UnreadableError
from components.serving_contract.keys import BLESSED, INFRA_BLESSING

State = Literal["finished", "failed", "unfinished"]

_LAST: Final = "pushed_model"
"""What the last node gives out, pushed or not: a run without it was stopped, or told to stop, before."""
_NOTHING: Final = "-"
_MOST_PROBLEMS: Final = 3


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """One run.

    Attributes:
      run_id: TFX's.
      started_seconds: since the epoch.
      state: ``unfinished`` where a node is at work, or was when its process died.
      node: where it failed or was last; None for a run that got to its end.
      span: of the data, 0 for data without spans; None when nothing was read.
      split: that the model was judged on; None when it was not.
      average_precision: on it; None when it was not judged, or its evaluation cannot be read.
      verdict: of the gate and the serving contract; None when there is none.
      version: that was pushed; None when nothing was.
      problem: why its evaluation cannot be read; empty when it can, and when there is none.
    """

    run_id: str
    started_seconds: float
    state: State
    node: str | None
    span: int | None
    split: str | None
    average_precision: float | None
    verdict: str | None
    version: str | None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return dataclasses.asdict(self)

    @property
    def described_state(self) -> str:
        """``failed in Trainer``, ``finished at Transform``."""
        if self.node is None:
            return self.state
        return f"{self.state} {'at' if self.state == 'finished' else 'in'} {self.node}"

    @property
    def described_average_precision(self) -> str:
        """``0.701 (eval)``."""
        if self.split is None:
            return _NOTHING
        if self.problem:
            return f"unreadable ({self.split})"
        figure = _NOTHING if self.average_precision is None else f"{self.average_precision:.3f}"
        return f"{figure} ({self.split})"


def summarize(records: Iterable[RunRecord]) -> list[RunSummary]:
    """A summary of each run, in their order. An evaluation that several share is read once."""
    read: dict[str, tuple[float | None, str]] = {}
    summaries = []
    for record in records:
        evaluation = record.uri("evaluation")
        if evaluation is not None and evaluation not in read:
            read[evaluation] = _average_precision(record)
        figure, problem = (None, "") if evaluation is None else read[evaluation]
        state, node = _state(record)
        summaries.append(
            RunSummary(
                run_id=record.run_id,
                started_seconds=record.started_seconds,
                state=state,
                node=node,
                span=_span(record.output("examples")),
                split=record.judged_split,
                average_precision=figure,
                verdict=_verdict(record),
                version=None if record.pushed_to is None else pathlib.PurePosixPath(record.pushed_to).name,
                problem=problem,
            )
        )
    return summaries


def _average_precision(record: RunRecord) -> tuple[float | None, str]:
    """AP over the judged split, and why it cannot be read."""
    try:
        evaluation = Run(record).evaluation
    except UnreadableError as error:
        return None, str(error)
    overall = None if evaluation is None else evaluation.overall
    figure = math.nan if overall is None else overall.metrics.get("AP", math.nan)
    return None if math.isnan(figure) else figure, ""


def _state(record: RunRecord) -> tuple[State, str | None]:
    for node_state in ("failed", "unfinished"):
        there = [node.node for node in record.nodes if node.state == node_state]
        if there:
            return node_state, there[0]
    return "finished", None if record.output(_LAST) is not None else record.nodes[-1].node


def _span(examples: Output | None) -> int | None:
    return None if examples is None or "span" not in examples.properties else int(examples.properties["span"])


def _verdict(record: RunRecord) -> str | None:
    blessing, contract = record.output("blessing"), record.output(INFRA_BLESSING)
    if blessing is None or BLESSED not in blessing.properties:
        return None
    if blessing.properties[BLESSED] != "1":
        return "not blessed"
    is_broken = contract is not None and contract.properties.get(BLESSED) == "0"
    return "blessed, contract broken" if is_broken else "blessed"


def table(summaries: Sequence[RunSummary]) -> list[str]:
    """The runs as lines of columns, under their names; what cannot be read is said below."""
    rows = [("RUN", "STARTED", "STATE", "SPAN", "AP", "VERDICT", "PUSHED")]
    rows += [
        (
            one.run_id,
            local_time(one.started_seconds),
            one.described_state,
            _NOTHING if one.span is None else str(one.span),
            one.described_average_precision,
            one.verdict or _NOTHING,
            one.version or _NOTHING,
        )
        for one in summaries
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    problems = list(dict.fromkeys(one.problem for one in summaries if one.problem))
    more = len(problems) - _MOST_PROBLEMS
    return [*lines, *problems[:_MOST_PROBLEMS], *([f"and {more} more evaluations"] if more > 0 else [])]
