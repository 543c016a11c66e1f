"""Whatever an artifact has become, the report of the run is written and says what could not be read."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable, Iterator

import pytest

from components.report.run_record import read_run
from components.report.run_report import SECTIONS, read_report
from components.report.section import Unreadable
from tests.components.report.fake_run import FakeRun

TITLES = {
    "findings": ["Images"],
    "anomalies": ["Anomalies"],
    "report": ["Annotations"],
    "model_run": ["Training"],
    "examples": ["Data", "Examples", "Pictures"],
    "evaluation": ["Pictures", "Thresholds", "Calibration", "Confusion", "Errors", "PR curves"],
}
"""Which sections read which artifact."""
WITHOUT_METRICS = ["AP / AP50", "Gate"]
"""The evaluation of this run has matches alone, with or without further damage."""


def _files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _delete(folder: pathlib.Path) -> None:
    shutil.rmtree(folder)


def _cut(folder: pathlib.Path) -> None:
    for file in _files(folder):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _scribble(folder: pathlib.Path) -> None:
    for file in _files(folder):
        file.write_bytes(b'{"\xff": [1, 2')


def _other_content(folder: pathlib.Path) -> None:
    for file in _files(folder):
        file.write_bytes(b"[1, 2]\n")


@pytest.mark.parametrize("damage", [_delete, _cut, _scribble, _other_content])
@pytest.mark.parametrize("key", TITLES)
def test_a_damaged_artifact_is_a_line(
    judged_run: FakeRun, key: str, damage: Callable[[pathlib.Path], None], tmp_path: pathlib.Path
) -> None:
    record = read_run(judged_run.connection, "signs")
    folder = record.uri(key) or ""
    damage(pathlib.Path(folder))
    report = read_report(record)
    page = report.page()
    unreadable = [section for section in report.sections if isinstance(section, Unreadable)]
    # An evaluation without matches is one of an earlier version: what stands on them is left out.
    without_matches = key == "evaluation" and damage is _delete
    assert [section.name for section in unreadable] == (TITLES[key] * (not without_matches)) + WITHOUT_METRICS
    for section in unreadable:
        assert section.problem.startswith(str(tmp_path))
        assert f"{section.name:<11} could not be read: {section.problem}" in report.lines()
    assert unreadable[0].problem.startswith(folder)
    assert f"could not be read: {folder}" in page
    # Nothing failed, was searched, chosen, checked, suspected or made for devices.
    assert len(report.sections) == len(SECTIONS) - 6 - (len(TITLES[key]) if without_matches else 0)


@pytest.mark.parametrize("damage", [_delete, _cut])
def test_without_matches_the_images_show_what_is_there(
    judged_run: FakeRun, damage: Callable[[pathlib.Path], None]
) -> None:
    folder = judged_run.root / "evaluation" / "matches"
    damage(folder)
    report = read_report(read_run(judged_run.connection, "signs"))
    problem = f"Examples    what the model finds could not be read: {folder}"
    assert [line.startswith(problem) for line in report.lines() if line.startswith("Examples")] == [True] * (
        damage is _cut
    )
    assert "1 there, not evaluated" in report.page()
