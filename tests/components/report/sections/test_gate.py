"""The table of checks."""

from __future__ import annotations

import dataclasses

from components.evaluator.check import Check
from components.evaluator.verdict import Verdict
from components.report.run_record import read_run
from components.report.run_report import read_report
from components.report.section import Run
from components.report.sections.gate import Gate
from tests.components.report.fake_run import PIPELINE, FakeRun

MET = Check("AP50", (), "minimum", 0.5, "met", 0.7, 0.6, 0.8, 0.95, images=40)
FALL = Check("AP", (), "absolute drop", 0.02, "met", -0.1, -0.2, -0.01, 0.95, baseline=0.5, images=40)
MISSED = Check("AP", (("weather", "fog"),), "minimum", 0.5, "not met", 0.3, 0.2, 0.4, 0.95, images=12)
UNSURE = dataclasses.replace(MET, status="cannot tell", low=0.4, images_to_tell=90, undecided="bless")
FEW = Check("AP/<stop>", (), "minimum", 0.5, "not judged", images=3, reason="3 images, needs 10")


def test_what_refuses_the_model_stands_first_and_says_how_far_it_is_off() -> None:
    refusing = dataclasses.replace(UNSURE, undecided="refuse")
    section = Gate(Verdict(False, (MET, FEW, UNSURE, FALL, MISSED, refusing), True, model=7), "")
    assert [(row.status, row.colour) for row in section.rows] == [
        ("not met", "bad"),
        ("cannot tell, refuses", "bad"),
        ("cannot tell, allowed", "mild"),
        ("not judged", "soft"),
        ("met", "good"),
        ("met", "good"),
    ]
    missed, unsure = section.rows[:2]
    assert (missed.what, missed.images, missed.remark) == ("AP", "weather=fog (12)", "missed by 0.2000")
    assert unsure.remark == "40 images are too few; about 90 could tell"
    assert section.rows[3].bar is None
    fall = section.rows[5]
    assert (fall.what, fall.bound, fall.value, fall.interval) == (
        "fall of AP",
        "at most 0.02",
        "-0.1000",
        "-0.2000 to -0.0100",
    )
    assert section.counts == "6 checks: 1 not met, 2 cannot tell, 1 not judged, 2 met"
    assert section.details == [
        "2 of 6 checks refuse it; compared with the last blessed model",
        "to bless it by hand: eval.gates.accept: {by: NAME, reason: WHY, model: 7}",
    ]


def test_a_blessing_by_hand_says_who_and_why() -> None:
    section = Gate(Verdict(True, (MISSED,), True, 7, "Ada", "fog is rare"), "seen before")
    assert section.said == "Blessed by hand"
    assert section.details == [
        "the gate refuses it; Ada accepted it: fog is rare; compared with the last blessed model",
        "seen before",
    ]
    assert section.tiles() == (("verdict", "Blessed by hand"),)


def test_a_great_many_checks_that_are_met_are_folded_away() -> None:
    section = Gate(Verdict(True, (MET,) * 100 + (FEW,) * 3, True), "")
    assert (len(section.shown), len(section.folded)) == (40, 63)
    section = Gate(Verdict(True, (MET,) * 10 + (FEW,) * 90, True), "")
    assert (len(section.shown), len(section.folded)) == (90, 10)


def test_every_check_of_a_run_is_a_row(whole: FakeRun) -> None:
    record = read_run(whole.connection, PIPELINE)
    section = Gate.read(Run(record))
    assert section is not None
    assert {check.status for check in section.verdict.checks} == {"met", "not met", "cannot tell", "not judged"}
    page = read_report(record).page()
    verdict = page[page.index('id="verdict"') : page.index("Contract with servers</h2>")]
    assert verdict.count("<tr>") == len(section.verdict.checks) + 1
    assert "<script" not in page
    assert len([text for _, text in section.lines() if text.startswith("not judged")]) == 9
