"""The node: a blessed export in each format that can be made of it, and why the others cannot."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from tfx.types import artifact_utils, standard_artifacts

from components.code_digest import reachable_modules
from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.detector.tiling_settings import TilingSettings
from components.detector.weights.checkpoints import CheckpointError
from components.export.saved_model import description
from components.exporter import conversion, executor
from components.exporter.component import Exporter
from components.exporter.exported_detector import built_detector, read_export
from components.exporter.failures_file import read_failures
from components.exporter.settings import CalibrationSettings
from schema.device_model import DeviceMetadata
from schema.exported_model import DESCRIPTION_FILE, OPERATING_POINTS_FILE, WEIGHTS_FILE
from schema.label_map import LabelMap
from schema.operating_points import ClassOperatingPoint, OperatingPoints

CLASSES = LabelMap.of_names(("car", "bus"))
POINTS = OperatingPoints(
    "f1",
    None,
    "eval",
    9,
    tuple(
        ClassOperatingPoint(
            threshold=0.4,
            precision=0.9,
            recall=0.8,
            f1=0.85,
            support=9,
            of_all_classes=False,
            is_reached=True,
            class_id=class_id,
            class_name=name,
        )
        for class_id, name in CLASSES
    ),
)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return build_detector("ssd_mobilenet_v2", num_classes=2, image_size=(96, 96), alpha=0.35)


def write_export(folder: pathlib.Path, detector: Detector, **changes: Any) -> pathlib.Path:
    """What of an export is looked at."""
    told = {**description(detector, CLASSES), **changes}
    for name in (DESCRIPTION_FILE, OPERATING_POINTS_FILE):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / DESCRIPTION_FILE).write_text(json.dumps(told))
    (folder / OPERATING_POINTS_FILE).write_text(POINTS.to_json())
    detector.save_weights(folder / WEIGHTS_FILE)
    return folder


Run = Callable[..., pathlib.Path]

PROGRAM = """
import os, pathlib, signal, time
from components.exporter.format_process import do_each

def conversion(request):
    def convert(name):
        print(name, "at 100 %", flush=True)
        if name == {format!r}:
            {deed}
        (pathlib.Path(request["output"]) / name).mkdir()
        (pathlib.Path(request["output"]) / name / "told").write_text(repr(sorted(request.items())))
    return convert

do_each(conversion)
"""
"""In place of the converters, with something in store for one format."""


@pytest.fixture
def run_node(tmp_path: pathlib.Path, detector: Detector, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the node and gives its output's folder."""

    def run(
        formats: list[str], blessed: int = 1, deed: str = "pass", seconds: int = 60, **changes: Any
    ) -> pathlib.Path:
        artifacts = {
            "examples": standard_artifacts.Examples(),
            "model": standard_artifacts.Model(),
            "model_blessing": standard_artifacts.ModelBlessing(),
            "device_models": standard_artifacts.Model(),
        }
        for name, artifact in artifacts.items():
            artifact.uri = str(tmp_path / name)
            (tmp_path / name).mkdir()
        artifacts["examples"].split_names = artifact_utils.encode_split_names(["train", "eval"])
        artifacts["model_blessing"].set_int_custom_property("blessed", blessed)
        write_export(tmp_path / "model" / "Format-Serving", detector, **changes)
        (tmp_path / "conversion_program.py").write_text(PROGRAM.format(format="onnx", deed=deed))
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr(executor, "PROGRAM", "conversion_program")
        output = artifacts.pop("device_models")
        settings = CalibrationSettings(calibration_images=7, seed=3, timeout_seconds=seconds)
        properties = {"formats": json.dumps(formats), "settings": settings.model_dump_json()}
        inputs = {name: [artifact] for name, artifact in artifacts.items()}
        executor.Executor().Do(inputs, {"device_models": [output]}, properties)
        return pathlib.Path(output.uri)

    return run


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("raise RuntimeError('no kernel for Erfc\\nat a node')", "RuntimeError: no kernel for Erfc"),
        (
            "os.kill(os.getpid(), signal.SIGSEGV)",
            "the process came to its end by SIGSEGV, after it said: onnx at 100 %",
        ),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "the process came to its end by SIGKILL, after it said: onnx at 100 %; give the node more memory",
        ),
        ("os._exit(3)", "the process came to its end with status 3, after it said: onnx at 100 %"),
        ("time.sleep(60)", "no end after 1 s; raise push.devices.timeout_seconds"),
    ],
    ids=["raises", "crashes", "killed", "exits", "hangs"],
)
def test_a_format_that_fails_does_not_stop_the_others(
    run_node: Run, capfd: pytest.CaptureFixture[str], deed: str, reason: str
) -> None:
    output = run_node(["litert", "onnx", "openvino"], deed=deed, seconds=1 if "sleep" in deed else 60)
    assert sorted(path.name for path in output.iterdir()) == ["failures.json", "litert", "openvino"]
    assert read_failures(str(output)) == {"onnx": reason}
    assert "100 %" not in capfd.readouterr().out


def test_a_format_that_dies_of_what_others_left_has_a_process_of_its_own(run_node: Run) -> None:
    # As a leak would: it comes to its end only where another format went before.
    output = run_node(["litert", "onnx"], deed="'litert' in __import__('sys').argv and os._exit(1)")
    assert read_failures(str(output)) == {}
    assert (output / "onnx").is_dir()


def test_what_the_program_is_asked(run_node: Run, tmp_path: pathlib.Path) -> None:
    told = (run_node(["litert"]) / "litert" / "told").read_text()
    assert f"('model', '{tmp_path}/model/Format-Serving')" in told
    assert f"('records', '{tmp_path}/examples/Split-train')" in told
    assert "'calibration_images': 7" in told


def test_of_a_model_that_is_not_blessed_nothing_is_made(run_node: Run) -> None:
    assert list(run_node(["litert"], blessed=0).iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"tiling": TilingSettings().model_dump(mode="json")}, "tiles"), ({"classifier": "svm"}, "classifier (svm)")],
)
def test_what_the_export_has_beside_its_detector_is_in_no_device_model(
    run_node: Run, changes: dict[str, Any], said: str
) -> None:
    output = run_node(["litert", "openvino"], **changes)
    assert [path.name for path in output.iterdir()] == ["failures.json"]
    reasons = read_failures(str(output))
    assert list(reasons) == ["litert", "openvino"]
    assert all(said in reason for reason in reasons.values())


def test_a_conversion_is_of_the_exported_detector(
    tmp_path: pathlib.Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(folder: str, name: str, made_of: Detector, metadata: DeviceMetadata, images: list[str]) -> None:
        told.append((pathlib.Path(folder).name, name, made_of.recipe, metadata.class_names, images))

    def images_of(files: list[str], made_of: Detector, *, count: int, seed: int) -> list[str]:
        assert made_of.recipe == detector.recipe
        asked.append((files, count, seed))
        return ["an image"]

    told: list[Any] = []
    asked: list[Any] = []
    monkeypatch.setattr(conversion, "write_device_model", write)
    monkeypatch.setattr(conversion, "calibration_images", images_of)
    model = write_export(tmp_path / "model", detector)
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "data.gz").touch()
    settings = CalibrationSettings(calibration_images=7, seed=3).model_dump(mode="json")
    request = {"model": str(model), "records": str(tmp_path / "records"), "settings": settings, "output": "models"}
    convert = conversion.conversion(request)
    for name in ("litert", "litert_int8", "openvino_int8"):
        convert(name)
    # Images are looked for only where they are needed, and once.
    assert asked == [([str(tmp_path / "records" / "data.gz")], 7, 3)]
    assert told == [
        ("litert", "litert", detector.recipe, CLASSES.names, ()),
        ("litert_int8", "litert_int8", detector.recipe, CLASSES.names, ["an image"]),
        ("openvino_int8", "openvino_int8", detector.recipe, CLASSES.names, ["an image"]),
    ]


def test_the_detector_is_the_exported_one_in_float32(tmp_path: pathlib.Path, detector: Detector) -> None:
    folder = write_export(tmp_path, detector)
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        export = read_export(str(folder))
        exported = built_detector(str(folder), export)
        assert keras.mixed_precision.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert exported.compute_dtype == "float32"
    assert exported.recipe == detector.recipe
    for ours, theirs in zip(exported.get_weights(), detector.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (export.label_map, export.operating_points) == (CLASSES, POINTS)
    assert (export.tiling, export.classifier) == (None, None)


def test_an_export_that_is_none_is_named(tmp_path: pathlib.Path, detector: Detector) -> None:
    with pytest.raises(CheckpointError, match=r"detector\.json: cannot be read"):
        read_export(str(tmp_path))
    write_export(tmp_path, detector, num_classes=5)
    with pytest.raises(CheckpointError, match="cannot be made a detector again"):
        built_detector(str(tmp_path), read_export(str(tmp_path)))


def test_the_converters_are_part_of_what_the_cache_sees() -> None:
    reached = reachable_modules(Exporter.__module__)
    assert {"components.export.litert_int8", "components.export.openvino", "components.detector.dfine"} <= reached
