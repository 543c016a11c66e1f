"""OpenVINO without its telemetry, which tells its makers of every import and every conversion, as NNCF's does."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def import_openvino() -> Any:
    """The package ``openvino``; what imports NNCF calls it first.

    Raises:
      ModuleNotFoundError: it is not installed.
    """
    # Their own switch is a file in the home directory. Where this package is missing both do without.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")
