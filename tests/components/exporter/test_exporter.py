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
from components.exporter import executor
from components.exporter.component import Exporter
from components.exporter.exported_detector import read_exported_detector
from components.exporter.failures_file import read_failures
from components.exporter.settings import CalibrationSettings
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


@pytest.fixture
def run_node(tmp_path: pathlib.Path, detector: Detector, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the node and gives its output's folder. What is written in a format is who asked for what."""

    def write(folder: str, name: str, made_of: Detector, metadata: object, images: list[str]) -> None:
        if name == "onnx":
            raise RuntimeError("no kernel for Erfc\nat a node")
        print(f"{name} at 100 %")
        pathlib.Path(folder).mkdir()
        (pathlib.Path(folder) / "told").write_text(f"{made_of.name} {metadata} {images}")

    def images_of(files: list[str], made_of: Detector, *, count: int, seed: int) -> list[str]:
        return [f"{pathlib.Path(files[0]).name} {made_of.name} {count} {seed}"]

    def run(formats: list[str], blessed: int = 1, **changes: Any) -> pathlib.Path:
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
        for split in ("train", "eval"):
            (tmp_path / "examples" / f"Split-{split}").mkdir()
            (tmp_path / "examples" / f"Split-{split}" / f"{split}.gz").touch()
        artifacts["model_blessing"].set_int_custom_property("blessed", blessed)
        write_export(tmp_path / "model" / "Format-Serving", detector, **changes)
        monkeypatch.setattr(executor, "write_device_model", write)
        monkeypatch.setattr(executor, "metadata_of", lambda made_of, names, points: f"{names.names} {points.rule}")
        monkeypatch.setattr(executor, "calibration_images", images_of)
        output = artifacts.pop("device_models")
        properties = {
            "formats": json.dumps(formats),
            "settings": CalibrationSettings(calibration_images=7, seed=3).model_dump_json(),
        }
        inputs = {name: [artifact] for name, artifact in artifacts.items()}
        executor.Executor().Do(inputs, {"device_models": [output]}, properties)
        return pathlib.Path(output.uri)

    return run


def test_a_format_that_fails_does_not_stop_the_others(run_node: Run, capsys: pytest.CaptureFixture[str]) -> None:
    output = run_node(["litert", "onnx", "openvino"])
    assert sorted(path.name for path in output.iterdir()) == ["failures.json", "litert", "openvino"]
    assert read_failures(str(output)) == {"onnx": "RuntimeError: no kernel for Erfc"}
    # Images are looked for only where they are needed.
    assert (output / "litert" / "told").read_text() == "ssd_mobilenet_v2 ('car', 'bus') f1 []"
    assert "100 %" not in capsys.readouterr().out


def test_formats_in_integers_have_images_to_calibrate_on(run_node: Run) -> None:
    output = run_node(["litert_int8"])
    assert (output / "litert_int8" / "told").read_text().endswith("['train.gz ssd_mobilenet_v2 7 3']")
    assert read_failures(str(output)) == {}


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


def test_the_detector_is_the_exported_one_in_float32(tmp_path: pathlib.Path, detector: Detector) -> None:
    folder = write_export(tmp_path, detector)
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        exported = read_exported_detector(str(folder))
        assert keras.mixed_precision.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert exported.detector.compute_dtype == "float32"
    assert exported.detector.recipe == detector.recipe
    for ours, theirs in zip(exported.detector.get_weights(), detector.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (exported.label_map, exported.operating_points) == (CLASSES, POINTS)
    assert (exported.tiling, exported.classifier) == (None, None)


def test_an_export_that_is_none_is_named(tmp_path: pathlib.Path, detector: Detector) -> None:
    with pytest.raises(CheckpointError, match=r"detector\.json: cannot be read"):
        read_exported_detector(str(tmp_path))
    write_export(tmp_path, detector, num_classes=5)
    with pytest.raises(CheckpointError, match="cannot be made a detector again"):
        read_exported_detector(str(tmp_path))


def test_the_converters_are_part_of_what_the_cache_sees() -> None:
    reached = reachable_modules(Exporter.__module__)
    assert {"components.export.litert_int8", "components.export.openvino", "components.detector.dfine"} <= reached
