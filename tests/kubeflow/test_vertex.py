"""What is compiled for Vertex AI, and its step."""

from __future__ import annotations

import json
import pathlib

import pytest

from components.example_gen.keys import SPANS
from kubeflow import vertex, vertex_step
from kubeflow.backend_check import find_problems
from kubeflow.step_config import cluster_config
from pipeline.config_errors import ConfigError

CONFIG = """
name: signs
data: {format: coco, path: "/gcs/bucket/data/span-{SPAN}"}
model: {detector: ssd_mobilenet_v2_fpnlite}
cluster: {root: /gcs/bucket/pipelines, volumes: []}
"""


def _file(folder: pathlib.Path) -> pathlib.Path:
    file = folder / "config.yaml"
    file.write_text(CONFIG)
    return file


def test_the_graph_with_vertexs_own_resolvers(tmp_path: pathlib.Path) -> None:
    output = tmp_path / "job.json"
    config = cluster_config(_file(tmp_path), ["push.formats=[saved_model, onnx]"])
    vertex.write_vertex_job(config, "image:1", output)
    job = json.loads(output.read_text())
    assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/pipelines/signs"
    tasks = job["pipelineSpec"]["root"]["dag"]["tasks"]
    assert {"ObjectDetectionExampleGen", "Trainer", "Evaluator", "Pusher", "PreviousStatistics"} <= set(tasks)
    assert {"Exporter", "DeviceEvaluator", "DevicePusher"} <= set(tasks)
    assert not tasks["PreviousStatistics"].get("dependentTasks")
    assert not tasks["ObjectDetectionExampleGen"].get("cachingOptions", {}).get("enableCache")
    assert tasks["Trainer"]["cachingOptions"]["enableCache"]
    # Vertex finds a blessed model in two steps of its own, and knows no other judge.
    assert {task for task in tasks if "Baseline" in task} == {
        "BlessedBaseline-model-blessing-resolver",
        "BlessedBaseline-model-resolver",
    }
    executors = job["pipelineSpec"]["deploymentSpec"]["executors"]
    assert sum("resolver" in executor for executor in executors.values()) >= 3
    assert executors["Trainer_executor"]["container"]["command"] == ["python3", "-m", "kubeflow.vertex_step"]
    # The open-source backend could not run this, and we know.
    assert any("resolver" in problem for problem in find_problems([job["pipelineSpec"]]))


@pytest.mark.parametrize(
    ("overrides", "name", "said"),
    [(["cluster.root=/mnt/pipelines"], "job.json", "/gcs/BUCKET"), ([], "job.yaml", r"\*\.json")],
)
def test_what_vertex_cannot_do_is_refused(tmp_path: pathlib.Path, overrides: list[str], name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        vertex.write_vertex_job(cluster_config(_file(tmp_path), overrides), "image:1", tmp_path / name)


def test_the_step_of_example_gen_chooses_the_span(tmp_path: pathlib.Path) -> None:
    for span in (1, 12):
        (tmp_path / f"span-{span}").mkdir()
    settings = json.dumps({"format": "coco", "path": f"{tmp_path}/span-{{SPAN}}"})
    invocation = json.dumps({"inputs": {"parameters": {"settings": {"stringValue": settings}}}})
    flags = ["--executor_class_path", vertex_step.EXAMPLE_GEN_EXECUTOR, "--json_serialized_invocation_args", invocation]
    arguments = vertex_step.with_spans(flags)
    [span] = json.loads(json.loads(arguments[3])["inputs"]["parameters"][SPANS]["stringValue"])
    assert span["span"] == 12
    others = [flags[0], "tfx.components.trainer.executor.GenericExecutor", *flags[2:]]
    assert vertex_step.with_spans(others) == others
