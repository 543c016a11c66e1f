"""TF Serving's files parse as its own messages, and agree with the export and with each other."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

import serving.tf_serving
from components.trainer.settings import ModelSettings
from schema.exported_model import MODEL_NAME
from serving.models.batching_parameters import read_batching_parameters
from tests.serving.tf_serving.published_protos import message

FOLDER = pathlib.Path(serving.tf_serving.__file__).parent
WARMUP_SIZES = sorted({1, ModelSettings().serving_batch_size})
"""As components/export/saved_model.py writes them."""


def _parsed(file: str, name: str) -> Any:
    return text_format.Parse((FOLDER / file).read_text(), message(name))


def test_models() -> None:
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((FOLDER / "models.config").read_text(), config)
    [model] = config.model_config_list.config
    assert model.name == MODEL_NAME
    assert model.base_path == f"/models/{MODEL_NAME}"
    assert set(model.version_labels) == {"stable", "canary"}
    # A label of a version that is not loaded answers nothing.
    assert set(model.version_labels.values()) <= set(model.model_version_policy.specific.versions)


@pytest.mark.parametrize("file", ["batching_parameters.config", "batching_parameters_gpu.config"])
def test_batches_are_no_larger_than_what_the_export_warms_up_with(file: str) -> None:
    batching = _parsed(file, "BatchingParameters")
    assert batching.max_execution_batch_size.value == WARMUP_SIZES[-1]
    assert batching.max_batch_size.value >= batching.max_execution_batch_size.value
    assert batching.enable_large_batch_splitting.value
    assert batching.num_batch_threads.value >= 1
    # Borders that it adds would move the boxes.
    assert not batching.pad_variable_length_inputs


@pytest.mark.parametrize("file", ["batching_parameters.config", "batching_parameters_gpu.config"])
def test_the_embedded_server_reads_the_same_file(file: str) -> None:
    read = read_batching_parameters(FOLDER / file)
    assert read.max_batch_size == WARMUP_SIZES[-1]
    assert read.splits_large_requests


def test_a_gpu_sees_the_sizes_of_the_warm_up_alone() -> None:
    assert list(_parsed("batching_parameters_gpu.config", "BatchingParameters").allowed_batch_sizes) == WARMUP_SIZES
    assert not _parsed("batching_parameters.config", "BatchingParameters").allowed_batch_sizes


def test_metrics_are_where_the_pods_say() -> None:
    prometheus = _parsed("monitoring.config", "MonitoringConfig").prometheus_config
    assert prometheus.enable
    manifests = FOLDER.parents[1] / "kubeflow" / "manifests"
    assert f"prometheus.io/path: {prometheus.path}\n" in (manifests / "base" / "serving.yaml").read_text()
    [monitor] = yaml.safe_load_all((manifests / "optional" / "pod-monitor.yaml").read_text())
    assert [endpoint["path"] for endpoint in monitor["spec"]["podMetricsEndpoints"]] == [prometheus.path]


def test_the_compose_file_names_files_that_it_mounts() -> None:
    service = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]["detector"]
    flags = dict(argument.removeprefix("--").split("=") for argument in service["command"])
    assert service["volumes"][1] == ".:/config:ro"
    for flag in ("batching_parameters_file", "monitoring_config_file"):
        folder, name = flags[flag].rsplit("/", 1)
        assert folder == "/config"
        assert (FOLDER / name).is_file()
    assert flags["model_config_file"] == "/models/models.config"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
