"""`python -m pipeline config`."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

import pipeline
from pipeline.verbs.config import main

MINIMAL = "name: signs\ndata: {format: coco, path: data}\n"


def test_check_prints_the_defaults_and_refuses_mistakes(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(MINIMAL)
    assert main(["--check", str(path)]) == 0
    assert "batch_size:" in capsys.readouterr().out
    path.write_text("name: x")
    assert main(["--check", str(path)]) == 2
    assert "data: this key is required" in capsys.readouterr().err


def test_explain_prints_every_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--explain"]) == 0
    assert "\ntrain.optimizer.learning_rate: number | null (default null)\n" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"set -o pipefail; {sys.executable} -m pipeline config --explain | head -n 1"
    repository = pathlib.Path(pipeline.__file__).parents[1]
    done = subprocess.run(["bash", "-c", command], cwd=repository, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("name: text (required)\n", "", 0)
