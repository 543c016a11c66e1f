"""The section on the search for hyper-parameters."""

from __future__ import annotations

import json

from components.report.run_record import read_run
from components.report.run_report import read_report
from components.trainer.comparison.training import Outcome
from components.trainer.tuning.trials_file import TRIALS_FILE
from tests.components.report.fake_run import PIPELINE, FakeRun


def test_the_trials_and_the_best(finished_run: FakeRun) -> None:
    folder = finished_run.root / "tuner_results"
    folder.mkdir()
    outcomes = [
        (0.00123, "all", Outcome({"AP": 0.5}, seconds=30.0, steps=100)),
        (0.1, "<b>", Outcome({"AP": 0.1}, seconds=8.0, steps=20, error="below the median of finished trials")),
        (0.9, "all", Outcome(error="the loss is infinite")),
    ]
    trials = [
        {"trial": str(number), "values": {"train.rate": rate, "transfer.trainable": part}, **outcome.fields()}
        for number, (rate, part, outcome) in enumerate(outcomes)
    ]
    (folder / TRIALS_FILE).write_text(json.dumps(trials))
    finished_run.node("new", "Tuner", outputs={"tuner_results": folder})
    report = read_report(read_run(finished_run.connection, PIPELINE))
    (line,) = (line for line in report.lines() if line.startswith("Trials"))
    assert '3, 1 to their end; best AP 0.500 on the split eval: train.rate 0.00123, transfer.trainable "all"' in line
    page = report.page()
    assert "&lt;b&gt;" in page
    assert "below the median" in page
    assert "failed" in page
