from __future__ import annotations

import subprocess
import sys

import pytest

from components.detector.registry import build_detector


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'efficientdet_d0'"):
        build_detector("eficientdet_d0", num_classes=1)


def test_a_detector_needs_a_class() -> None:
    with pytest.raises(ValueError, match="at least 1, found 0"):
        build_detector("ssd_mobilenet_v2", num_classes=0)


def test_names_cost_no_tensorflow() -> None:
    code = "import components.detector.names, sys; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
