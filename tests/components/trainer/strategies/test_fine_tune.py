"""Which layers learn, and when."""

from __future__ import annotations

import keras
import pytest
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.settings import TrainSettings
from components.trainer.strategies.fine_tune import FineTune
from components.trainer.strategies.settings.fine_tune import FineTuneSettings
from components.trainer.strategies.strategy import TrainingInputs
from schema.label_map import LabelMap


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


class Numbered(AnnotatedRecords):
    """Batches that are the number of their step."""

    def training_batches(self, detector: Detector, settings: TrainSettings, start_step: int = 0) -> tf.data.Dataset:
        return tf.data.Dataset.counter(start_step)


def test_stages_go_through_one_stream_of_batches_with_what_each_says(detector: Detector) -> None:
    settings = FineTuneSettings.model_validate(
        {
            "stages": [
                {"trainable": "heads", "steps": 0.2, "early_stopping_patience": 2},
                {"trainable": 0.25, "learning_rate": 1e-4, "steps": 3},
                {"freeze": ["_head$"]},
            ],
            "learning_rates": {"backbone": 0.1},
        }
    )
    strategy = FineTune(settings)
    strategy.prepare(detector)
    first = {variable.path for variable in detector.trainable_variables}
    train = TrainSettings(steps=20)
    inputs = TrainingInputs(train, LabelMap.of_names("ab"), Numbered((), parse_clean_records), "")
    # What learns is looked at while the phase lasts, as the loop does.
    phases, learning = [], []
    for phase in strategy.phases(detector, inputs):
        phases.append(phase)
        learning.append({variable.path for variable in detector.trainable_variables})
        assert [variable.path for variable in phase.variables] == [v.path for v in detector.trainable_variables]
    assert [phase.name for phase in phases] == ["fine_tune 1/3", "fine_tune 2/3", "fine_tune 3/3"]
    assert [phase.steps for phase in phases] == [4, 3, 13]
    assert [int(next(iter(phase.make_batches(1)))) for phase in phases] == [1, 5, 8]
    assert [phase.early_stopping_patience for phase in phases] == [2, None, None]
    assert [phase.optimizer.learning_rate for phase in phases] == [None, 1e-4, None]
    assert [set(phase.learning_rate_factors) for phase in phases] == [{1.0}, {0.1, 1.0}, {0.1, 1.0}]
    assert learning[0] == first
    assert learning[0] < learning[1]
    assert "Conv1/kernel" in learning[2] - learning[1]
    assert "class_head/pointwise_kernel" in learning[0] - learning[2]


def test_every_stage_is_tried_beforehand(detector: Detector) -> None:
    stages = [{"trainable": "heads", "steps": 1}, {"freeze": ["blok_1_"]}]
    with pytest.raises(ValueError, match=r"transfer\.freeze: 'blok_1_'"):
        FineTune(FineTuneSettings.model_validate({"stages": stages})).prepare(detector)
    with pytest.raises(ValueError, match=r"transfer\.learning_rates: 'neck'"):
        FineTune(FineTuneSettings(learning_rates={"neck": 2.0})).prepare(detector)
