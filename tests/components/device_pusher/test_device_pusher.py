"""The node: blessed formats go out whole, with their card, under the SavedModel's version; refused ones stay in."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.artifacts import PushedDeviceModels
from components.device_pusher.executor import Executor
from schema.device_model import CARD_FILE, DEVICE_FORMATS, DeviceCard

Run = Callable[..., dict[str, str]]


def card(name: str, is_blessed: bool = True) -> DeviceCard:
    """One of a format."""
    reasons = () if is_blessed else ("AP is 0.2 below",)
    return DeviceCard(name, "ssd", "eval", 9, 0.5, 0.8, 0.51, 7, 3.5, "a machine", is_blessed, reasons)


@pytest.fixture
def run_node(tmp_path: pathlib.Path) -> Run:
    """Runs the node on models of formats that are blessed or not, and gives what it says it pushed."""

    def run(blessed: dict[str, bool], version: str | None = "17", text: str = "a model") -> dict[str, str]:
        models, evaluation, pushed = (
            standard_artifacts.Model(),
            standard_artifacts.ModelEvaluation(),
            standard_artifacts.PushedModel(),
        )
        output = PushedDeviceModels()
        for name, artifact in (("m", models), ("e", evaluation), ("p", pushed), ("o", output)):
            artifact.uri = str(tmp_path / name)
            (tmp_path / name).mkdir(exist_ok=True)
        pushed.set_int_custom_property("pushed", int(version is not None))
        if version is not None:
            pushed.set_string_custom_property("pushed_destination", f"/served/detector/{version}/")
        for name, is_blessed in blessed.items():
            for folder in ("m", "e"):
                (tmp_path / folder / name).mkdir(exist_ok=True)
            for file in (DEVICE_FORMATS[name].file, *DEVICE_FORMATS[name].beside):
                (tmp_path / "m" / name / file).write_text(text)
            (tmp_path / "e" / name / CARD_FILE).write_text(card(name, is_blessed).to_json())
        # What could not be measured has no card.
        (tmp_path / "m" / "onnx").mkdir(exist_ok=True)
        inputs = {"device_models": [models], "device_evaluation": [evaluation], "pushed_model": [pushed]}
        Executor().Do(inputs, {"pushed_devices": [output]}, {"directory": str(tmp_path / "devices")})
        return dict(json.loads((tmp_path / "o" / "pushed.json").read_text()))

    return run


def test_what_is_blessed_is_pushed_with_its_card(run_node: Run, tmp_path: pathlib.Path) -> None:
    pushed = run_node({"litert": True, "openvino": True, "openvino_int8": False})
    assert pushed == {name: str(tmp_path / "devices" / name / "17") for name in ("litert", "openvino")}
    assert sorted(path.name for path in (tmp_path / "devices").iterdir()) == ["litert", "openvino"]
    files = {path.name for path in pathlib.Path(pushed["openvino"]).iterdir()}
    assert files == {"detector.xml", "detector.bin", CARD_FILE}
    assert DeviceCard.of_json((pathlib.Path(pushed["litert"]) / CARD_FILE).read_text()) == card("litert")


def test_without_a_pushed_saved_model_nothing_goes_out(run_node: Run, tmp_path: pathlib.Path) -> None:
    assert run_node({"litert": True}, version=None) == {}
    assert not (tmp_path / "devices").exists()


def test_a_version_that_is_there_is_replaced(run_node: Run, tmp_path: pathlib.Path) -> None:
    run_node({"litert": True})
    run_node({"litert": True}, text="made anew")
    assert (tmp_path / "devices" / "litert" / "17" / "detector.tflite").read_text() == "made anew"


@pytest.mark.parametrize("files_that_fit", [0, 1, 2])
def test_a_push_that_is_killed_half_way_leaves_no_version(
    run_node: Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, files_that_fit: int
) -> None:
    class KilledError(BaseException):
        """Nothing runs after it."""

    copy, copied = tf.io.gfile.copy, []

    def dying_copy(source: str, target: str, overwrite: bool = False) -> None:
        if len(copied) == files_that_fit:
            raise KilledError
        copied.append(target)
        copy(source, target, overwrite)

    with monkeypatch.context() as patched:
        patched.setattr(tf.io.gfile, "copy", dying_copy)
        # A killed process does not tidy up either.
        patched.setattr(tf.io.gfile, "rmtree", lambda path: None)
        with pytest.raises(KilledError):
            run_node({"openvino": True})
    versions = tmp_path / "devices" / "openvino"
    assert [path for path in versions.iterdir() if path.name.isdecimal()] == []
    # The retry finds nothing in its way.
    assert run_node({"openvino": True}) == {"openvino": str(versions / "17")}
    assert [path.name for path in versions.iterdir()] == ["17"]
