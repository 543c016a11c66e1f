"""What is suspected of the annotations, on the page and on the terminal."""

from __future__ import annotations

import dataclasses

from components.evaluator.label_review.review_files import write_review
from components.evaluator.label_review.suspicion import Suspicion
from components.evaluator.matches_file import read_matches
from components.report.run_record import read_run
from components.report.run_report import read_report
from components.report.section import Run
from components.report.sections.label_review import LabelReview
from components.report.templating import templates
from tests.components.report.fake_run import STOP, FakeRun

BOX = (12.0, 4.0, 42.0, 24.0)
NOT_THERE = Suspicion("not there", 0.9, "eval 0", "eval 0 <&>.jpg", 0, BOX, STOP)
RATHER = Suspicion("badly drawn", 0.85, "eval 1", "eval 1 <&>.jpg", 0, BOX, STOP, STOP, 0.9, BOX, STOP)
MISSING = Suspicion(
    "missing", 0.4, "eval 1", "eval 1 <&>.jpg", None, None, None, "yield", 0.95, (0.0, 0.0, 6.0, 4.0), "yield"
)


def _read(run: FakeRun, *suspicions: Suspicion) -> LabelReview:
    folder = run.root / "evaluation"
    write_review(str(folder), read_matches(str(folder / "matches")), suspicions)
    section = LabelReview.read(Run(read_run(run.connection, "signs")))
    assert section is not None
    return section


def test_the_suspected_is_marked_beside_what_is_suggested(judged_run: FakeRun) -> None:
    section = _read(judged_run, NOT_THERE, RATHER, MISSING)
    file = judged_run.root / "evaluation" / "label_review.jsonl"
    said = "2 annotations are probably wrong (1 badly drawn, 1 not there)"
    assert section.lines() == (("Labels", f"{said} ({file})"),)
    assert section.tiles() == (("probably wrong annotations", "2"),)
    first, second = section.images
    assert [box.title for box in first.truths] == [f"not there: {STOP}"]
    assert first.detections == ()
    assert [box.title for box in second.truths] == [f"badly drawn: {STOP}"]
    # The detection that a suggestion is made of is not drawn a second time.
    assert [box.title for box in second.detections or ()] == [f"rather: {STOP} 0.90", "missing: yield 0.95"]
    page = templates().get_template(section.template).render(section=section)
    assert "2 annotations are probably wrong (1 badly drawn, 1 not there), and 1 possibly." in page
    assert "<script>" not in page


def test_nothing_suspected_is_said(judged_run: FakeRun) -> None:
    section = _read(judged_run)
    assert section.lines() == (("Labels", "no annotation is probably wrong"),)
    assert section.images == ()


def test_of_images_that_were_learnt_the_page_says_so(judged_run: FakeRun) -> None:
    learnt = dataclasses.replace(_read(judged_run, NOT_THERE), split="train")
    assert "learnt these images by heart" in learnt.said


def test_a_damaged_list_is_a_line(judged_run: FakeRun) -> None:
    (judged_run.root / "evaluation" / "label_review.jsonl").write_text('{"kind": "odd"}\n')
    lines = read_report(read_run(judged_run.connection, "signs")).lines()
    assert any(line.startswith("Labels      could not be read: ") for line in lines)
