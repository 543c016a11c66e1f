"""Names of the component's inputs, parameters and output."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final = "examples"
MODEL: Final = "model"
MODEL_BLESSING: Final = "model_blessing"
FORMATS: Final = "formats"
"""Parameter: names of ``schema.device_model.DEVICE_FORMATS`` as JSON."""
SETTINGS: Final = "settings"
"""Parameter: ``CalibrationSettings`` as JSON."""
DEVICE_MODELS: Final = "device_models"
"""Output: a folder a format, and ``FAILURES_FILE``."""
