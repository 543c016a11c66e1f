"""``python -m pipeline compare``: what it refuses, before anything heavy is imported."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from pipeline.verbs.compare import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "0"], "--steps: found 0, expected more than 0"),
        (["--seconds", "-1"], "--seconds: found -1.0"),
        (["--steps", "5", "--seconds", "5"], "not allowed with"),
        (["--sizes", "25,some"], "--sizes: found 'some'"),
        (["--strategies", "fine_tun"], "did you mean 'fine_tune'"),
    ],
)
def test_wrong_arguments(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--config", "nothing.yaml", *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_wrong_config_costs_no_import(tmp_path: pathlib.Path) -> None:
    (tmp_path / "c.yaml").write_text("name: signs\ndata: {format: coco, path: data}\ntrain: {stepps: 3}\n")
    program = (
        "import sys; from pipeline.verbs.compare import main; "
        f"status = main(['--config', {str(tmp_path / 'c.yaml')!r}]); "
        "sys.exit(10 * ('tensorflow' in sys.modules) + status)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "did you mean 'steps'" in ended.stderr
