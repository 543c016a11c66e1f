"""The entry point of a step: what it says and how it ends when it cannot do its work."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from kubeflow import node
from kubeflow.metadata_store import StoreAddress
from kubeflow.step_config import cluster_config, encode_config
from tests.kubeflow.metadata_server import environment, free_port


@pytest.fixture
def encoded(tmp_path: pathlib.Path) -> str:
    file = tmp_path / "config.yaml"
    file.write_text(
        "name: signs\ndata: {format: coco, path: data}\nmodel: {detector: ssd_mobilenet_v2_fpnlite}\n"
        f"cluster: {{root: {tmp_path}/root, volumes: [], metadata_store: {{wait_seconds: 1}}}}\n"
    )
    return encode_config(cluster_config(file))


def _arguments(encoded: str, *more: str) -> list[str]:
    return ["--node", "Trainer", "--run-id", "r1", "--config", encoded, *more]


def test_a_wrong_run_parameter(encoded: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert node.main(_arguments(encoded, "--set", "train.steps=none")) == node.EXIT_CONFIG
    assert "train.steps" in capsys.readouterr().err


def test_a_run_id_that_the_backend_did_not_replace(encoded: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--node", "Trainer", "--run-id", "{{$.pipeline_job_uuid}}", "--config", encoded]
    assert node.main(arguments) == node.EXIT_CONFIG
    assert "expected 2.15 or later" in capsys.readouterr().err


def test_a_store_that_is_not_named(
    encoded: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("METADATA_STORE_HOST", raising=False)
    assert node.main(_arguments(encoded)) == node.EXIT_UNREACHABLE
    assert "METADATA_STORE_HOST" in capsys.readouterr().err


def test_a_store_that_is_down(
    encoded: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    for name, value in environment(StoreAddress("127.0.0.1", free_port(), "tfx", "me", "x")).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(node, "TERMINATION_MESSAGE", tmp_path / "termination-log")
    (tmp_path / "termination-log").touch()
    assert node.main(_arguments(encoded)) == node.EXIT_UNREACHABLE
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("step Trainer of run r1 could not start: metadata store mysql://me@127.0.0.1")
    assert (tmp_path / "termination-log").read_text() == last


_WAITING = """
import time
from kubeflow import node
with node.termination(lambda: print("last resort", flush=True), grace_seconds=0.5):
{}
"""
_LISTENS = """
    print("ready", flush=True)
    time.sleep(60)
"""
_DOES_NOT_LISTEN = """
    while True:
        try:
            print("ready", flush=True)
            time.sleep(60)
        except SystemExit:
            time.sleep(60)
"""

# As the Trainer's loop does, which looks at it behind a step only.
_LISTENS_LATER = """
    import signal
    signal.signal(signal.SIGTERM, lambda *_: None)
    print("ready", flush=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(1)
"""


# Compiled code does not listen either.
@pytest.mark.parametrize(
    ("body", "said"), [(_LISTENS, ""), (_DOES_NOT_LISTEN, "last resort"), (_LISTENS_LATER, "last resort")]
)
def test_sigterm_ends_the_step_even_where_nobody_listens(body: str, said: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _WAITING.format(body)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == node.EXIT_TERMINATED
    assert output.strip() == said
