"""Which folders of features are deleted for a new one, and which are not."""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import shutil
from typing import NamedTuple

import pytest

from components.trainer.input.feature_folders import FeatureCacheError, Held, make_room


class Usage(NamedTuple):
    """Of a disk."""

    total: int
    used: int
    free: int


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """With three folders of 100 bytes, `a` not used for longest."""
    for age, name in enumerate("cba"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "level.bin").write_bytes(bytes(100))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    return tmp_path


def left(root: pathlib.Path) -> str:
    return "".join(sorted(path.name for path in root.iterdir() if path.is_dir()))


@pytest.mark.parametrize(("limit", "expected"), [(400, "abc"), (399, "bc"), (250, "c"), (100, "")])
def test_the_longest_unused_go_first(root: pathlib.Path, limit: int, expected: str) -> None:
    make_room(root / "new", 100, limit)
    assert left(root) == expected
    assert not list(root.glob("*.lock"))


def test_what_is_used_counts_as_new(root: pathlib.Path) -> None:
    held = Held(root / "a")
    held.touch()
    held.release()
    make_room(root / "new", 100, 300)
    assert left(root) == "ac"


def _hold(root: pathlib.Path, ready: multiprocessing.Event, done: multiprocessing.Event) -> None:
    held = Held(root / "a")
    ready.set()
    done.wait(60)
    held.release()


def test_what_another_training_holds_stays(root: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(root, ready, done))
    other.start()
    assert ready.wait(60)
    make_room(root / "new", 100, 150)
    done.set()
    other.join()
    assert left(root) == "a"
    assert "WARNING: other trainings use features" in capsys.readouterr().out


def test_too_much_is_refused_with_what_to_do(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FeatureCacheError, match=r"0\.50 GB, more than transfer\.cache_gigabytes .*transfer\.copies"):
        make_room(root / "new", 500_000_000, 400)
    assert left(root) == "abc"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1000, 950, 50))
    with pytest.raises(FeatureCacheError, match=r"need .* are free: make room, or lower transfer\.copies"):
        make_room(root / "new", 100, 1000)
