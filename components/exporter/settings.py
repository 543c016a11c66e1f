"""Settings of the making of device models: a part of the ``push.devices`` section of the config."""

from __future__ import annotations

from typing import Literal

import pydantic

from components.settings import Settings

DeviceFormatName = Literal["litert", "litert_float16", "litert_int8", "onnx", "openvino", "openvino_int8"]
"""The names of ``schema.device_model.DEVICE_FORMATS``."""


class FormatProcessSettings(Settings):
    """Of the process beside a node's in which formats have their turns."""

    timeout_seconds: pydantic.PositiveInt = 1800
    """A format whose conversion takes longer is refused, and so is one that takes longer for all judged images."""


class CalibrationSettings(FormatProcessSettings):
    """What formats in 8-bit integers are calibrated on: the ranges of their numbers come from real images."""

    calibration_images: pydantic.PositiveInt = 128
    """Images of the split `train` that formats in 8-bit integers are calibrated on, drawn so that every class is among
    them. The other formats need none."""
    seed: int = pydantic.Field(default=0, ge=0)
    """Seed of that draw: the same seed on the same records takes the same images."""
