"""The tiny detector, pushed and served for the tests in this folder."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable, Iterator

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.devices.runtime import MODEL_FILES
from serving.model_server import ModelServer, ServerSettings
from serving.models.models_config import ModelConfig
from tests.serving.devices import tiny_device_models
from tests.serving.guard import Guard, make_guard
from tests.serving.tiny_detector import TinyDetector, jpeg, predict_request


def _write_warmup(version_path: pathlib.Path) -> None:
    path = version_path / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir(exist_ok=True)
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(predict_request(jpeg()))
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(log.SerializeToString())


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[int, pathlib.Path]:
    """Exports with the odd and the even answer, saved once."""
    folder = tmp_path_factory.mktemp("exports")
    for version in (1, 2):
        module = TinyDetector(version)
        path = folder / str(version)
        tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})
        _write_warmup(path)
    return {version: folder / str(version) for version in (1, 2)}


@pytest.fixture
def push(tmp_path: pathlib.Path, exports: dict[int, pathlib.Path]) -> Callable[[int], pathlib.Path]:
    """Pushes a version of the tiny model to `tmp_path / "models"`."""

    def copy(version: int) -> pathlib.Path:
        target = tmp_path / "models" / str(version)
        shutil.copytree(exports[2 - version % 2], target)
        return target

    return copy


@pytest.fixture(scope="session")
def device_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """The file of a tiny device model by runtime, each in a folder that is called 7."""
    folder = tmp_path_factory.mktemp("device_models")
    return {runtime: tiny_device_models.write(runtime, folder / runtime / "7") for runtime in MODEL_FILES}


@pytest.fixture
def guard(tmp_path: pathlib.Path) -> Guard:
    """Mutual TLS and a token."""
    return make_guard(tmp_path / "guard")


@pytest.fixture
def server(tmp_path: pathlib.Path, push: Callable[[int], pathlib.Path]) -> Iterator[ModelServer]:
    """A running server on a free port with version 1; it follows the folder only when a test calls `look`."""
    push(1)
    running = ModelServer([ModelConfig("detector", tmp_path / "models")], ServerSettings(port=0, poll_seconds=3600))
    running.start()
    yield running
    running.stop(grace_seconds=0)
