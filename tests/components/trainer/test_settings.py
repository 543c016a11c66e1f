"""What the config refuses, and that it does so without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pydantic
import pytest

from components.detector.options import FasterRcnnResnetOptions
from components.trainer.settings import ModelSettings, TrainConfig, TrainSettings


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (
            ModelSettings,
            {"detector": "efficientdet"},
            "no detector is called 'efficientdet'; did you mean 'efficientdet_d7'?",
        ),
        (ModelSettings, {"image_size": [320, -1]}, "greater than 0"),
        (ModelSettings, {"options": {"alpa": 0.35}}, "no option 'alpa'; did you mean 'alpha'?"),
        (ModelSettings, {"detector": "retinanet_resnet50_fpn"}, "no weights for the backbone .* set kerashub:PRESET"),
        (
            ModelSettings,
            {"detector": "dfine_nano", "pretrained": None, "anchors": "data"},
            "data chooses anchors, and dfine_nano has none; leave it out",
        ),
        (ModelSettings, {"pretrained": "kerashub:x"}, "presets of KerasHub fit retinanet_resnet50_fpn"),
        (TrainConfig, {"augmentation": {"crop": 0.7, "zoom_out": 0.4}}, "found 0.7 [+] 0.4"),
        (TrainConfig, {"augmentation": {"scale_jitter": 0.4}}, "found 0.5 [+] 0.2 [+] 0.4"),
        (TrainConfig, {"augmentation": {"scale_jitter_range": [2, 1]}}, "scale_jitter_range is .smallest, largest."),
        (TrainConfig, {"augmentation": {"mosaic": 0.5}, "batch_size": 3}, "batch_size must be at least 4, found 3"),
        (TrainConfig, {"augmentation": {"mixup": 0.5}, "batch_size": 1}, "batch_size must be at least 2, found 1"),
        (TrainConfig, {"optimizer": {"name": "adan"}}, "'adam' or 'sgd'"),
        (
            TrainConfig,
            {"batch_size": 8, "batch_parts": 3},
            "found 8, expected a multiple of 3: 3 part.s. on 1 device.s.",
        ),
        (TrainConfig, {"devices": []}, "devices: expected `auto` or at least one device"),
        (TrainConfig, {"seed": 2**31}, "less than 2147483648"),
        (TrainConfig, {"stepz": 3}, "Extra inputs are not permitted"),
    ],
)
def test_refused(section: type[pydantic.BaseModel], values: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        section.model_validate(values)


@pytest.mark.parametrize("section", [ModelSettings, TrainConfig, TrainSettings])
def test_json_and_back(section: type[pydantic.BaseModel]) -> None:
    assert section.model_validate_json(section().model_dump_json()) == section()


def test_options_keep_their_types() -> None:
    options = {"width": 0.35, "blocks": [3, 4, 6, 3], "share_box_across_classes": True, "seed": None}
    expected = FasterRcnnResnetOptions(width=0.35, blocks=(3, 4, 6, 3))
    section = {"detector": "faster_rcnn_resnet50", "options": options}
    model = ModelSettings.model_validate_json(ModelSettings.model_validate(section).model_dump_json())
    assert model.options == expected
    assert type(model.options) is FasterRcnnResnetOptions


@pytest.mark.parametrize("options", [{"alpha": "wide"}, {"alhpa": 0.35}])
def test_a_wrong_option_is_named_with_its_key(options: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError) as raised:
        ModelSettings.model_validate({"options": options})
    assert [error["loc"] for error in raised.value.errors()] == [("options", *options)]


def test_evaluation_interval() -> None:
    assert TrainSettings(steps=1000).evaluation_interval == 100
    assert TrainSettings(steps=3).evaluation_interval == 1
    assert TrainSettings(steps=1000, evaluate_every=7).evaluation_interval == 7


def test_no_tensorflow_is_loaded() -> None:
    code = "import components.trainer.settings, sys; sys.exit('tensorflow' in sys.modules or 'tfx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
