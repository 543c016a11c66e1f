"""A cluster that does not come up says which part, and leaves nothing running; that it does: test_beam_nodes.py."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time

import pytest

from kubeflow.local_flink.cluster import ClusterError, LocalFlinkCluster
from kubeflow.local_flink.installation import FlinkInstallation

REPOSITORY = pathlib.Path(__file__).parents[3]


@pytest.fixture
def java(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A program in Java's place."""
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program


def _write(program: pathlib.Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def _is_running(process_id: int) -> bool:
    status = pathlib.Path(f"/proc/{process_id}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_a_part_that_ends_is_named_and_the_others_are_stopped(java: pathlib.Path, tmp_path: pathlib.Path) -> None:
    _write(java, f'echo $$ >> {tmp_path}/ids; case "$*" in *TaskManager*) exit 3;; esac; exec sleep 600')
    cluster = LocalFlinkCluster(FlinkInstallation(tmp_path, tmp_path / "job-server.jar", "1.19"), tmp_path / "cluster")
    with pytest.raises(ClusterError, match=r"taskmanager ended with exit status 3; see .*taskmanager.log"), cluster:
        pytest.fail("it came up")
    assert cluster.process_ids() == {}
    assert not any(_is_running(int(line)) for line in (tmp_path / "ids").read_text().splitlines())


def test_who_is_killed_leaves_no_part_running(java: pathlib.Path, tmp_path: pathlib.Path) -> None:
    _write(java, f"echo $$ >> {tmp_path}/ids; exec sleep 600")
    script = (
        "import pathlib; from kubeflow.local_flink.cluster import *\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "LocalFlinkCluster(FlinkInstallation(folder, folder, '1.19'), folder / 'cluster').__enter__()"
    )
    ids = tmp_path / "ids"
    with subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY) as process:
        while not (ids.exists() and len(ids.read_text().splitlines()) == 2):
            assert process.poll() is None
            time.sleep(0.1)
        process.kill()
    while any(_is_running(int(line)) for line in ids.read_text().splitlines()):
        time.sleep(0.1)
