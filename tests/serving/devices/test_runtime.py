"""Opening a device model of every runtime: what is inside, what it computes, and what is said of one of no use."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from schema.device_model import DEVICE_FORMATS
from serving.devices.errors import DeviceModelError
from serving.devices.runtime import MODEL_FILES, open_device_model
from tests.serving.devices.tiny_device_models import BOXES, METADATA, OFFSETS, SHARE_METADATA, SLOPES, write

RUNTIMES = tuple(MODEL_FILES)
ONE = np.ones(2, np.float32)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_runtime_computes_the_same(runtime: str, device_models: dict[str, pathlib.Path]) -> None:
    model = open_device_model(device_models[runtime].parent, threads=1)
    assert (model.runtime, model.metadata) == (runtime, METADATA)
    image = np.random.default_rng(0).uniform(0, 255, (8, 12, 3)).astype(np.float32)
    boxes, scores = model.run(image, ONE)
    np.testing.assert_allclose(boxes, BOXES, atol=1e-6)
    np.testing.assert_allclose(scores, OFFSETS + SLOPES * image.mean() / 255, atol=1e-6)
    # Of this call's own, whatever the next one computes.
    model.run(np.zeros((8, 12, 3), np.float32), ONE)
    np.testing.assert_allclose(scores, OFFSETS + SLOPES * image.mean() / 255, atol=1e-6)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_threads_do_not_get_each_others_answers(runtime: str, device_models: dict[str, pathlib.Path]) -> None:
    model = open_device_model(device_models[runtime], threads=1)
    greys = list(range(0, 256, 5)) * 4
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda grey: model.run(np.full((8, 12, 3), grey, np.float32), ONE), greys))
    for grey, (_, scores) in zip(greys, answers, strict=True):
        np.testing.assert_allclose(scores, OFFSETS + SLOPES * grey / 255, atol=1e-6)


def test_a_second_input_where_the_network_takes_one(tmp_path: pathlib.Path) -> None:
    model = open_device_model(write("onnx", tmp_path, SHARE_METADATA))
    boxes, _ = model.run(np.zeros((16, 16, 3), np.float32), np.float32([0.5, 0.25]))
    np.testing.assert_allclose(boxes, BOXES * np.float32([0.5, 0.25, 0.5, 0.25]), atol=1e-6)


def test_bfloat16_is_for_openvino(device_models: dict[str, pathlib.Path]) -> None:
    boxes, _ = open_device_model(device_models["openvino"], allow_bfloat16=True).run(
        np.zeros((8, 12, 3), np.float32), ONE
    )
    np.testing.assert_allclose(boxes, BOXES, atol=0.01)
    with pytest.raises(DeviceModelError, match="computed by OpenVINO alone, not by onnx"):
        open_device_model(device_models["onnx"], allow_bfloat16=True)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_model_that_is_cut_off_is_said(
    runtime: str, device_models: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    file = tmp_path / device_models[runtime].name
    content = device_models[runtime].read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(DeviceModelError, match=rf"{file.name}: cannot be loaded by {runtime}; is it whole\?"):
        open_device_model(file)


def test_missing_weights_are_said(device_models: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    shutil.copy(device_models["openvino"], tmp_path)
    with pytest.raises(DeviceModelError, match=r"detector.xml: cannot be loaded by openvino.*bin file cannot be found"):
        open_device_model(tmp_path)


@pytest.mark.parametrize(
    ("runtime", "found"), [*itertools.permutations(RUNTIMES, 2), *itertools.product(RUNTIMES, ["empty"])]
)
def test_a_file_of_another_kind_is_said(
    runtime: str, found: str, device_models: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    file = tmp_path / device_models[runtime].name
    file.write_bytes(device_models[found].read_bytes() if found in RUNTIMES else b"")
    with pytest.raises(DeviceModelError, match=f"{file.name}: (is no model of|cannot be loaded by|has no) ?{runtime}?"):
        open_device_model(file)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_model_without_metadata_is_said(runtime: str, tmp_path: pathlib.Path) -> None:
    write(runtime, tmp_path, None)
    with pytest.raises(DeviceModelError, match=r"detector\.\w+: has no metadata of a detector"):
        open_device_model(tmp_path)


def test_metadata_that_does_not_fit_the_model_is_said(tmp_path: pathlib.Path) -> None:
    other = dataclasses.replace(METADATA, takes_valid_share=True)
    write("openvino", tmp_path, other)
    with pytest.raises(DeviceModelError, match=r"has the inputs \{'images': .*, expected by its metadata .*valid_heig"):
        open_device_model(tmp_path)


def test_metadata_of_a_later_version_is_said(tmp_path: pathlib.Path) -> None:
    write("onnx", tmp_path, dataclasses.replace(METADATA, version=2))
    with pytest.raises(
        DeviceModelError, match=r"detector\.onnx: no metadata of a device model .*version 2, expected 1"
    ):
        open_device_model(tmp_path)


def test_what_is_no_model_is_said(device_models: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    expected = r"expected one of detector.tflite or detector.onnx or detector.xml in it, found none"
    with pytest.raises(DeviceModelError, match=expected):
        open_device_model(tmp_path)
    for runtime in ("onnx", "litert"):
        shutil.copy(device_models[runtime], tmp_path)
    with pytest.raises(DeviceModelError, match=r"found detector\.tflite, detector\.onnx"):
        open_device_model(tmp_path)
    with pytest.raises(DeviceModelError, match=r"weights.h5: is no device model; expected .* \.tflite or \.onnx"):
        open_device_model(tmp_path / "weights.h5")
    with pytest.raises(DeviceModelError, match=r"other\.onnx: no such file"):
        open_device_model(tmp_path / "other.onnx")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_missing_package_names_the_extra(
    runtime: str, device_models: dict[str, pathlib.Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    package = {"litert": "ai_edge_litert", "onnx": "onnxruntime", "openvino": "openvino"}[runtime]
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, f"serving.devices.{runtime}", raising=False)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(DeviceModelError, match=rf"needs {package}.*pip install 'tfx-object-detection\[{runtime}\]'"):
        open_device_model(device_models[runtime])


def test_every_format_has_a_runtime() -> None:
    assert {one.runtime for one in DEVICE_FORMATS.values()} == set(RUNTIMES)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_application_needs_no_tensorflow(runtime: str, device_models: dict[str, pathlib.Path]) -> None:
    program = (
        "import sys; from serving.devices.device_detector import DeviceDetector;"
        f"DeviceDetector.open({str(device_models[runtime])!r});"
        "print(sorted({'tensorflow', 'grpc', 'google.protobuf'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['google.protobuf']")
