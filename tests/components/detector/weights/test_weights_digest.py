"""When the digest of start weights changes."""

from __future__ import annotations

import os
import pathlib
import shutil

import pytest

from components.detector.weights.weights_digest import weights_digest


@pytest.mark.parametrize("source", [None, "imagenet", "nowhere.weights.h5"])
def test_without_a_file_there_is_no_digest(source: str | None) -> None:
    assert weights_digest(source) == ""


def _zoo_folder(root: pathlib.Path) -> pathlib.Path:
    folder = root / "efficientdet"
    (folder / "checkpoint").mkdir(parents=True)
    for name in ("pipeline.config", "checkpoint/ckpt-0.index", "checkpoint/ckpt-0.data-00000-of-00001"):
        (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize("source", [".", "checkpoint", "checkpoint/ckpt-0", "checkpoint/ckpt-0.index"])
@pytest.mark.parametrize("changed", ["pipeline.config", "checkpoint/ckpt-0.data-00000-of-00001"])
def test_every_file_of_a_checkpoint_counts(tmp_path: pathlib.Path, source: str, changed: str) -> None:
    folder = _zoo_folder(tmp_path)
    before = weights_digest(str(folder / source))
    os.utime(folder / changed, (1, 1))
    assert weights_digest(str(folder / source)) == before != ""
    (folder / changed).write_text("other")
    assert weights_digest(str(folder / source)) != before


def test_a_file_behind_the_same_path(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "detector.weights.h5"
    file.write_bytes(b"a" * 5_000_000)
    before = weights_digest(str(file))
    shutil.copy(file, tmp_path / "beside.weights.h5")
    assert weights_digest(str(file)) == before
    file.write_bytes(b"a" * 4_999_999 + b"b")
    assert weights_digest(str(file)) != before
