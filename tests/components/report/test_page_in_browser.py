"""The page as a browser shows it: on a desk and on a phone."""

from __future__ import annotations

import pathlib

import pytest

from components.evaluator.matches_file import MATCHES_FOLDER
from components.report import section
from components.report.run_record import read_run
from components.report.run_report import read_report, write_page
from tests.browser import Browser
from tests.components.report.fake_run import PIPELINE, FakeRun, write_matches
from tests.components.report.sections.judged_images import many_classes
from tests.components.report.test_run_report import BLESSED


@pytest.mark.parametrize(("width", "is_phone"), [(1280, False), (390, True)])
def test_a_page_with_many_classes_fits(
    judged_run: FakeRun,
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    width: int,
    is_phone: bool,
) -> None:
    write_matches(judged_run.root / "evaluation" / MATCHES_FOLDER, many_classes(30, 200, with_baseline=True))
    monkeypatch.setattr(section, "read_evaluation", lambda uri: BLESSED)
    path = write_page(read_report(read_run(judged_run.connection, PIPELINE)), tmp_path / "reports")
    page = browser.new_page(width=width, height=844, is_phone=is_phone)
    page.open(path.as_uri())
    assert page.console_errors == []
    assert page.requests_elsewhere(path.parent.as_uri()) == []
    assert page.pictures_not_loaded() == []
    assert page.wider_than_the_window() == []
