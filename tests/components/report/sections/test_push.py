from __future__ import annotations

import pathlib
import sys

import pytest

from components.report.run_record import read_run
from components.report.section import Run
from components.report.sections.push import Push
from tests.components.report.fake_run import FakeRun


@pytest.mark.parametrize(
    ("python", "shown"),
    [("{cwd}/.venv/bin/python", ".venv/bin/python"), ("/opt/my python/bin/python", "'/opt/my python/bin/python'")],
)
def test_the_serve_command_runs_in_the_environment_that_trained(
    finished_run: FakeRun, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, python: str, shown: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", python.format(cwd=tmp_path))
    (tmp_path / "served models" / "17").mkdir(parents=True)
    section = Push.read(Run(read_run(finished_run.connection, "signs"), push_directory="served models"))
    assert section.serve_command == (
        f"{shown} -m serving.server --model_base_path 'served models' --model_name detector --port 8500"
    )


def test_nothing_is_served_before_the_first_push(finished_run: FakeRun, tmp_path: pathlib.Path) -> None:
    record = read_run(finished_run.connection, "signs")
    assert Push.read(Run(record, push_directory=str(tmp_path / "served"))).serve_command is None
