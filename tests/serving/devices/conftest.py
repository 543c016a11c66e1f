"""Tiny device models, written once."""

from __future__ import annotations

import pathlib

import pytest

from tests.serving.devices.tiny_device_models import write

RUNTIMES = ("litert", "onnx", "openvino")


@pytest.fixture(scope="session")
def device_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """The model's file by runtime, each in a folder that is called 7."""
    folder = tmp_path_factory.mktemp("device_models")
    return {runtime: write(runtime, folder / runtime / "7") for runtime in RUNTIMES}
