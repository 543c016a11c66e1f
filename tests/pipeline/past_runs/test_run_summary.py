"""A line about each run."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import pytest

from components.evaluator.evaluation import Evaluation, SliceResult
from components.evaluator.verdict import Verdict
from components.report import section
from components.report.run_record import read_runs
from pipeline.past_runs.run_summary import RunSummary, summarize, table
from tests.components.report.fake_run import PIPELINE, FakeRun, State


@pytest.fixture
def run(tmp_path: pathlib.Path) -> FakeRun:
    return FakeRun(tmp_path)


def _whole_run(
    run: FakeRun, run_id: str, evaluation: pathlib.Path, blessed: int = 1, kept: int = 1, pushed: int = 1
) -> None:
    run.node(run_id, "ObjectDetectionExampleGen", outputs={"examples": run.root / "examples"}, properties={"span": 7})
    run.node(run_id, "Evaluator", outputs={"evaluation": evaluation}, properties={"split": "test"})
    run.node(run_id, "Evaluator", outputs={"blessing": run.root / "blessing"}, properties={"blessed": blessed})
    contract = {"infra_blessing": run.root / "contract"}
    run.node(run_id, "ServingContract", outputs=contract, properties={"blessed": kept})
    went_to = {"pushed": pushed, "pushed_destination": "/served/detector/17"}
    run.node(run_id, "Pusher", outputs={"pushed_model": run.root / "pushed"}, properties=went_to)


def _summaries(run: FakeRun, monkeypatch: pytest.MonkeyPatch, figure: float = 0.5) -> dict[str, RunSummary]:
    read: list[str] = []

    def evaluation(uri: str) -> Evaluation:
        read.append(uri)
        if not pathlib.Path(uri).exists():
            raise ValueError("holds no validation result")
        return Evaluation(Verdict(True, (), is_compared=False), (SliceResult((), {"AP": figure}),))

    monkeypatch.setattr(section, "read_evaluation", evaluation)
    summaries = summarize(read_runs(run.connection, PIPELINE))
    assert len(read) == len(set(read)), "an evaluation was read twice"
    return {summary.run_id: summary for summary in summaries}


def test_a_run_that_pushed_and_one_that_was_not_let_to(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = run.root / "evaluation"
    evaluation.mkdir()
    _whole_run(run, "good", evaluation)
    _whole_run(run, "poor", evaluation, blessed=0, kept=0, pushed=0)
    _whole_run(run, "broken", evaluation, kept=0, pushed=0)
    found = _summaries(run, monkeypatch)
    good = found["good"]
    assert (good.state, good.node, good.span, good.split) == ("finished", None, 7, "test")
    assert (good.average_precision, good.verdict, good.version) == (0.5, "blessed", "17")
    assert (found["poor"].verdict, found["poor"].version) == ("not blessed", None)
    assert (found["broken"].verdict, found["broken"].version) == ("blessed, contract broken", None)


def test_a_run_whose_artifacts_are_gone_is_still_a_line(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        _whole_run(run, f"run-{number}", run.root / f"gone-{number}")
    found = _summaries(run, monkeypatch)
    assert found["run-3"].average_precision is None
    assert "gone-3: ValueError: holds no validation result" in found["run-3"].problem
    assert found["run-3"].verdict == "blessed"
    lines = table(list(found.values()))
    assert len(lines) == 1 + 5 + 3 + 1
    assert "unreadable (test)" in lines[1]
    assert lines[-1] == "and 2 more evaluations"


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([State.COMPLETE, State.FAILED], "failed in Trainer"),
        ([State.COMPLETE, State.RUNNING], "unfinished in Trainer"),
        ([State.COMPLETE, State.CACHED], "finished at Trainer"),
    ],
)
def test_a_run_that_did_not_get_to_its_end(
    run: FakeRun, monkeypatch: pytest.MonkeyPatch, states: Sequence[int], said: str
) -> None:
    for node, state in zip(("ObjectDetectionExampleGen", "Trainer"), states, strict=True):
        run.node("short", node, state)
    summary = _summaries(run, monkeypatch)["short"]
    assert summary.described_state == said
    assert (summary.span, summary.split, summary.verdict, summary.version) == (None, None, None, None)
    assert table([summary])[1].split() == [
        "short",
        *table([summary])[1].split()[1:3],
        *said.split(),
        "-",
        "-",
        "-",
        "-",
    ]


def test_an_average_precision_that_is_none(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = run.root / "evaluation"
    evaluation.mkdir()
    _whole_run(run, "empty", evaluation)
    summary = _summaries(run, monkeypatch, figure=float("nan"))["empty"]
    assert summary.average_precision is None
    assert summary.described_average_precision == "- (test)"
