"""What a training ran on: versions and devices, for the report and whoever wants to repeat it."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from typing import Final

import keras
import numpy as np
import tensorflow as tf

SOFTWARE_FILE: Final = "software.json"
"""In the model run's folder: a ``Software``."""


@dataclasses.dataclass(frozen=True)
class Software:
    """Versions and devices.

    Attributes:
      python: its version.
      packages: version by name of those that decide about the weights.
      devices: what TensorFlow computes on, in words, as often as there are such; CPUs alone where there is no other.
    """

    python: str
    packages: Mapping[str, str]
    devices: tuple[str, ...]

    @classmethod
    def of_this_process(cls) -> Software:
        """That of the process that asks."""
        devices = [device for device in tf.config.list_physical_devices() if device.device_type != "CPU"]
        described = [_described(device) for device in devices] or [f"CPU ({platform.machine()})"]
        packages = {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "tfx": importlib.metadata.version("tfx"),
            "numpy": np.__version__,
        }
        return cls(platform.python_version(), packages, tuple(described))

    def to_json(self) -> str:
        """The text of ``software.json``."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Software:
        """Reads the text of ``software.json``."""
        tree = json.loads(text)
        return cls(tree["python"], tree["packages"], tuple(tree["devices"]))


def _described(device: tf.config.PhysicalDevice) -> str:
    name = tf.config.experimental.get_device_details(device).get("device_name", "")
    return f"{device.device_type} ({name})" if name else str(device.device_type)
