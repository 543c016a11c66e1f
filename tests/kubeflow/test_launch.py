"""One node at a time against a store on disk: what a step does again, what it does not, and what it calls a failure."""

from __future__ import annotations

import pathlib

import ml_metadata
import pytest
import yaml
from ml_metadata.proto import metadata_store_pb2

from components.example_gen.annotations import DataError
from kubeflow import launch
from kubeflow.kfp_pipeline import write_kfp_pipeline
from kubeflow.step_config import cluster_config, decode_config
from pipeline import graph
from pipeline.config import PipelineConfig
from pipeline.push_settings import PushSettings

Execution = metadata_store_pb2.Execution


@pytest.fixture
def config(tmp_path: pathlib.Path) -> PipelineConfig:
    file = tmp_path / "config.yaml"
    (tmp_path / "data").mkdir()
    file.write_text(
        f"name: signs\ndata: {{format: coco, path: {tmp_path}/data}}\nmodel: {{detector: ssd_mobilenet_v2_fpnlite}}\n"
        f"cluster: {{root: {tmp_path}/root, volumes: []}}\n"
    )
    return cluster_config(file)


@pytest.fixture
def connection(tmp_path: pathlib.Path) -> metadata_store_pb2.ConnectionConfig:
    sqlite = metadata_store_pb2.SqliteMetadataSourceConfig(
        filename_uri=str(tmp_path / "mlmd.sqlite"),
        connection_mode=metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE,
    )
    return metadata_store_pb2.ConnectionConfig(sqlite=sqlite)


def _run(
    config: PipelineConfig, connection: metadata_store_pb2.ConnectionConfig, node: str, run: str = "r1"
) -> launch.NodeRun:
    node_run = launch.NodeRun(config, node, launch.StepIdentity(run, "pod-7"), connection)
    node_run.register_types()
    return node_run


def test_a_node_runs_once_in_a_run_and_from_the_cache_in_the_next(
    config: PipelineConfig, connection: metadata_store_pb2.ConnectionConfig
) -> None:
    first = _run(config, connection, "ImportSchemaGen")
    assert "complete" in first.run()
    [execution] = first.executions()
    assert execution.custom_properties["kfp_run_id"].string_value == "r1"
    assert execution.custom_properties["kfp_pod_name"].string_value == "pod-7"
    # The step's pod died after the node had succeeded: nothing is done again.
    again = _run(config, connection, "ImportSchemaGen")
    again.run()
    assert [e.id for e in again.executions()] == [execution.id]
    other = _run(config, connection, "ImportSchemaGen", "r2")
    assert "cached" in other.run()


def test_a_node_runs_again_when_what_a_parameter_names_has_changed(
    config: PipelineConfig,
    connection: metadata_store_pb2.ConnectionConfig,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schema_file = tmp_path / "schema.pbtxt"
    schema_file.write_text("# Image 1.0 has this one.\n")
    monkeypatch.setattr(graph, "SCHEMA_FILE", schema_file)
    assert "complete" in _run(config, connection, "ImportSchemaGen").run()
    schema_file.touch()
    assert "cached" in _run(config, connection, "ImportSchemaGen", "r2").run()
    schema_file.write_text("# Image 1.1 has another one under the same path.\n")
    assert "complete" in _run(config, connection, "ImportSchemaGen", "r3").run()


def test_a_killed_attempt_is_marked_and_the_node_gets_a_new_execution(
    config: PipelineConfig, connection: metadata_store_pb2.ConnectionConfig
) -> None:
    killed = _run(config, connection, "ImportSchemaGen")
    killed.run()
    store = ml_metadata.MetadataStore(connection)
    [execution] = killed.executions()
    # As kill -9 leaves it: running, with something written.
    execution.last_known_state = Execution.RUNNING
    store.put_executions([execution])
    left_over = config.pipeline_root / "ImportSchemaGen" / "schema" / str(execution.id)
    assert left_over.is_dir()
    retried = _run(config, connection, "ImportSchemaGen")
    assert "execution 2" in retried.run()
    states = [(e.id, Execution.State.Name(e.last_known_state)) for e in retried.executions()]
    assert states[0] == (1, "FAILED")
    assert states[1][1] in ("COMPLETE", "CACHED")
    assert "evicted or killed" in retried.executions()[0].custom_properties["__execution_result__"].string_value


def test_missing_inputs_are_a_failure_though_the_launcher_returns(
    config: PipelineConfig, connection: metadata_store_pb2.ConnectionConfig
) -> None:
    with pytest.raises(launch.StepError, match="StatisticsGen"):
        _run(config, connection, "StatisticsGen").run()


def test_a_driver_that_raises_has_failed_and_the_store_says_why(
    config: PipelineConfig, connection: metadata_store_pb2.ConnectionConfig
) -> None:
    """TFX's Launcher leaves it RUNNING: the webhook would have no reason, and drift would wait for its end."""
    gone = config.model_copy(update={"data": config.data.model_copy(update={"path": "/nowhere"})})
    node_run = _run(gone, connection, "ObjectDetectionExampleGen")
    with pytest.raises(DataError):
        node_run.run()
    [execution] = node_run.executions()
    assert execution.last_known_state == Execution.FAILED
    assert "data.path: /nowhere is no folder" in execution.custom_properties["__execution_result__"].string_value


def test_a_node_that_is_not_there(config: PipelineConfig, connection: metadata_store_pb2.ConnectionConfig) -> None:
    with pytest.raises(launch.StepError, match=r"no such node; it has .*Trainer"):
        _run(config, connection, "Trainr")


def test_the_package_is_made_without_the_start_weights(
    config: PipelineConfig, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str | None] = []
    monkeypatch.setattr(graph, "weights_digest", lambda source: looked_at.append(source) or "")
    model = config.model.model_copy(update={"pretrained": "gs://only-the-cluster-can-read/model"})
    write_kfp_pipeline(config.model_copy(update={"model": model}), "image:1", tmp_path / "pipeline.yaml")
    assert looked_at == [None]
    assert "Trainer" in (tmp_path / "pipeline.yaml").read_text()


def test_device_models_are_steps_of_their_own_behind_the_push(config: PipelineConfig, tmp_path: pathlib.Path) -> None:
    push = PushSettings.model_validate({"formats": ["saved_model", "onnx", "openvino_int8"]})
    write_kfp_pipeline(config.model_copy(update={"push": push}), "image:1", tmp_path / "pipeline.yaml")
    spec = next(iter(yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())))
    tasks = spec["root"]["dag"]["tasks"]
    assert sorted(tasks["exporter"]["dependentTasks"]) == [
        "evaluator",
        "object-detection-example-gen",
        "pusher",
        "trainer",
    ]
    assert sorted(tasks["device-pusher"]["dependentTasks"]) == ["device-evaluator", "exporter", "pusher"]
    container = spec["deploymentSpec"]["executors"]["exec-device-evaluator"]["container"]
    encoded = container["args"][container["args"].index("--config") + 1]
    # A step finds the folder where the volume is, as it does that of the SavedModel.
    told = decode_config(encoded)
    assert told.push == push
    assert told.device_directory == tmp_path / "root" / "signs" / "served" / "devices"


def test_compiling_the_graph_leaves_no_store_behind(config: PipelineConfig) -> None:
    launch.compile_graph(config)
    assert not config.pipeline_root.exists()
