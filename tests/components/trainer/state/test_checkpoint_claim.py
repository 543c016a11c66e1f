"""Which of two processes gets the checkpoint folder of a training."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from components.trainer.state.checkpoint_claim import claimed_folder

_REPOSITORY = pathlib.Path(__file__).parents[4]
_HOLDER = """
import sys, time
from components.trainer.state.checkpoint_claim import claimed_folder
with claimed_folder(sys.argv[1], "unused"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: pathlib.Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that trains in ``shared``."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path / "shared")], stdout=subprocess.PIPE, text=True, cwd=_REPOSITORY
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_training_keeps_its_own(
    holder: subprocess.Popen[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared, own = str(tmp_path / "shared"), str(tmp_path / "own")
    with claimed_folder(shared, own) as folder:
        assert folder == own
    assert "another process trains in" in capsys.readouterr().out
    holder.kill()
    holder.wait()
    with claimed_folder(shared, own) as folder:
        assert folder == shared, "a training that was killed is gone on with"


def test_a_folder_that_was_removed_is_free_again(tmp_path: pathlib.Path) -> None:
    shared, own = str(tmp_path / "shared"), str(tmp_path / "own")
    with claimed_folder(shared, own):
        shutil.rmtree(shared)
        with claimed_folder(shared, own) as folder:
            assert folder == shared


def test_without_a_place_for_locks_the_training_goes_on(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with claimed_folder(str(tmp_path / "file" / "shared"), "own") as folder:
        assert folder.endswith("shared")
    assert "cannot be held" in capsys.readouterr().out
