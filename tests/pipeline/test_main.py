"""The one door."""

from __future__ import annotations

import importlib.util
import pathlib
import subprocess
import sys

import pytest

import pipeline
from pipeline.__main__ import VERBS, main

REPOSITORY = pathlib.Path(pipeline.__file__).parents[1]


def test_help_lists_every_verb_and_imports_none() -> None:
    code = "import sys; from pipeline.__main__ import main; main(['--help']); print(*sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    assert all(f"  {verb} " in said for verb in VERBS)
    assert not {"pydantic", "ruamel.yaml", "tensorflow", "tfx"} & set(said.split())


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_a_file_that_says_what_it_takes(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert importlib.util.find_spec(f"pipeline.verbs.{verb}") is not None
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    assert f"usage: python -m pipeline {verb}" in capsys.readouterr().out


def test_an_unknown_verb_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["confg"]) == 2
    assert "no verb 'confg'; did you mean 'config'?" in capsys.readouterr().err


def test_ctrl_c_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.verbs.config.load_config", interrupted)
    assert main(["config", "--check", "any.yaml"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_the_spelling_before_there_were_verbs_does_not_seem_to_succeed() -> None:
    command = [sys.executable, "-m", "pipeline.config", "--check", "nowhere.yaml"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 1
    assert "the command is python -m pipeline config" in done.stderr
