"""The optimizer's learning rate over time and by variable, against Keras's own optimizers and schedules."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.optimizer import Adam, Sgd, averaged_weights, learning_rate_schedule, make_optimizer
from components.trainer.settings import OptimizerSettings


def test_learning_rate_rises_then_falls() -> None:
    schedule = learning_rate_schedule(OptimizerSettings(warmup_share=0.1), 0.1, 100)
    assert [float(schedule(step)) for step in (0, 5, 10, 55, 100)] == pytest.approx([0, 0.05, 0.1, 0.05, 0], abs=1e-6)
    constant = learning_rate_schedule(OptimizerSettings(schedule="constant", warmup_share=0), 0.1, 100)
    assert [float(constant(step)) for step in (0, 50, 100)] == pytest.approx([0.1] * 3)


def test_settings_leave_the_optimizer_to_the_detector() -> None:
    from components.detector.registry import build_detector

    options = {"blocks": (1, 1, 1, 1), "width": 0.0625, "proposal_depth": 8}
    detector = build_detector("faster_rcnn_resnet50", num_classes=1, image_size=(64, 64), **options)

    def made(**chosen: Any) -> tuple[type, float]:
        settings = OptimizerSettings.model_validate({"warmup_share": 0.0, **chosen})
        optimizer = make_optimizer(
            settings, detector.trainable_variables, steps=10, default_name=detector.default_optimizer
        )
        return type(optimizer), pytest.approx(float(optimizer.learning_rate))

    assert made() == (Sgd, 0.01)
    assert made(name="adam") == (Adam, 0.001)
    assert made(learning_rate=0.5) == (Sgd, 0.5)


def test_the_learning_rate_falls_in_steps_as_kerass_does() -> None:
    settings = OptimizerSettings(schedule="step", warmup_share=0.1, step_boundaries=(0.5, 0.75), step_factor=0.1)
    schedule = learning_rate_schedule(settings, 0.2, 100)
    reference = keras.optimizers.schedules.PiecewiseConstantDecay([49, 74], [0.2, 0.02, 0.002])
    for step in (10, 49, 50, 74, 75, 99):
        assert float(schedule(step)) == pytest.approx(float(reference(step)))
    assert [float(schedule(step)) for step in (0, 5)] == pytest.approx([0.0, 0.1])
    again = type(schedule).from_config(schedule.get_config())
    assert float(again(60)) == float(schedule(60))


def _variables() -> list[keras.Variable]:
    random = np.random.default_rng(0)
    shapes = [(3, 2), (2,), (4, 3), (3,)]
    return [keras.Variable(random.normal(size=shape).astype(np.float32)) for shape in shapes]


def _gradients(step: int) -> list[tf.Tensor]:
    random = np.random.default_rng(step + 1)
    return [tf.constant(random.normal(size=v.shape) * 10.0**step, tf.float32) for v in _variables()]


@pytest.mark.parametrize("name", ["adam", "sgd"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_factors_are_as_two_optimizers_with_learning_rates_of_their_own(
    name: str, weight_decay: float, clip_norm: float | None
) -> None:
    settings = OptimizerSettings.model_validate(
        {
            "name": name,
            "learning_rate": 0.1,
            "schedule": "constant",
            "warmup_share": 0.0,
            "weight_decay": weight_decay,
            "clip_norm": clip_norm,
        }
    )
    ours, theirs = _variables(), _variables()
    optimizer = make_optimizer(settings, ours, steps=10, default_name="adam", rate_factors=(0.01, 0.01, 1.0, 1.0))

    def reference(rate: float, variables: list[keras.Variable]) -> keras.optimizers.Optimizer:
        common = {"learning_rate": rate, "weight_decay": weight_decay or None}
        made = keras.optimizers.Adam(**common) if name == "adam" else keras.optimizers.SGD(momentum=0.9, **common)
        made.exclude_from_weight_decay(var_list=[v for v in variables if len(v.shape) < 2])
        return made

    separate = [(reference(0.001, theirs[:2]), slice(2)), (reference(0.1, theirs[2:]), slice(2, 4))]
    for step in range(4):
        gradients = _gradients(step)
        optimizer.apply_gradients(zip(gradients, ours, strict=True))
        if clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, clip_norm)
        for each, part in separate:
            each.apply_gradients(zip(gradients[part], theirs[part], strict=True))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_columns_of_a_variable_learn_at_rates_of_their_own(name: Any) -> None:
    settings = OptimizerSettings(name=name, learning_rate=0.1, warmup_share=0.0, schedule="constant", clip_norm=None)
    ours, whole = keras.Variable(np.ones((3, 2), np.float32)), keras.Variable(np.ones((3, 2), np.float32))
    by_column = make_optimizer(
        settings, [ours], steps=10, default_name="adam", rate_factors=[np.array([0.0, 1.0], np.float32)]
    )
    plain = make_optimizer(settings, [whole], steps=10, default_name="adam")
    for step in range(3):
        gradient = tf.constant(np.random.default_rng(step).normal(size=(3, 2)), tf.float32)
        by_column.apply_gradients([(gradient, ours)])
        plain.apply_gradients([(gradient, whole)])
    np.testing.assert_array_equal(ours.numpy()[:, 0], 1.0)
    np.testing.assert_allclose(ours.numpy()[:, 1], whole.numpy()[:, 1], rtol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_averages_count_updates(precision: Any) -> None:
    settings = OptimizerSettings(learning_rate=0.1, warmup_share=0.0, ema_momentum=0.5, clip_norm=None)
    variables = _variables()
    optimizer = make_optimizer(settings, variables, steps=10, default_name="sgd", precision=precision)
    scale = float(optimizer.scale_loss(tf.constant(1.0)))
    average = None
    for step in range(4):
        # With loss scaling, an update that is not finite is left out: of the average, too.
        gradients = [gradient * (scale if step != 1 else np.inf) for gradient in _gradients(step)]
        if precision == "float32" and step == 1:
            continue
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        scale = float(optimizer.scale_loss(tf.constant(1.0)))
        if step != 1:
            latest = variables[0].numpy()
            average = latest if average is None else 0.5 * average + 0.5 * latest
    latest = variables[0].numpy()
    with averaged_weights(optimizer, variables, settings):
        np.testing.assert_allclose(variables[0].numpy(), average, rtol=1e-5)
    np.testing.assert_array_equal(variables[0].numpy(), latest)
