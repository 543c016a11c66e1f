"""Beam settings become the arguments Beam's own parser understands."""

from __future__ import annotations

import pytest
from apache_beam.options.pipeline_options import (
    DirectOptions,
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)

from pipeline.beam_settings import BeamSettings


def test_default_is_the_direct_runner_in_memory():
    options = PipelineOptions(BeamSettings().pipeline_args())
    assert options.view_as(StandardOptions).runner == "DirectRunner"
    assert options.view_as(DirectOptions).direct_running_mode == "in_memory"
    assert "tfx" not in (options.view_as(SetupOptions).beam_plugins or [])


def test_worker_processes_import_tfx_first():
    options = PipelineOptions(BeamSettings(mode="multi_processing", workers=2).pipeline_args())
    assert options.view_as(SetupOptions).beam_plugins == ["tfx"]
    assert options.view_as(DirectOptions).direct_num_workers == 2


def test_options_become_flags_values_and_repetitions():
    settings = BeamSettings(
        runner="DataflowRunner",
        options={"region": "europe-west4", "save_main_session": True, "off": False, "experiments": ["a", "b"]},
    )
    assert settings.pipeline_args() == [
        "--runner=DataflowRunner",
        "--beam_plugin=tfx",
        "--region=europe-west4",
        "--save_main_session",
        "--experiments=a",
        "--experiments=b",
    ]


IMAGE = {"FLINK_VERSION": "1.19", "FLINK_JOB_SERVER_JAR": "/opt/flink/job-server.jar"}


def test_flink_by_its_address_alone() -> None:
    settings = BeamSettings(runner="FlinkRunner", options={"flink_master": "flink-jobmanager:8081", "parallelism": 8})
    options = PipelineOptions(settings.pipeline_args("registry.example.org/image:1", IMAGE))
    flink, portable = options.view_as(FlinkRunnerOptions), options.view_as(PortableOptions)
    assert (flink.flink_version, flink.flink_job_server_jar) == ("1.19", "/opt/flink/job-server.jar")
    assert flink.parallelism == 8
    assert (portable.environment_type, portable.environment_config) == ("EXTERNAL", "localhost:50000")
    assert options.view_as(WorkerOptions).sdk_container_image == "registry.example.org/image:1"


def test_no_portable_runner_makes_tfx_send_a_package() -> None:
    from tfx.utils.dependency_utils import make_beam_dependency_flags

    for runner in ("FlinkRunner", "SparkRunner", "PortableRunner"):
        arguments = BeamSettings(runner=runner).pipeline_args(None, {})
        assert make_beam_dependency_flags(arguments) == arguments


@pytest.mark.parametrize(
    ("given", "left_out"),
    [
        ({"flink_master": "[local]"}, "--environment_type"),
        ({"extra_packages": ["dist/ours.whl"]}, "--sdk_container_image"),
        ({"flink_version": "1.20"}, "--flink_job_server_jar"),
    ],
)
def test_what_the_user_says_stands(given: dict[str, str | list[str]], left_out: str) -> None:
    arguments = BeamSettings(runner="FlinkRunner", options=given).pipeline_args("image:1", IMAGE)
    assert not [argument for argument in arguments if argument.startswith(left_out)]


def test_an_image_without_flink_leaves_beam_to_find_its_job_server() -> None:
    arguments = BeamSettings(runner="FlinkRunner").pipeline_args(None, {"FLINK_VERSION": ""})
    assert not [argument for argument in arguments if argument.startswith("--flink")]
