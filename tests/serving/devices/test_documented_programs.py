"""The programs in docs/devices.md run, the one of an application without this package too."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import serving.devices
from tests.serving.tiny_detector import jpeg

DEVICES = pathlib.Path(serving.devices.__file__).parent
REPOSITORY = DEVICES.parents[1]
PROGRAMS = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "devices.md").read_text(encoding="utf-8"), re.S)


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_finds_what_is_there(program: str, device_models: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    shutil.copy(device_models["onnx"], tmp_path)
    (tmp_path / "street.jpg").write_bytes(jpeg(204, 80, 40))
    needs_the_package = "serving.devices" in program
    for name in () if needs_the_package else ("resizing.py", "suppression.py"):
        shutil.copy(DEVICES / name, tmp_path)
    environment = {"PYTHONPATH": str(REPOSITORY if needs_the_package else tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match(r"stop 0\.(79|8)", done.stdout), done.stdout


def test_there_are_two() -> None:
    assert len(PROGRAMS) == 2
