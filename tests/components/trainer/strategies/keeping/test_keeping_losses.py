"""What the last blessed model teaches a detector that learns more classes than it knew."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import keras
import numpy as np
import pydantic
import pytest
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.detector.structures import Detections, GroundTruth
from components.detector.weights.checkpoints import CheckpointError
from components.export.saved_model import description
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.input_pipeline import TrainingBatch
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.settings import TrainSettings
from components.trainer.strategies.keeping.blessed_teacher import BlessedTeacher, with_classes_of, with_unannotated
from components.trainer.strategies.keeping.keeping_losses import keeping_losses
from components.trainer.strategies.settings.fine_tune import FineTuneSettings
from components.trainer.strategies.settings.keep import KeepSettings
from components.trainer.strategies.strategy import TrainingInputs
from schema.exported_model import DESCRIPTION_FILE, WEIGHTS_FILE
from schema.label_map import LabelMap

SSD: dict[str, Any] = {
    "name": "ssd_mobilenet_v2_fpnlite",
    "image_size": (64, 64),
    "alpha": 0.35,
    "fpn_depth": 16,
    "num_head_layers": 1,
}
FASTER_RCNN: dict[str, Any] = {
    "name": "faster_rcnn_resnet50",
    "image_size": (64, 64),
    "width": 0.125,
    "blocks": (1, 1, 1, 1),
    "proposal_depth": 8,
    "max_proposals": 20,
    "proposals_per_step": 8,
}
KNOWN, GROWN = LabelMap.of_names(["car", "sign"]), LabelMap.of_names(["bus", "car", "sign"])


def bless(folder: pathlib.Path, label_map: LabelMap, recipe: dict[str, Any]) -> str:
    """What a teacher is made of, without the SavedModel around it."""
    keras.utils.set_random_seed(3)
    detector = build_detector(num_classes=len(label_map), **recipe)
    (folder / DESCRIPTION_FILE).parent.mkdir(parents=True)
    (folder / DESCRIPTION_FILE).write_text(json.dumps(description(detector, label_map)))
    detector.save_weights(folder / WEIGHTS_FILE)
    return str(folder)


def student(recipe: dict[str, Any]) -> Detector:
    keras.utils.set_random_seed(4)
    return build_detector(num_classes=len(GROWN), **recipe)


def batch() -> TrainingBatch:
    """Two images with a bus in each."""
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8))
    colours = tf.concat([tf.eye(3, batch_shape=[2]), tf.zeros([2, 1, 3])], axis=1)
    boxes = tf.constant([[[0.1, 0.1, 0.4, 0.4]]] * 2)
    return TrainingBatch(
        images, colours, GroundTruth(boxes, tf.zeros((2, 1), tf.int32), tf.ones((2, 1)), tf.ones((2, 2)))
    )


def inputs(blessed_model: str | None) -> TrainingInputs:
    records = AnnotatedRecords([], parse_clean_records)
    return TrainingInputs(TrainSettings(), GROWN, records, "", blessed_model=blessed_model)


def found(*rows: tuple[tuple[float, float, float, float], int, float]) -> Detections:
    """One image's detections: box, class, score."""
    return Detections(
        tf.constant([[box for box, _, _ in rows] + [(0.0, 0.0, 0.0, 0.0)]]),
        tf.constant([[score for _, _, score in rows] + [0.0]]),
        tf.constant([[class_index for _, class_index, _ in rows] + [-1]]),
        tf.constant([len(rows)]),
    )


HERE, BESIDE, THERE, ELSEWHERE = (0.0, 0.0, 0.4, 0.4), (0.0, 0.02, 0.4, 0.4), (0.5, 0.5, 0.9, 0.9), (0.5, 0.0, 0.8, 0.3)
ANNOTATED = GroundTruth(
    tf.constant([[HERE, (0.0, 0.0, 0.0, 0.0)]]), tf.constant([[0, -1]]), tf.constant([[1.0, 0.0]]), tf.ones((1, 2))
)
"""A bus."""


@pytest.mark.parametrize(
    ("learn", "ignore", "rows"),
    [
        (0.5, 0.2, [(1, 1.0), (2, 0.0)]),
        (None, 0.2, [(1, 0.0), (2, 0.0)]),
        (0.5, None, [(1, 1.0)]),
        (None, None, []),
    ],
)
def test_what_the_teacher_finds_and_nobody_annotated(
    learn: float | None, ignore: float | None, rows: list[tuple[int, float]]
) -> None:
    detections = found(
        (BESIDE, 1, 0.9),  # on the annotated bus
        (THERE, 1, 0.7),  # a car
        (ELSEWHERE, 2, 0.3),  # perhaps a sign
        (ELSEWHERE, 0, 0.8),  # a bus, where all buses are annotated
        (THERE, -1, 0.8),  # a class that is no more
        (ELSEWHERE, 1, 0.1),
    )
    truth = with_unannotated(ANNOTATED, detections, KeepSettings(learn_from_score=learn, ignore_from_score=ignore))
    boxes, classes, weights = (part.numpy()[0] for part in truth[:3])
    np.testing.assert_array_equal(classes[:2], [0, -1])
    added = [(int(c), float(w)) for c, w in zip(classes[2:], weights[2:], strict=True) if c >= 0]
    assert added == rows
    there = {1: THERE, 2: ELSEWHERE}
    for box, class_index in zip(boxes[2:], classes[2:], strict=True):
        np.testing.assert_allclose(box, there.get(int(class_index), (0.0,) * 4))


def test_the_teacher_sees_the_canvas_and_speaks_of_the_students_classes(tmp_path: pathlib.Path) -> None:
    blessed = bless(tmp_path, LabelMap.of_names(["sign", "tram", "car"]), SSD)
    ours = student(SSD)
    teacher = BlessedTeacher.of(blessed, ours, GROWN, 0.0)
    assert teacher.classes == ((0, 2), (2, 1))
    assert teacher.lines_up
    shares = tf.constant([[1.0, 1.0], [0.5, 1.0]])
    images = tf.cast(batch().images, tf.float32)
    seen = teacher(images, shares)
    assert set(np.unique(seen.found.classes)) <= {-1, 1, 2}
    assert seen.found.boxes_yxyx_normalized.numpy()[1, :, 2].max() <= 0.5 + 1e-6, "nothing is found on padding"

    larger = BlessedTeacher.of(blessed, student(SSD | {"image_size": (96, 128)}), GROWN, 0.0)
    assert not larger.lines_up
    shown = tf.image.resize(images, (96, 128))
    assert set(np.unique(larger(shown, shares).found.classes)) <= {-1, 1, 2}


@pytest.mark.parametrize("recipe", [SSD, FASTER_RCNN], ids=["one stage", "two stages"])
def test_losses_hold_the_student_and_leave_no_trace_in_it(recipe: dict[str, Any], tmp_path: pathlib.Path) -> None:
    blessed = bless(tmp_path, KNOWN, recipe)
    ours = student(recipe)
    names = [variable.path for variable in ours.variables]
    # The state of random numbers, too.
    start = [variable.numpy() for variable in ours.variables]

    def of(settings: KeepSettings | None) -> dict[str, float]:
        for variable, value in zip(ours.variables, start, strict=True):
            variable.assign(value)
        losses = keeping_losses(ours, inputs(blessed), settings)
        return {name: float(value) for name, value in losses(batch()).items()}

    plain, kept = of(None), of(KeepSettings(distillation_weight=2.0, learn_from_score=None, ignore_from_score=None))
    assert kept.keys() - plain.keys() == {"distillation"}
    assert kept["distillation"] > 0.0
    assert of(KeepSettings(learn_from_score=None, ignore_from_score=None))["distillation"] == pytest.approx(
        kept["distillation"] / 2.0, rel=1e-5
    )
    # A training that goes on after a kill makes its teacher anew.
    assert of(KeepSettings(distillation_weight=2.0, learn_from_score=None, ignore_from_score=None)) == kept
    assert [variable.path for variable in ours.variables] == names


def test_a_teacher_of_another_detector_teaches_what_it_finds(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blessed = bless(tmp_path, KNOWN, SSD)
    ours = student(FASTER_RCNN)
    losses = keeping_losses(ours, inputs(blessed), KeepSettings(learn_from_score=0.0, ignore_from_score=None))
    assert "kept from the last blessed model: car, sign" in capsys.readouterr().out
    assert "distillation" not in losses(batch())


def test_without_a_teacher_nothing_is_kept(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = student(SSD)
    assert "distillation" not in keeping_losses(ours, inputs(None), KeepSettings())(batch())
    stranger = bless(tmp_path, LabelMap.of_names(["tram"]), SSD)
    assert "distillation" not in keeping_losses(ours, inputs(stranger), KeepSettings())(batch())
    assert "knows no class of this training" in capsys.readouterr().out


def test_a_blessed_model_that_cannot_be_made_again_is_named(tmp_path: pathlib.Path) -> None:
    blessed = bless(tmp_path, KNOWN, SSD)
    (tmp_path / WEIGHTS_FILE).unlink()
    with pytest.raises(CheckpointError, match=r"transfer\.keep: .* cannot be made again as a teacher"):
        BlessedTeacher.of(blessed, student(SSD), GROWN, None)


def test_classes_that_the_data_no_longer_names_stay(tmp_path: pathlib.Path) -> None:
    blessed = bless(tmp_path, LabelMap.of_names(["sign", "car"]), SSD)
    extended = with_classes_of(LabelMap((2, 5), ("bus", "car")), blessed)
    assert list(extended) == [(2, "bus"), (5, "car"), (6, "sign")]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"keep": {}}, "set transfer.warm_start_from_blessed to true"),
        ({"keep": {"learn_from_score": 0.3, "ignore_from_score": 0.4}}, "at most learn_from_score"),
        (
            {"keep": {"distillation_weight": 0, "learn_from_score": None, "ignore_from_score": None}},
            "keeps nothing",
        ),
    ],
)
def test_refused_settings(values: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        FineTuneSettings.model_validate(values)
