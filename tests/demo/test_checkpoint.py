"""The shipped checkpoint: small, and made for the demo's detector."""

from __future__ import annotations

import pathlib

from components.detector.registry import build_detector
from components.detector.weights import zoo
from demo import pretrain
from demo.signs import SIGN_CLASSES
from pipeline.config import load_config

_CONFIG = pathlib.Path(__file__).parents[2] / "pipeline" / "configs" / "demo.yaml"


def test_fits_the_demo_and_leaves_only_the_classes_to_learn_anew() -> None:
    model = load_config(_CONFIG).model
    assert model.pretrained is not None and pathlib.Path(model.pretrained).name == pretrain.CHECKPOINT.name
    assert pretrain.CHECKPOINT.stat().st_size <= 3_000_000
    detector = build_detector(
        model.detector, num_classes=len(SIGN_CLASSES), image_size=model.image_size, **dict(model.options)
    )
    report = zoo.restore(detector, str(pretrain.CHECKPOINT))
    assert not report.missing
    assert report.reinitialized and all("class_predict" in key for key in report.reinitialized)
    assert len(report.restored) + len(report.reinitialized) == len(detector.variables)
