"""``push.formats`` and ``push.devices``: what is refused before any work, and what each node is told."""

from __future__ import annotations

from typing import Any, get_args

import pydantic
import pytest

from components.evaluator.settings import EvalSettings
from components.exporter.settings import DeviceFormatName
from pipeline.push_settings import PushSettings
from schema.device_model import DEVICE_FORMATS


def test_the_names_are_those_of_the_formats() -> None:
    assert get_args(DeviceFormatName) == tuple(DEVICE_FORMATS)


def test_the_order_in_which_formats_are_named_says_nothing() -> None:
    push = PushSettings.model_validate({"formats": ["openvino", "saved_model", "litert"]})
    assert push.device_formats == ("litert", "openvino")
    assert PushSettings().device_formats == ()


@pytest.mark.parametrize(
    ("push", "said"),
    [
        ({"formats": ["saved_model", "onnx", "onnx"]}, "'onnx' twice"),
        ({"formats": ["onnx"]}, "without 'saved_model'; add it"),
        ({"formats": ["saved_model", "onxx"]}, "Input should be 'litert'"),
        ({"devices": {"by_format": {"onnx": {"max_drop": {}}}}}, "'onnx', which `formats` does not name"),
        ({"devices": {"max_drop": {"AP": {}}}}, "neither `absolute` nor `relative`"),
        ({"devices": {"calibration_images": 0}}, "greater than 0"),
    ],
)
def test_what_cannot_be_is_refused(push: dict[str, Any], said: str) -> None:
    with pytest.raises(pydantic.ValidationError) as refused:
        PushSettings.model_validate(push)
    assert said in str(refused.value)


def test_a_format_of_its_own_bounds_has_these_and_no_others() -> None:
    devices = {
        "max_drop": {"AP": {"absolute": 0.01}, "AP50": {"relative": 0.1}},
        "by_format": {"onnx": {"max_drop": {"AP": {"absolute": 0.03, "undecided": "bless"}}}},
        "undecided": "refuse",
        "confidence": 0.9,
    }
    push = PushSettings.model_validate({"formats": ["saved_model", "litert", "onnx"], "devices": devices})
    judged_by = EvalSettings.model_validate(
        {"slices": [["weather"]], "gates": {"resamples": 300, "min_images": 3, "accept": {"by": "me", "reason": "so"}}}
    )
    litert, onnx = (push.devices.eval_settings(name, judged_by) for name in push.device_formats)
    assert {metric: drop.undecided for metric, drop in litert.gates.max_drop.items()} == dict.fromkeys(
        ("AP", "AP50"), "refuse"
    )
    assert {metric: drop.undecided for metric, drop in onnx.gates.max_drop.items()} == {"AP": "bless"}
    assert onnx.gates.max_drop["AP"].absolute == 0.03
    # A blessing of the SavedModel by hand is none of what is made of it.
    assert (litert.gates.minimum, litert.gates.accept, litert.gates.confidence) == ({}, None, 0.9)
    assert (litert.gates.resamples, litert.gates.min_images, litert.slices) == (300, 3, (("weather",),))
