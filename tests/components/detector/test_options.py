"""The names of options that settings are checked with, against the builders that take them."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from components.detector import efficientdet, faster_rcnn
from components.detector.names import DETECTORS, EFFICIENTDET, SSD
from components.detector.options import OPTIONS, check_option_names
from components.detector.ssd_mobilenet_v2 import SsdMobileNetV2
from components.detector.ssd_mobilenet_v2_fpnlite import SsdMobileNetV2FpnLite

_NO_OPTIONS = {"name", "num_classes", "image_size", "size", "options", "settings", "self"}


def _parameters(function: object) -> set[str]:
    return set(inspect.signature(function).parameters) - _NO_OPTIONS


def _accepted(detector: str) -> set[str]:
    if detector in SSD:
        return _parameters(SsdMobileNetV2FpnLite if detector.endswith("fpnlite") else SsdMobileNetV2)
    if detector in EFFICIENTDET:
        return _parameters(efficientdet.build) | _parameters(efficientdet.EfficientDet)
    settings = {field.name for field in dataclasses.fields(faster_rcnn.FasterRcnnSettings)}
    return _parameters(faster_rcnn.build) | settings


@pytest.mark.parametrize("detector", DETECTORS)
def test_the_names_are_those_the_builder_takes(detector):
    assert set(OPTIONS[detector]) == _accepted(detector)


def test_an_unknown_option_is_answered_with_the_nearest():
    check_option_names("ssd_mobilenet_v2", ["alpha", "l2"])
    with pytest.raises(ValueError, match=r"no option 'alpa'; did you mean 'alpha'\?"):
        check_option_names("ssd_mobilenet_v2", ["alpa"])
