"""Which layers learn."""

from __future__ import annotations

import keras
import pytest

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.trainer.strategies.fine_tune import FineTune
from components.trainer.strategies.fine_tune_settings import FineTuneSettings


@pytest.fixture(scope="module")
def built() -> Detector:
    return build_detector(
        "ssd_mobilenet_v2_fpnlite", num_classes=2, image_size=(64, 64), alpha=0.35, fpn_depth=16, num_head_layers=1
    )


@pytest.fixture
def detector(built: Detector) -> Detector:
    for layer in built.backbone_layers:
        layer.trainable = True
    return built


def learning(detector: Detector) -> list[bool]:
    return [layer.trainable for layer in detector.backbone_layers]


def test_all(detector: Detector) -> None:
    count = len(detector.trainable_variables)
    FineTune(FineTuneSettings()).prepare(detector)
    assert all(learning(detector))
    assert len(detector.trainable_variables) == count


def test_heads(detector: Detector) -> None:
    of_backbone = {id(v) for layer in detector.backbone_layers for v in layer.trainable_variables}
    count = len(detector.trainable_variables)
    FineTune(FineTuneSettings(trainable="heads")).prepare(detector)
    assert not any(learning(detector))
    assert len(detector.trainable_variables) == count - len(of_backbone)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_counts_from_the_output(detector: Detector, share: float) -> None:
    FineTune(FineTuneSettings(trainable=share)).prepare(detector)
    flags = learning(detector)
    assert sum(flags) == pytest.approx(share * len(flags), abs=1)
    assert flags == sorted(flags)


def test_from_a_layer(detector: Detector) -> None:
    name = detector.backbone_layers[10].name
    FineTune(FineTuneSettings(trainable=name)).prepare(detector)
    assert learning(detector).index(True) == 10
    with pytest.raises(ValueError, match=rf"no layer '{name}x'; did you mean '{name}'"):
        FineTune(FineTuneSettings(trainable=f"{name}x")).prepare(detector)


def test_batch_norm_alone(detector: Detector) -> None:
    FineTune(FineTuneSettings(freeze_batch_norm=True)).prepare(detector)
    for layer in detector.backbone_layers:
        assert layer.trainable != isinstance(layer, keras.layers.BatchNormalization)
