"""What is compiled for Kubeflow, from edges as they come out of the TFX graph."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import pytest
import yaml
from kfp import compiler

from kubeflow import compile as compile_command
from kubeflow.backend_check import check_package, find_problems
from kubeflow.kfp_pipeline import make_pipeline
from kubeflow.step_config import cluster_config, decode_config
from pipeline.config_errors import ConfigError

EDGES = {"ObjectDetectionExampleGen": [], "Trainer": ["ObjectDetectionExampleGen"], "Pusher": ["Trainer"]}
CONFIG = """
name: signs
data: {format: coco, path: "/mnt/pipelines/data/span-{SPAN}"}
model: {detector: ssd_mobilenet_v2_fpnlite}
cluster:
  metadata_store: {host: db.example.org, port: 3307}
  default_step: {memory_request: 2Gi, retries: 4, node_selector: {pool: cpu}, labels: {team: vision}}
  image_pull_secret: registry
  secrets:
    - {secret: bucket, mount_path: /secrets/bucket}
    - {secret: tracking, env: {TRACKING_TOKEN: token}}
  steps:
    Trainer:
      gpus: 1
      memory_request: 16Gi
      timeout_seconds: 7200
      node_selector: {pool: gpu}
      tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
      env: {TF_GPU_ALLOCATOR: cuda_malloc_async}
"""


def _compile(folder: pathlib.Path, *overrides: str) -> tuple[dict[str, Any], dict[str, Any]]:
    file = folder / "config.yaml"
    file.write_text(CONFIG)
    package = folder / "pipeline.yaml"
    compiler.Compiler().compile(
        make_pipeline(cluster_config(file, overrides), "example.org/image:1", EDGES), str(package)
    )
    check_package(package)
    spec, platform = yaml.safe_load_all(package.read_text())
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def test_one_step_a_node_in_the_graphs_order(tmp_path: pathlib.Path) -> None:
    spec, _ = _compile(tmp_path)
    tasks = spec["root"]["dag"]["tasks"]
    assert {task["taskInfo"]["name"] for task in tasks.values()} == {"StartCheck", *EDGES}
    assert tasks["trainer"]["dependentTasks"] == ["object-detection-example-gen"]
    assert tasks["pusher"]["dependentTasks"] == ["trainer"]
    assert all(not task["cachingOptions"].get("enableCache") for task in tasks.values())


def test_what_no_run_can_go_without_is_known_in_minutes(tmp_path: pathlib.Path) -> None:
    spec, pods = _compile(tmp_path, "cluster.notify.webhook_secret=hook", "cluster.default_step.timeout_seconds=0")
    graph = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    assert graph["object-detection-example-gen"]["dependentTasks"] == ["start-check"]
    assert graph["trainer"]["dependentTasks"] == ["object-detection-example-gen"]
    container = spec["deploymentSpec"]["executors"]["exec-start-check"]["container"]
    assert container["command"] == ["python3", "-m", "kubeflow.start_check"]
    for task, name in ((graph["start-check"], "start-check"), (spec["root"]["dag"]["tasks"]["notify"], "notify")):
        # Twice the 300 s that a step waits for root and store, and five minutes.
        assert pods[f"exec-{name}"]["activeDeadlineSeconds"] == "900"
        assert task["retryPolicy"]["maxRetryCount"] == 1
    assert "activeDeadlineSeconds" not in pods["exec-pusher"]
    _, pods = _compile(tmp_path, "cluster.steps={StartCheck: {timeout_seconds: 60}}")
    assert pods["exec-start-check"]["activeDeadlineSeconds"] == "60"


def test_a_step_is_the_node_command_with_run_id_and_run_parameters(tmp_path: pathlib.Path) -> None:
    spec, _ = _compile(tmp_path)
    container = spec["deploymentSpec"]["executors"]["exec-trainer"]["container"]
    assert container["image"] == "example.org/image:1"
    assert container["command"] == ["python3", "-m", "kubeflow.node"]
    arguments = container["args"]
    assert arguments[:4] == ["--node", "Trainer", "--run-id", "{{$.inputs.parameters['run_id']}}"]
    assert "train.steps={{$.inputs.parameters['train_steps']}}" in arguments
    assert decode_config(arguments[5]).name == "signs"
    assert decode_config(arguments[5]).cluster.image == "example.org/image:1"
    inputs = spec["root"]["dag"]["tasks"]["trainer"]["inputs"]["parameters"]
    assert inputs["run_id"]["runtimeValue"]["constant"] == "{{$.pipeline_job_uuid}}"
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert parameters["train_steps"]["defaultValue"] == "auto"
    assert parameters["data_span"]["defaultValue"] == ""
    assert parameters["data_span"]["description"].startswith("data.span: ")


def test_resources_retries_and_placement(tmp_path: pathlib.Path) -> None:
    spec, pods = _compile(tmp_path)
    trainer, pusher = (
        spec["deploymentSpec"]["executors"][f"exec-{name}"]["container"] for name in ("trainer", "pusher")
    )
    assert trainer["resources"]["accelerator"] == {
        "count": "1",
        "resourceCount": "1",
        "resourceType": "nvidia.com/gpu",
        "type": "nvidia.com/gpu",
    }
    assert trainer["resources"]["resourceMemoryRequest"] == "16Gi"
    assert pusher["resources"]["resourceMemoryRequest"] == "2Gi"
    assert spec["root"]["dag"]["tasks"]["trainer"]["retryPolicy"] == {
        "maxRetryCount": 4,
        "backoffDuration": "30s",
        "backoffFactor": 2.0,
        "backoffMaxDuration": "2592000s",
    }
    spec, _ = _compile(tmp_path, "cluster.default_step.memory_limit=4000000k")
    pusher = spec["deploymentSpec"]["executors"]["exec-pusher"]["container"]
    # Kubernetes' own unit for a thousand, which kfp does not take.
    assert pusher["resources"]["resourceMemoryLimit"] == "4000000000"
    assert pods["exec-trainer"]["nodeSelector"]["labels"] == {"pool": "gpu"}
    assert pods["exec-pusher"]["nodeSelector"]["labels"] == {"pool": "cpu"}
    assert pods["exec-trainer"]["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert pods["exec-trainer"]["activeDeadlineSeconds"] == "7200"
    assert pods["exec-trainer"]["podMetadata"]["labels"] == {
        "app.kubernetes.io/name": "signs",
        "app.kubernetes.io/component": "trainer",
        "app.kubernetes.io/part-of": "object-detection-pipeline",
        "team": "vision",
    }


def test_volumes_secrets_and_environment(tmp_path: pathlib.Path) -> None:
    spec, pods = _compile(tmp_path)
    pod = pods["exec-trainer"]
    assert [(mount["constant"], mount["mountPath"]) for mount in pod["pvcMount"]] == [
        ("pipeline-root", "/mnt/pipelines")
    ]
    secrets = {entry["secretName"]: entry["keyToEnv"] for entry in pod["secretAsEnv"]}
    assert [entry["envVar"] for entry in secrets["metadata-store"]] == [
        "METADATA_STORE_USER",
        "METADATA_STORE_PASSWORD",
    ]
    assert secrets["tracking"][0] == {"secretKey": "token", "envVar": "TRACKING_TOKEN"}
    assert pod["secretAsVolume"][0]["mountPath"] == "/secrets/bucket"
    assert pod["fieldPathAsEnv"] == [{"name": "KFP_POD_NAME", "fieldPath": "metadata.name"}]
    assert pod["imagePullSecret"][0]["secretName"] == "registry"
    environment = spec["deploymentSpec"]["executors"]["exec-trainer"]["container"]["env"]
    variables = {entry["name"]: entry["value"] for entry in environment}
    assert variables["METADATA_STORE_HOST"] == "db.example.org"
    assert variables["METADATA_STORE_PORT"] == "3307"
    assert variables["TF_GPU_ALLOCATOR"] == "cuda_malloc_async"
    assert not [name for name in variables if "PASSWORD" in name]


def test_notification_is_an_exit_handler_and_retention_the_last_step(tmp_path: pathlib.Path) -> None:
    spec, pods = _compile(tmp_path, "cluster.notify.webhook_secret=hook", "cluster.retention.enabled=true")
    notify = spec["root"]["dag"]["tasks"]["notify"]
    assert notify["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    graph = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    assert sorted(graph["retention"]["dependentTasks"]) == ["object-detection-example-gen", "pusher", "trainer"]
    assert any(entry["secretName"] == "hook" for entry in pods["exec-notify"]["secretAsEnv"])
    assert not any(entry["secretName"] == "hook" for entry in pods["exec-trainer"]["secretAsEnv"])


def test_settings_of_a_step_that_is_not_there_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"'Trainr' is no step.*Trainer"):
        _compile(tmp_path, "cluster.steps={Trainr: {gpus: 1}}")


def _break(spec: dict[str, Any], change: str) -> None:
    executor = spec["deploymentSpec"]["executors"]["exec-trainer"]
    component = spec["components"]["comp-trainer"]
    tasks = spec["root"]["dag"]["tasks"]
    match change:
        case "resolver":
            executor["resolver"] = {}
        case "span driver":
            executor["container"]["lifecycle"] = {"preCacheCheck": {"command": ["python"]}}
        case "typed artifact":
            component["inputDefinitions"]["artifacts"] = {"x": {"artifactType": {"schemaTitle": "tfx.Examples"}}}
        case "entry point":
            executor["container"]["command"] = ["python", "-m", "tfx.orchestration.kubeflow.v2.container.run_executor"]
        case "artifact placeholder":
            executor["container"]["args"].append("{{$.inputs.artifacts['x'].uri}}")
        case "no image":
            executor["container"]["image"] = ""
        case "cache":
            tasks["trainer"]["cachingOptions"]["enableCache"] = True
        case "missing task":
            tasks["trainer"]["dependentTasks"] = ["nothing"]
        case "circle":
            tasks["trainer"]["dependentTasks"] = ["pusher"]
        case "unknown field":
            spec["root"]["nonsense"] = 1
        case "old schema":
            spec["schemaVersion"] = "2.0.0"
        case "retry window":
            tasks["trainer"]["retryPolicy"]["backoffMaxDuration"] = "3600s"
        case "missing executor":
            component["executorLabel"] = "exec-nothing"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("resolver", "resolver executors are not implemented"),
        ("span driver", "span driver"),
        ("typed artifact", "tfx.Examples"),
        ("entry point", "typed artifacts"),
        ("artifact placeholder", "unknown to the backend"),
        ("no image", "no image"),
        ("cache", "cache is on"),
        ("missing task", "'nothing', which is not there"),
        ("circle", "wait for each other"),
        ("unknown field", "nonsense"),
        ("old schema", "expected 2.1"),
        ("missing executor", "exec-nothing is not there"),
        ("retry window", "attempts of up to 7200 s do not fit in the 3600 s"),
    ],
)
def test_what_the_backend_cannot_run_is_found(tmp_path: pathlib.Path, change: str, said: str) -> None:
    spec, pods = _compile(tmp_path)
    _break(spec, change)
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": pods}}}}
    assert any(said in problem for problem in find_problems([spec, platform]))


def test_a_missing_package_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, output = tmp_path / "config.yaml", tmp_path / "pipeline.yaml"
    file.write_text(CONFIG)
    monkeypatch.delitem(sys.modules, "kubeflow.kfp_pipeline")
    monkeypatch.delattr("kfp.kubernetes")
    monkeypatch.setitem(sys.modules, "kfp.kubernetes", None)
    monkeypatch.setattr(compile_command, "check_detector", lambda config: None)
    arguments = ["--config", str(file), "--image", "image:1", "--output", str(output)]
    assert compile_command.main(arguments) == 2
    assert "install kfp and kfp-kubernetes" in capsys.readouterr().err
    assert not output.exists()


def test_something_else_is_no_package(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a: 1")
    with pytest.raises(ValueError, match="no pipeline spec"):
        check_package(file)
