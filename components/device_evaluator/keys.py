"""Names of the component's inputs, parameters and output."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final = "examples"
EVALUATION: Final = "evaluation"
DEVICE_MODELS: Final = "device_models"
EVAL_SETTINGS: Final = "eval_settings"
"""Parameter: ``EvalSettings`` as JSON: those that the SavedModel was judged by."""
SETTINGS: Final = "settings"
"""Parameter: ``DeviceGateSettings`` as JSON."""
DEVICE_EVALUATION: Final = "device_evaluation"
"""Output: a folder a format, and ``FAILURES_FILE``."""
