"""Background pictures are in most data sets: a batch, a split, a data set without an object is learnt from."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import tensorflow as tf

from components.detector.registry import build_detector
from components.detector.structures import GroundTruth
from components.trainer.input.input_pipeline import TrainingBatch
from components.trainer.optimizer import make_optimizer
from components.trainer.settings import OptimizerSettings
from components.trainer.strategies.supervised import detection_losses
from components.trainer.train_step import TrainStep
from tests.forked_program import run_forked

PROGRAM = pathlib.Path(__file__).with_name("training_without_objects.py")


def test_training_and_evaluation(
    write_records: Callable[..., str],
    make_record: Callable[..., bytes],
    make_square: Callable[..., tuple[bytes, list[float], int]],
) -> None:
    cases = {
        "one image": (0, 1, 1),
        "no object anywhere": (0, 5, 2),
        "batches without an object among others": (1, 6, 2),
        "one image with an object": (1, 1, 1),
    }
    arguments = []
    for name, (with_object, images, batch_size) in cases.items():
        records = []
        for number in range(images):
            encoded, box, class_index = make_square(number)
            there = number < with_object
            records.append(make_record(encoded, f"{number}", [box] if there else [], [class_index] if there else []))
        arguments += [write_records(name.replace(" ", "_"), records), str(batch_size)]
    done = run_forked(str(PROGRAM), *arguments)
    assert done.returncode == 0, f"exit status {done.returncode}: {done.stdout}{done.stderr}"
    seen = [line for line in done.stdout.splitlines() if line.startswith("an object was seen")]
    assert seen == [f"an object was seen: {bool(with_object)}" for with_object, _, _ in cases.values()]


FASTER_RCNN = {"blocks": (1, 1, 1, 1), "width": 0.0625, "proposal_depth": 8, "proposals_per_step": 8}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ssd_mobilenet_v2", {"alpha": 0.35}),
        ("ssd_mobilenet_v2_fpnlite", {"alpha": 0.35, "fpn_depth": 16}),
        ("efficientdet_d0", {}),
        ("faster_rcnn_resnet50", FASTER_RCNN),
        ("faster_rcnn_inception_resnet_v2", FASTER_RCNN | {"blocks": (1, 1, 1)}),
    ],
)
def test_a_step_of_every_family(name: str, options: Mapping[str, Any]) -> None:
    detector = build_detector(name, num_classes=2, image_size=(128, 128), **options)
    truth = GroundTruth(tf.zeros([1, 0, 4]), tf.zeros([1, 0], tf.int32), tf.zeros([1, 0]), tf.ones([1, 2]))
    batch = TrainingBatch(tf.zeros([1, 128, 128, 3], tf.uint8), tf.zeros([1, 4, 3]), truth)
    of_any_size = tf.data.Dataset.from_tensors(batch).element_spec._replace(
        truth=GroundTruth(
            tf.TensorSpec([1, None, 4]),
            tf.TensorSpec([1, None], tf.int32),
            tf.TensorSpec([1, None]),
            tf.TensorSpec([1, 2]),
        )
    )  # fmt: skip
    variables = detector.trainable_variables
    optimizer = make_optimizer(
        OptimizerSettings(name="sgd"), variables, steps=1, default_name=detector.default_optimizer
    )
    step = TrainStep(detection_losses(detector), variables, optimizer, of_any_size)
    step(batch)
    assert step.non_finite() is None
    assert step.mean_losses()["localization"] == 0.0
