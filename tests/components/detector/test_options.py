"""Options as typed settings: what is refused, and how."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import pydantic
import pytest

from components.detector.names import DETECTORS
from components.detector.options import OPTIONS, AnyOptions, options_of


def test_every_detector_has_documented_options() -> None:
    assert set(OPTIONS) == set(DETECTORS)
    assert {get_args(tagged)[0] for tagged in get_args(AnyOptions)} == set(OPTIONS.values())
    for options in OPTIONS.values():
        assert [name for name, field in options.model_fields.items() if not field.description] == []
        assert options().statistics_momentum == 0.97


@pytest.mark.parametrize("detector", DETECTORS)
def test_json_and_back(detector: str) -> None:
    options = OPTIONS[detector](max_detections=7)
    assert options_of(detector, options.model_dump(mode="json")) == options


@pytest.mark.parametrize(
    ("values", "key", "message"),
    [
        (
            {"alpa": 0.35},
            ("alpa",),
            r"no option 'alpa'; did you mean 'alpha'\? \(it has alpha, anchor_aspect_ratios, anchor_",
        ),
        ({"l2": "much"}, ("l2",), "valid number"),
        ({"max_detections": 0}, ("max_detections",), "greater than 0"),
        (["alpha"], (), "valid dictionary"),
    ],
)
def test_what_is_wrong_is_named(values: Any, key: tuple[str, ...], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message) as raised:
        options_of("ssd_mobilenet_v2", values)
    assert raised.value.errors()[0]["loc"] == key


def test_options_cost_no_tensorflow() -> None:
    code = "import components.detector.options, sys; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
