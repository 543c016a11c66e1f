"""The section on what ``auto`` tried."""

from __future__ import annotations

from components.report.run_record import read_run
from components.report.run_report import read_report
from components.report.sections.transfer_choice import CHOICE_FILE
from components.trainer.comparison.auto import CHOICE_FILE as WRITTEN
from components.trainer.comparison.comparison import Row
from components.trainer.comparison.summary import Summary
from components.trainer.comparison.training import Outcome
from tests.components.report.fake_run import PIPELINE, FakeRun


def test_what_was_tried_and_why_the_winner_won(finished_run: FakeRun) -> None:
    assert CHOICE_FILE == WRITTEN
    rows = (
        Row("frozen", 40, 0, Outcome({"AP": 0.5, "AP50": 0.7}, seconds=20.0)),
        Row("fine_tune", 40, 0, Outcome({"AP": 0.6, "AP50": 0.8}, seconds=60.0)),
        Row("scratch", 40, 0, Outcome(error="no time <left>")),
    )
    folder = finished_run.root / "Trainer" / "model_run" / "9"
    (folder / CHOICE_FILE).write_text(Summary(rows, {"mean_teacher": "no target"}, "eval", "").json())
    report = read_report(read_run(finished_run.connection, PIPELINE))
    (line,) = (line for line in report.lines() if line.startswith("Transfer"))
    assert "fine_tune of 3 tried: fine_tune reaches AP 0.600 in 60 s" in line
    page = report.page()
    assert "no time &lt;left&gt;" in page
    assert "mean_teacher was not tried" in page


def test_a_run_that_was_told_its_strategy_says_nothing(finished_run: FakeRun) -> None:
    report = read_report(read_run(finished_run.connection, PIPELINE))
    assert not any(line.startswith("Transfer") for line in report.lines())
