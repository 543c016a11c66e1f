"""`python -m serving.detect`: every kind of model, what is shown, and errors in words."""

from __future__ import annotations

import io
import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest
from PIL import Image

from serving import detect as detect_module
from tests.serving.devices.tiny_device_models import write
from tests.serving.tiny_detector import jpeg


def _run(*arguments: object) -> object:
    with pytest.raises(SystemExit) as caught:
        detect_module.main([str(argument) for argument in arguments])
    return caught.value.code


@pytest.fixture
def images(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "bright.jpg").write_bytes(jpeg(204, 80, 40))
    (folder / "dark.jpg").write_bytes(jpeg(51, 80, 40))
    return folder


@pytest.mark.parametrize("runtime", ["litert", "onnx", "openvino"])
def test_a_device_model(
    runtime: str,
    device_models: dict[str, pathlib.Path],
    images: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    drawn = images.parent / "drawn"
    assert _run(device_models[runtime], images, "--output", drawn, "--threads", 1) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["image", "class", "score", "xmin", "ymin", "xmax", "ymax"]
    assert rows[0].split()[1:] == ["stop", "0.800", "40", "10", "80", "30"]
    assert rows[1].split()[1:] == ["Vorfahrt", "gewähren", "0.800", "0", "0", "20", "20"]
    with Image.open(drawn / "bright_detected.jpg") as picture:
        assert picture.size == (80, 40)


def test_a_saved_model(
    exports: dict[int, pathlib.Path], images: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(exports[2], images, "--json", "--score_threshold", 0.7) == 0
    bright, dark = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (bright["model_version"], bright["width"], bright["height"]) == (2, 80, 40)
    assert [(one["class"], one["score"]) for one in bright["detections"]] == [("yield", pytest.approx(0.8, abs=0.01))]
    assert dark["detections"] == []


def test_the_newest_of_numbered_versions(
    device_models: dict[str, pathlib.Path],
    exports: dict[int, pathlib.Path],
    images: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pushed = images.parent / "pushed"
    shutil.copytree(exports[1], pushed / "9")
    shutil.copytree(device_models["openvino"].parent, pushed / "10")
    (pushed / "11").mkdir()
    assert _run(pushed, images / "dark.jpg", "--format", "csv") == 0
    assert [line.split(",")[-1] for line in capsys.readouterr().out.splitlines()] == ["model_version", "10"]


def test_thresholds_and_standard_input(
    device_models: dict[str, pathlib.Path],
    images: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (images / "middle.jpg").write_bytes(jpeg(115, 80, 40))

    def found(*options: object) -> list[int]:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{images / 'middle.jpg'}\n"))
        assert _run(device_models["onnx"], "-", "--format", "coco", *options) == 0
        return [row["category_id"] for row in json.loads(capsys.readouterr().out)]

    # Scores are 0.56 for class 3, whose threshold is 0.6, and 0.45 for class 1, whose threshold is 0.3.
    assert found() == [1]
    assert found("--score_threshold", 0.5) == [3]
    assert found("--score_threshold", 0) == [3, 1]


def test_a_file_that_is_no_image_does_not_stop_the_others(
    device_models: dict[str, pathlib.Path], images: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "a.jpg").write_text("a text")
    (images / "b.jpg").write_bytes(jpeg()[:-300])
    assert _run(device_models["onnx"], images) == 1
    printed = capsys.readouterr()
    assert "a.jpg: is not an image (6 bytes)" in printed.err
    assert "b.jpg: cannot be read as an image" in printed.err
    assert printed.out.count("0.800") == 2


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        (lambda folder: None, "no device model; expected a folder, or a file .tflite or .onnx or .xml"),
        (lambda folder: folder.mkdir(), "holds no model; expected saved_model.pb or detector.tflite or"),
        (lambda folder: write("onnx", folder, None), "detector.onnx: has no metadata of a detector"),
        (
            lambda folder: (folder.mkdir(), (folder / "saved_model.pb").write_bytes(b"x")),
            "cannot be loaded by TensorFlow; is it whole?",
        ),
    ],
)
def test_a_model_of_no_use_is_said(
    prepare: Callable[[pathlib.Path], object], expected: str, images: pathlib.Path
) -> None:
    folder = images.parent / "model"
    prepare(folder)
    message = _run(folder, images)
    assert isinstance(message, str) and message.startswith(f"error: {folder}") and expected in message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["model", "a.jpg", "--threads", "0"], "argument --threads: must be positive, found 0"),
        (["model", "a.jpg", "--score_threshold", "50"], "must be 0 to 1"),
        (["model"], "required: IMAGE"),
    ],
)
def test_wrong_arguments_are_said(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(*arguments) == 2
    assert expected in capsys.readouterr().err


def test_a_device_model_is_asked_without_tensorflow(
    device_models: dict[str, pathlib.Path], images: pathlib.Path
) -> None:
    program = (
        "import sys; sys.modules['tensorflow'] = None; from serving import detect;"
        f"detect.main([{str(device_models['onnx'])!r}, {str(images)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "stop" in done.stdout


def test_help_loads_no_runtime() -> None:
    program = (
        "import sys; from serving import detect\ntry: detect.main(['--help'])\nexcept SystemExit: pass\n"
        "print({'tensorflow', 'grpc', 'onnxruntime', 'openvino', 'ai_edge_litert'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"
