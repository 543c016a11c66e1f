"""The registry of formats: light, and clear about what is missing or not to be had."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest

from components.export.device_formats import missing_packages, unsupported, writer_of
from schema.device_model import DEVICE_FORMATS


@pytest.mark.parametrize("format_name", DEVICE_FORMATS)
def test_every_format_is_to_be_had_of_a_plain_detector_alone(format_name: str) -> None:
    assert unsupported(format_name, "faster_rcnn_resnet50") == ""
    assert unsupported(format_name, "dfine_nano") == ""
    assert "leave out model.tiling, or the format" in unsupported(format_name, "dfine_nano", is_tiled=True)
    assert "a fitted classifier (svm)" in unsupported(format_name, "dfine_nano", classifier="svm")
    assert callable(writer_of(format_name))


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> Any:
        return None if name in ("tf2onnx", "nncf") else there(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    assert missing_packages("onnx") == ("tf2onnx",)
    assert missing_packages("openvino") == ()
    with pytest.raises(ModuleNotFoundError) as raised:
        writer_of("openvino_int8")
    assert str(raised.value) == (
        "openvino_int8 is written with nncf, not installed here: pip install 'tfx-object-detection[devices]'"
    )


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match=r"called 'tflite' \(known: litert, "):
        unsupported("tflite", "dfine_nano")
    with pytest.raises(ValueError, match="no detector is called 'dfine'"):
        unsupported("litert", "dfine")


def test_a_config_is_checked_without_tensorflow() -> None:
    code = (
        "import sys; from components.export.device_formats import unsupported; unsupported('onnx', 'dfine_nano'); "
        "assert not {'tensorflow', 'keras', 'onnx', 'openvino'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
