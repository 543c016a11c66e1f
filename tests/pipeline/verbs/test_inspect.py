"""`python -m pipeline inspect`; what it says of real checkpoints is tested beside their reader."""

from __future__ import annotations

import pytest

from pipeline.verbs.inspect import main


def test_what_a_path_holds_and_what_is_wrong_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["imagenet"]) == 0
    assert "for the backbone" in capsys.readouterr().out
    assert main(["/nowhere"]) == 1
    assert "no such file or folder" in capsys.readouterr().err
