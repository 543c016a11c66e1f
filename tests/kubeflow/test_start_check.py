"""The first step: what a run cannot go without is named, and soon."""

from __future__ import annotations

import pathlib

import pytest

from kubeflow import node, start_check
from kubeflow.metadata_store import StoreAddress
from kubeflow.step_config import cluster_config, encode_config
from tests.kubeflow.metadata_server import environment, free_port


@pytest.fixture
def encoded(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    file = tmp_path / "config.yaml"
    file.write_text(
        "name: signs\ndata: {format: coco, path: data}\nmodel: {detector: ssd_mobilenet_v2_fpnlite}\n"
        f"cluster: {{root: {tmp_path}/root, volumes: [], metadata_store: {{wait_seconds: 1}}}}\n"
    )
    for name, value in environment(StoreAddress("127.0.0.1", free_port(), "tfx", "me", "x")).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(node, "TERMINATION_MESSAGE", tmp_path / "termination-log")
    return encode_config(cluster_config(file))


def test_a_store_that_is_down(encoded: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "termination-log").touch()
    assert start_check.main(["--run-id", "r1", "--config", encoded]) == node.EXIT_UNREACHABLE
    said = capsys.readouterr().err
    assert "run r1 cannot start: metadata store mysql://me@127.0.0.1" in said
    assert "run r1 cannot start" in (tmp_path / "termination-log").read_text()


def test_a_store_that_is_there(
    encoded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(node, "wait_for_store", lambda address, limit_seconds: None)
    assert start_check.main(["--run-id", "r1", "--config", encoded]) == 0
    assert "are there" in capsys.readouterr().out


def test_a_run_parameter_that_the_config_does_not_allow(encoded: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert start_check.main(["--run-id", "r1", "--config", encoded, "--set", "train.steps=none"]) == node.EXIT_CONFIG
    assert "train.steps" in capsys.readouterr().err
