"""Worst misses, false alarms, wins and losses of a run."""

from __future__ import annotations

from components.report.run_record import read_run
from components.report.section import Run
from components.report.sections.pictures import Pictures
from components.report.templating import templates
from tests.components.report.fake_run import FakeRun


def test_a_missed_object_is_marked_and_an_image_that_got_worse_is_shown(judged_run: FakeRun) -> None:
    section = Pictures.read(Run(read_run(judged_run.connection, "signs")))
    assert section is not None
    assert [one.heading for one in section.lists] == ["What it misses", "Worse than the last blessed model"]
    for one in section.lists:
        [image] = one.images
        assert image.file == "eval 0 <&>.jpg"
        assert image.remarks == ("1 of 1 missed, 0 false alarms; 0 errors before",)
        assert [box.mark for box in image.truths] == ["missed"]
        assert image.detections == ()
        assert image.jpeg
    assert section.least_score == 0.9
    page = templates().get_template(section.template).render(section=section)
    assert "The largest object first" in page


def test_there_are_none_without_an_evaluation(finished_run: FakeRun) -> None:
    assert Pictures.read(Run(read_run(finished_run.connection, "signs"))) is None
