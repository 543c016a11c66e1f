"""Schedules, through the real client, against the stand-in."""

from __future__ import annotations

import argparse
import datetime
import pathlib
from typing import Any

import kfp_server_api
import pytest
from kfp import compiler

from kubeflow import client as kfp_client
from kubeflow import schedule
from kubeflow.kfp_pipeline import make_pipeline
from kubeflow.step_config import cluster_config

CONFIG = """
name: signs
data: {format: coco, path: data}
model: {detector: ssd_mobilenet_v2_fpnlite}
cluster: {schedule: {cron: "30 2 * * *"}}
"""


@pytest.fixture
def package(tmp_path: pathlib.Path) -> pathlib.Path:
    config, output = tmp_path / "config.yaml", tmp_path / "pipeline.yaml"
    config.write_text(CONFIG)
    compiler.Compiler().compile(make_pipeline(cluster_config(config), "image:1", {"Trainer": []}), str(output))
    return output


def _create(kfp_server: Any, package: pathlib.Path, *arguments: str) -> int:
    config = str(package.with_name("config.yaml"))
    return schedule.main(
        ["create", "--package", str(package), "--config", config, "--host", kfp_server.url, *arguments]
    )


def _do(kfp_server: Any, command: str, *arguments: str) -> int:
    return schedule.main([command, "--experiment", "signs", "--host", kfp_server.url, *arguments])


def test_created_as_the_config_says(kfp_server: Any, package: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _create(kfp_server, package, "--parameter", "train_steps=5") == 0
    [made] = kfp_server.recurring.values()
    assert made["trigger"] == {"cron_schedule": {"cron": "0 30 2 * * *"}}
    assert made["display_name"] == "signs"
    assert int(made["max_concurrency"]) == 1
    assert made["no_catchup"] is True
    assert made["mode"] == "ENABLE"
    assert made["runtime_config"]["parameters"] == {"train_steps": "5"}
    assert "cluster's time zone (UTC)" in made["description"]
    assert "next: 20" in capsys.readouterr().out


def test_a_time_that_kubeflow_does_not_look_for(
    kfp_server: Any, package: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schedule, "_now", lambda: datetime.datetime(2029, 5, 30))
    assert _create(kfp_server, package, "--cron", "40 29 0 */14 5/15 2") == 2
    assert "comes true on 2035-05-01 next; Kubeflow looks five years ahead" in capsys.readouterr().err
    assert not kfp_server.recurring


def test_creating_twice_leaves_one_and_changes_nothing(kfp_server: Any, package: pathlib.Path) -> None:
    _create(kfp_server, package)
    before = list(kfp_server.recurring)
    assert _create(kfp_server, package) == 0
    assert list(kfp_server.recurring) == before


@pytest.mark.parametrize(
    "change", [("--cron", "0 0 * * *"), ("--interval-seconds", "600"), ("--max-concurrency", "2"), ("--catch-up",)]
)
def test_creating_with_other_values_leaves_the_new_one(
    kfp_server: Any, package: pathlib.Path, change: tuple[str, ...]
) -> None:
    _create(kfp_server, package)
    [before] = kfp_server.recurring
    assert _create(kfp_server, package, *change) == 0
    [after] = kfp_server.recurring
    assert after != before


def test_a_new_package_moves_the_schedule_to_the_new_version(kfp_server: Any, package: pathlib.Path) -> None:
    _create(kfp_server, package)
    package.write_text(package.read_text().replace("image:1", "image:2"))
    assert _create(kfp_server, package) == 0
    [made] = kfp_server.recurring.values()
    version = kfp_server.versions[made["pipeline_version_reference"]["pipeline_version_id"]]
    assert "image:2" in str(version["pipeline_spec"])


def test_schedules_of_other_names_are_left_alone_and_listed(
    kfp_server: Any, package: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        _create(kfp_server, package, "--name", name)
    _create(kfp_server, package, "--name", "b", "--interval-seconds", "60")
    capsys.readouterr()
    assert _do(kfp_server, "list") == 0
    lines = sorted(capsys.readouterr().out.splitlines())
    lines = [line for line in lines if "\t" in line]
    assert [line.split("\t")[0] for line in lines] == ["a", "b", "c"]
    assert "every 60 s" in lines[1]


def test_pause_resume_trigger_delete(kfp_server: Any, package: pathlib.Path) -> None:
    _create(kfp_server, package, "--parameter", "train_steps=5")
    [made] = kfp_server.recurring.values()
    assert _do(kfp_server, "pause", "--name", "signs") == 0
    assert made["status"] == "DISABLED"
    assert _do(kfp_server, "resume", "--name", "signs") == 0
    assert made["status"] == "ENABLED"
    assert _do(kfp_server, "trigger", "--name", "signs") == 0
    [run] = kfp_server.runs.values()
    assert run["runtime_config"]["parameters"] == {"train_steps": "5"}
    assert run["pipeline_version_reference"] == made["pipeline_version_reference"]
    assert _do(kfp_server, "delete", "--name", "signs") == 0
    assert not kfp_server.recurring
    assert _do(kfp_server, "delete", "--name", "signs") == 2


def test_creating_resumes_a_paused_schedule(kfp_server: Any, package: pathlib.Path) -> None:
    _create(kfp_server, package)
    _do(kfp_server, "pause", "--name", "signs")
    assert _create(kfp_server, package) == 0
    assert [made["status"] for made in kfp_server.recurring.values()] == ["ENABLED"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cron", "0 0 31 2 *"), "never comes true"),
        (("--cron", "* * *"), "found 3 fields"),
        (("--cron", "* * * * *", "--interval-seconds", "5"), "exactly one"),
        (("--max-concurrency", "11"), "expected 1 to 10"),
        (("--max-concurrency", "0"), "expected 1 to 10"),
        (("--parameter", "nonsense=1"), "nonsense"),
    ],
)
def test_what_the_server_refuses_is_not_sent(
    kfp_server: Any, package: pathlib.Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert _create(kfp_server, package, *arguments) == 2
    assert said in capsys.readouterr().err
    assert not kfp_server.recurring
    assert not kfp_server.versions


@pytest.mark.parametrize(
    "change",
    [
        {"max_concurrency": 11},
        {"max_concurrency": 0},
        {"cron_expression": "* * *"},
        {"cron_expression": "61 * * * * *"},
        {"version_id": "nothing"},
        {"params": {"nonsense": 1}},
    ],
)
def test_the_stand_in_refuses_what_the_real_server_refuses(
    kfp_server: Any, package: pathlib.Path, change: dict[str, Any]
) -> None:
    parser = argparse.ArgumentParser()
    kfp_client.add_client_arguments(parser)
    client = kfp_client.connect(parser.parse_args(["--host", kfp_server.url]))
    version = kfp_client.upload(client, package)
    arguments: dict[str, Any] = {
        "experiment_id": client.create_experiment("signs").experiment_id,
        "job_name": "x",
        "cron_expression": "0 0 0 * * *",
        "pipeline_id": version.pipeline_id,
        "version_id": version.version_id,
    }
    client.create_recurring_run(**arguments)
    with pytest.raises(kfp_server_api.ApiException):
        client.create_recurring_run(**{**arguments, **change})
    with pytest.raises(ValueError, match="pipeline_id"):
        client.create_recurring_run(**{**arguments, "version_id": None})
