"""Names of the component's inputs, parameter and output."""

from __future__ import annotations

from typing import Final

DEVICE_MODELS: Final = "device_models"
DEVICE_EVALUATION: Final = "device_evaluation"
PUSHED_MODEL: Final = "pushed_model"
DIRECTORY: Final = "directory"
"""Parameter: the folder that receives a folder a format."""
PUSHED_DEVICES: Final = "pushed_devices"
"""Output: ``PUSHED_FILE``."""
PUSHED_FILE: Final = "pushed.json"
"""Folders of the pushed models by format: a JSON object, empty where nothing was pushed."""
