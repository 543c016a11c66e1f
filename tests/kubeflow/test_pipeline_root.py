"""The root folder as a step sees it."""

from __future__ import annotations

import errno
import os
import pathlib

import pytest

from kubeflow.metadata_store import UnreachableError
from kubeflow.pipeline_root import wait_for_root


def test_a_root_is_made_and_no_probe_is_left(tmp_path: pathlib.Path) -> None:
    wait_for_root(tmp_path / "a" / "b", [], 1)
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_of_the_container_is_no_volume(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UnreachableError, match=r"nothing is mounted at .*cluster\.volumes"):
        wait_for_root(tmp_path / "root", [str(tmp_path)], 1)
    assert not (tmp_path / "root").exists()


def test_a_file_in_the_way(tmp_path: pathlib.Path) -> None:
    (tmp_path / "root").write_text("")
    with pytest.raises(UnreachableError, match="root"):
        wait_for_root(tmp_path / "root" / "x", [], 0)


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "kubeflow.retention"), (errno.EROFS, "read-only"), (errno.EACCES, "prepare-pipeline-root")],
)
def test_a_volume_that_takes_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    # A full volume cannot be had without the rights to mount one.
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UnreachableError, match=said):
        wait_for_root(tmp_path, [], 0)
    assert list(tmp_path.iterdir()) == []
