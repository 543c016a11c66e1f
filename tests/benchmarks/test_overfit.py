"""A tiny detector learns eight pictures by heart; `python -m benchmarks.overfit` has all the others do it."""

from __future__ import annotations

import pytest

from benchmarks import overfit
from components.detector.names import DETECTORS


def test_tiny_fpnlite_knows_eight_pictures_by_heart() -> None:
    case = next(case for case in overfit.CASES if case.detector == "ssd_mobilenet_v2_fpnlite")
    assert overfit.overfit(case).ap50 >= overfit.LEAST_AP50


def test_cases_are_detectors() -> None:
    assert {case.detector for case in overfit.CASES} <= set(DETECTORS)


def test_unknown_case_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        overfit.main(["yolo"])
    assert "unknown: yolo; there are ssd_mobilenet_v2, " in capsys.readouterr().err
