"""Which variables start weights leave open."""

from __future__ import annotations

import pathlib

import pytest

from components.detector.registry import build_detector
from components.detector.weights.zoo import RestoreReport
from components.trainer import start_weights
from components.trainer.settings import ModelSettings
from components.trainer.start_weights import load_start_weights
from schema.label_map import LabelMap
from tests.tiny_detectors import TINY_DETECTORS

LABELS = LabelMap.of_names(["red", "green"])


@pytest.mark.parametrize(
    ("changes", "fresh"),
    [
        ({}, ()),
        ({"missing": ("heads",)}, ("heads",)),
        ({"reinitialized": ("classes",)}, ("classes",)),
        ({"reinitialized": ("classes",), "kept_classes": ("red",)}, ("classes",)),
        ({"reinitialized": ("classes",), "kept_classes": ("red", "green")}, ()),
    ],
    ids=["all restored", "a backbone alone", "other classes", "one class known", "some classes of a larger detector"],
)
def test_what_holds_nothing_learnt(changes: dict[str, tuple[str, ...]], fresh: tuple[str, ...]) -> None:
    assert start_weights._fresh(RestoreReport("a source", ("backbone",), **changes), LABELS) == fresh


def test_from_scratch_and_from_weights_of_its_own(tmp_path: pathlib.Path) -> None:
    options = TINY_DETECTORS["ssd_mobilenet_v2"]
    detector = build_detector("ssd_mobilenet_v2", num_classes=2, image_size=(64, 64), **options)
    scratch = load_start_weights(detector, LABELS, ModelSettings(pretrained=None))
    assert set(scratch.fresh) == detector.zoo_variables().keys()
    path = tmp_path / "own.weights.h5"
    detector.save_weights(path)
    assert load_start_weights(detector, LABELS, ModelSettings(pretrained=str(path))).fresh == ()
