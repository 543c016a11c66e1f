"""A step over parts of a batch, against a step over the whole."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.detector.structures import GroundTruth
from components.trainer.input.batch_parts import part_of_batch
from components.trainer.input.input_pipeline import TrainingBatch
from components.trainer.optimizer import make_optimizer
from components.trainer.settings import OptimizerSettings
from components.trainer.strategies.supervised import detection_losses
from components.trainer.train_step import TrainStep
from tests.components.trainer.tiny_detector import TinyDetector

OPTIMIZER = OptimizerSettings(learning_rate=0.05, ema_momentum=0.9, weight_decay=0.01, clip_norm=0.5)


@pytest.fixture(scope="module")
def batch() -> TrainingBatch:
    """Twelve images of which each shows one class."""
    images = tf.random.stateless_uniform((12, *TinyDetector.image_size, 3), (0, 1), 0, 256, tf.int32)
    boxes = tf.constant([[[0.2, 0.2, 0.7, 0.7]]] * 12)
    truth = GroundTruth(boxes, tf.constant([[0], [1], [0]] * 4), tf.ones((12, 1)), tf.ones((12, 2)))
    as_they_are = tf.concat([tf.eye(3, batch_shape=[12]), tf.zeros((12, 1, 3))], axis=1)
    return TrainingBatch(tf.cast(images, tf.uint8), as_they_are, truth)


def step_of(batch: Any, variables: list[keras.Variable], losses: Any, **more: Any) -> TrainStep:
    optimizer = make_optimizer(OPTIMIZER, variables, steps=10, default_name="adam")
    return TrainStep(losses, variables, optimizer, tf.nest.map_structure(tf.TensorSpec.from_tensor, batch), **more)


def trained(batch: TrainingBatch, parts: int, *, freeze_batch_norm: bool) -> tuple[TinyDetector, dict[str, float]]:
    keras.utils.set_random_seed(0)
    detector = TinyDetector()
    detector.backbone.layers[1].trainable = not freeze_batch_norm
    step = step_of(
        batch, detector.trainable_variables, detection_losses(detector), state=detector.variables, parts=parts
    )
    for _ in range(3):
        step(batch)
    assert step.non_finite() is None
    return detector, step.mean_losses()


@pytest.mark.parametrize("parts", [2, 3, 12])
def test_parts_learn_what_the_whole_does_without_batch_norm(batch: TrainingBatch, parts: int) -> None:
    whole, losses = trained(batch, 1, freeze_batch_norm=True)
    divided, same_losses = trained(batch, parts, freeze_batch_norm=True)
    assert same_losses == pytest.approx(losses, rel=1e-4)
    for one, other in zip(whole.variables, divided.variables, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-4)


def test_moving_statistics_see_one_part_after_the_other(batch: TrainingBatch) -> None:
    keras.utils.set_random_seed(0)
    detector = TinyDetector()
    expected = keras.models.clone_model(detector.backbone)
    expected.set_weights(detector.backbone.get_weights())
    losses = detection_losses(detector)
    step_of(batch, detector.trainable_variables, losses, state=detector.variables, parts=4)(batch)
    for part in range(4):
        expected(part_of_batch(tf.cast(batch.images, tf.float32) / 255.0, part, 4), training=True)
    for moving, other in zip(detector.backbone.non_trainable_variables, expected.non_trainable_variables, strict=True):
        np.testing.assert_allclose(moving.numpy(), other.numpy(), rtol=1e-3, atol=1e-5)


def test_helpers_that_the_losses_change_are_kept() -> None:
    weight = keras.Variable([1.0])
    count = keras.Variable([0.0], trainable=False)
    unused = keras.Variable([5.0])

    def losses(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        count.assign(count + 1.0)
        return {"error": tf.reduce_mean(weight * numbers), "seen": tf.reduce_sum(count)}

    numbers = tf.constant([1.0, 2.0, 3.0, 4.0])
    step = step_of(numbers, [weight, unused], losses, state=[count], parts=2, measures=("seen",))
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        step(numbers)
    assert count.numpy().tolist() == [2.0]
    assert step.mean_losses() == {"error": 2.5, "seen": 1.5, "total": 2.5}
    # Without a gradient nothing moves, and nothing decays.
    assert unused.numpy().tolist() == [5.0]


def test_a_variable_that_would_not_be_kept_is_refused() -> None:
    weight, foreign = keras.Variable([1.0]), keras.Variable([0.0], trainable=False)

    def losses(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        foreign.assign(foreign + 1.0)
        return {"error": tf.reduce_mean(weight * numbers)}

    numbers = tf.constant([1.0, 2.0])
    with pytest.raises(ValueError, match="nor among the phase's helpers"):
        step_of(numbers, [weight], losses, parts=2)(numbers)


def test_a_batch_that_does_not_divide() -> None:
    with pytest.raises(ValueError, match="a batch of 4 cannot be divided into 3"):
        part_of_batch(tf.zeros([4, 2]), 0, 3)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_loss_scaling_may_meet_infinite_gradients_until_the_scale_is_gone(scale: float) -> None:
    weight = keras.Variable([0.0])
    optimizer = make_optimizer(OPTIMIZER, [weight], steps=10, default_name="adam", precision="mixed_float16")
    optimizer.dynamic_scale.assign(scale)
    spec = tf.TensorSpec([1])
    step = TrainStep(lambda numbers: {"root": tf.reduce_sum(tf.sqrt(weight * numbers))}, [weight], optimizer, spec)
    step(tf.zeros([1]))
    assert step.non_finite() == (None if scale >= 1.0 else "gradient of the loss")
    assert weight.numpy().tolist() == [0.0]
