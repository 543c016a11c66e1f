"""Runs, through the real client, against the stand-in."""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Any

import pytest
import yaml
from kfp import compiler

from kubeflow import client as kfp_client
from kubeflow import submit
from kubeflow.kfp_pipeline import make_pipeline
from kubeflow.step_config import cluster_config

CONFIG = (
    "name: signs\ndata: {format: coco, path: data}\nmodel: {detector: ssd_mobilenet_v2_fpnlite}\ntrain: {steps: 7}\n"
)


@pytest.fixture
def package(tmp_path: pathlib.Path) -> pathlib.Path:
    config, output = tmp_path / "config.yaml", tmp_path / "pipeline.yaml"
    config.write_text(CONFIG)
    compiler.Compiler().compile(make_pipeline(cluster_config(config), "image:1", {"Trainer": []}), str(output))
    return output


def _submit(kfp_server: Any, package: pathlib.Path, *arguments: str) -> int:
    return submit.main(["--package", str(package), "--host", kfp_server.url, *arguments])


def test_a_run_of_an_uploaded_version(
    kfp_server: Any, package: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _submit(kfp_server, package, "--parameter", "train_steps=3", "--parameter", "data_span=012") == 0
    [run] = kfp_server.runs.values()
    assert run["runtime_config"]["parameters"] == {"train_steps": 3, "data_span": "012"}
    assert run["service_account"] == "object-detection-pipeline"
    version = kfp_server.versions[run["pipeline_version_reference"]["pipeline_version_id"]]
    assert version["display_name"].startswith("signs-")
    assert f"run {run['run_id']} started" in capsys.readouterr().out


def test_the_same_package_is_one_version_and_another_one_is_another(kfp_server: Any, package: pathlib.Path) -> None:
    assert _submit(kfp_server, package) == 0
    uploaded = len(kfp_server.versions)
    assert _submit(kfp_server, package) == 0
    assert len(kfp_server.versions) == uploaded
    package.write_text(package.read_text().replace("image:1", "image:2"))
    assert _submit(kfp_server, package) == 0
    assert len(kfp_server.versions) == uploaded + 1
    assert len(kfp_server.pipelines) == len(kfp_server.experiments) == 1
    assert len(kfp_server.runs) == 3


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (["RUNNING", "SUCCEEDED"], 0),
        (["FAILED"], 1),
        (["CANCELED"], 1),
        (["RUNNING"], 4),
        (["UNAVAILABLE", "SUCCEEDED"], 0),
    ],
)
def test_waiting_ends_with_the_runs_status(
    kfp_server: Any, package: pathlib.Path, monkeypatch: pytest.MonkeyPatch, states: list[str], status: int
) -> None:
    monkeypatch.setattr(submit.time, "sleep", lambda seconds: None)
    kfp_server.run_states = states
    limit = "0" if status == 4 else "60"
    assert _submit(kfp_server, package, "--wait", "--wait-seconds", limit) == status


def test_a_server_that_stays_away_is_no_refusal(
    kfp_server: Any, package: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(submit.time, "sleep", lambda seconds: None)
    kfp_server.run_states = ["RUNNING", "UNAVAILABLE"]
    client = kfp_client.connect(_client_arguments(kfp_server))
    assert _submit(kfp_server, package) == 0
    [run_id] = kfp_server.runs
    assert submit.wait(client, run_id, 60, unanswered_seconds=0) == submit.EXIT_LOST
    assert f"run {run_id} goes on" in capsys.readouterr().err


def _client_arguments(kfp_server: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    kfp_client.add_client_arguments(parser)
    return parser.parse_args(["--host", kfp_server.url])


def test_a_profiles_pipeline_is_found_again(kfp_server: Any, package: pathlib.Path) -> None:
    for _ in range(2):
        assert _submit(kfp_server, package, "--namespace", "team-a") == 0
    assert [pipeline["namespace"] for pipeline in kfp_server.pipelines.values()] == ["team-a"]


def test_a_package_of_kfp_that_is_missing_is_named(
    package: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "kfp.kubernetes", None)
    assert submit.main(["--package", str(package), "--host", "http://127.0.0.1:9"]) == 2
    assert "kfp.kubernetes" in (said := capsys.readouterr().err)
    assert "install kfp and kfp-kubernetes" in said


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("steps=3", "train_steps"),
        ("train_steps=many", "NUMBER_INTEGER"),
        ("train_steps", "NAME=VALUE"),
        ("train_steps=[", "not YAML"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_sent(
    kfp_server: Any, package: pathlib.Path, capsys: pytest.CaptureFixture[str], parameter: str, said: str
) -> None:
    assert _submit(kfp_server, package, "--parameter", parameter) == 2
    assert said in capsys.readouterr().err
    assert not kfp_server.requests


def test_a_package_that_cannot_run_is_refused_here_and_by_the_server(
    kfp_server: Any, package: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, platform = yaml.safe_load_all(package.read_text())
    spec["deploymentSpec"]["executors"]["exec-trainer"] = {"resolver": {}}
    package.write_text(yaml.safe_dump_all([spec, platform]))
    assert _submit(kfp_server, package) == 2
    assert "resolver" in capsys.readouterr().err
    assert not kfp_server.requests


@pytest.mark.parametrize(
    ("tag", "sub_path", "said"),
    [
        ("2.4.1", "", "is Kubeflow Pipelines 2.4, expected 2.15 or later"),
        ("2.14.3", "", "is Kubeflow Pipelines 2.14, expected 2.15 or later"),
        ("2.15.0", "", None),
        ("2.15.2", "signs", "sub_path; expected 2.16 or later"),
        ("v2.16.0-rc.1", "signs", None),
        ("10.0.0", "signs", None),
        ("unknown", "signs", None),
    ],
)
def test_a_server_that_is_too_old_for_the_package_gets_nothing(
    kfp_server: Any,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    tag: str,
    sub_path: str,
    said: str | None,
) -> None:
    kfp_server.tag_name = tag
    volumes = f"[{{claim: root, mount_path: /mnt/pipelines, sub_path: '{sub_path}'}}]"
    file, package = tmp_path / "config.yaml", tmp_path / "pipeline.yaml"
    file.write_text(f"{CONFIG}cluster: {{volumes: {volumes}}}\n")
    compiler.Compiler().compile(make_pipeline(cluster_config(file), "image:1", {"Trainer": []}), str(package))
    assert _submit(kfp_server, package) == (0 if said is None else 2)
    assert (said or "") in capsys.readouterr().err
    assert bool(kfp_server.pipelines) == (said is None)


def test_sign_in_options_reach_the_server(kfp_server: Any, package: pathlib.Path, tmp_path: pathlib.Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    assert _submit(kfp_server, package, "--token-file", str(token), "--cookies", "session=1") == 0
    assert kfp_server.headers[-1]["authorization"] == "Bearer s3cret"
    assert kfp_server.headers[-1]["Cookie"] == "session=1"


def test_a_server_that_is_not_there(package: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit.main(["--package", str(package), "--host", "http://127.0.0.1:9"]) == 2
    assert "check --host" in capsys.readouterr().err
