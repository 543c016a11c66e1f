"""`python -m pipeline runs` and `python -m pipeline report`."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

import pipeline
from pipeline.verbs import report, runs
from tests.components.report.fake_run import FakeRun, State, write_examples, write_findings

REPOSITORY = pathlib.Path(pipeline.__file__).parents[1]


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """Three runs of the pipeline ``signs``, the last one with data."""
    folder = tmp_path / "signs"
    folder.mkdir()
    run = FakeRun(folder)
    run.node("2026-a", "ObjectDetectionExampleGen", State.FAILED, error="no images")
    run.node("2026-b", "ObjectDetectionExampleGen")
    outputs = {"examples": write_examples(folder / "examples"), "findings": write_findings(folder / "findings")}
    run.node("2026-c", "ObjectDetectionExampleGen", outputs=outputs, properties={"span": 2})
    return folder


def test_runs_are_listed(root: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    whose = ["--pipeline_root", str(root)]
    assert runs.main([*whose, "--json", "--limit", "0"]) == 0
    listed = {run["run_id"]: run for run in json.loads(capsys.readouterr().out)}
    assert listed.keys() == {"2026-a", "2026-b", "2026-c"}
    assert listed["2026-c"]["span"] == 2
    assert listed["2026-a"]["state"] == "failed"
    assert runs.main([*whose, "--limit", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "RUN"
    assert len(lines) == 4
    assert lines[3] == "older ones: --limit 4, or 0 for all"


def test_a_report_is_made_anew(root: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main(["26-c", "--pipeline_root", str(root)]) == 0
    said = capsys.readouterr().out
    page = root / "reports" / "2026-c.html"
    assert "Images      train 10 (25 objects), eval 2 (5 objects)" in said
    assert f"Page        {page}" in said
    assert "2026-c" in page.read_text()
    assert report.main(["2026-a", "--pipeline_root", str(root)]) == 0
    assert "no images" in capsys.readouterr().out


def test_what_is_not_there_costs_no_tensorflow(root: pathlib.Path) -> None:
    code = (
        "import sys; from pipeline.__main__ import main; status = main(sys.argv[1:]); "
        "sys.exit(10 * ('tensorflow' in sys.modules) + status)"
    )
    for arguments, said in (
        (["report", "2026-d", "--pipeline_root", str(root)], "2026-b"),
        (["runs", "--pipeline_root", str(root / "other")], "has not run"),
    ):
        ended = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 1
        assert said in ended.stderr


def test_wrong_arguments(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        runs.main(["--pipeline_root", str(tmp_path), "--limit", "-1"])
    assert "--limit: found -1" in capsys.readouterr().err
    assert runs.main(["--pipeline_root", str(tmp_path), "--set", "name=other"]) == 2
    assert "--set overrides keys of a config" in capsys.readouterr().err
    (tmp_path / "c.yaml").write_text("name: signs\ndata: {format: coco, paht: data}\n")
    assert runs.main(["--config", str(tmp_path / "c.yaml")]) == 2
    assert report.main(["latest", "--config", str(tmp_path / "c.yaml")]) == 2
    assert "did you mean 'path'" in capsys.readouterr().err
