from __future__ import annotations

from components.report.run_record import read_run
from components.report.section import Run
from components.report.sections.training import Training
from components.trainer.training_plan import PLAN_FILE, ChosenAnchors, MatchableBoxes, TrainingPlan
from tests.components.report.fake_run import FakeRun


def test_what_was_decided_is_said(finished_run: FakeRun) -> None:
    run = Run(read_run(finished_run.connection, "signs"))
    earlier_version = Training.read(run)
    assert earlier_version is not None and earlier_version.plan == ()
    before, after = MatchableBoxes(0.5, 0.4, 0.3, 0.2), MatchableBoxes(0.9, 0.8, 0.7, 0.6)
    anchors = ChosenAnchors("for the boxes of the training images", {"anchor_scale": 2.0}, 0.5, before, after)
    plan = TrainingPlan(600, 8, 24.0, "adam", 1e-3, 0.966, anchors)
    (finished_run.root / "Trainer" / "model_run" / "9" / PLAN_FILE).write_text(plan.to_json())
    section = Training.read(run)
    assert section is not None
    assert section.plan == plan.lines()
    assert section.plan[2] == (
        "best possible recall at IoU 0.5: 90.0% (mean of classes 70.0%), mean best IoU 0.800; the published anchors' "
        "50.0% (30.0%), 0.400"
    )
