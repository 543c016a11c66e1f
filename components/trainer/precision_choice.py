"""``train.precision: auto``: a few gradient steps in float32 and in bfloat16 are timed, and the faster is taken.

Which it is cannot be told from the processor's flags: one that multiplies in bfloat16 (AVX512_BF16) but has no matrix
units for it took 1.7 to 2 times as long as in float32 ("float32 or bfloat16" in benchmarks/RESULTS.md). float16 is not
tried: its range wants the loss scaled.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Final

import keras
import numpy as np
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.structures import GroundTruth
from components.trainer.settings import Precision
from components.trainer.training_plan import ChosenPrecision

_TRIED: Final[tuple[Precision, Precision]] = ("float32", "mixed_bfloat16")
_STEPS: Final = 10
_LEAST_GAIN: Final = 1.05
"""As many times faster bfloat16 has to be: less is noise, and float32 is what all figures were measured in."""
_BOXES: Final = 10


def choose_precision(
    build: Callable[[], Detector], batch_size: int, *, clock: Callable[[], float] = time.perf_counter
) -> ChosenPrecision:
    """Times ten gradient steps of the whole detector in each precision, in turns, after one that compiles.

    Leaves the global dtype policy as it found it; random weights, images and boxes are forgotten.

    Args:
      build: a new detector, in the global dtype policy.
      batch_size: images that a device computes at a time.
      clock: seconds.
    """
    policy = keras.mixed_precision.dtype_policy()
    try:
        steps = []
        for precision in _TRIED:
            keras.mixed_precision.set_dtype_policy(precision)
            steps.append(_gradient_step(build(), batch_size))
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    taken: list[list[float]] = [[], []]
    for step in steps:
        step()
    for _ in range(_STEPS):
        for step, seconds in zip(steps, taken, strict=True):
            start = clock()
            step()
            seconds.append(clock() - start)
    in_float32, in_bfloat16 = map(statistics.median, taken)
    faster = in_bfloat16 * _LEAST_GAIN < in_float32
    return ChosenPrecision(_TRIED[faster], dict(zip(_TRIED, (in_float32, in_bfloat16), strict=True)))


def _gradient_step(detector: Detector, batch_size: int) -> Callable[[], float]:
    """Forward, losses and backward on random images; returns when all is computed.

    Without an update: that is in float32 in either case.
    """
    rng = np.random.default_rng(0)
    corners = rng.uniform(0.0, 0.7, (batch_size, _BOXES, 2))
    sides = rng.uniform(0.05, 0.3, corners.shape)
    truth = GroundTruth(
        tf.constant(np.concatenate([corners, corners + sides], axis=-1), tf.float32),  # [B, N, 4]
        tf.constant(rng.integers(0, detector.num_classes, corners.shape[:2]), tf.int32),  # [B, N]
        tf.ones(corners.shape[:2]),  # [B, N]
        tf.ones((batch_size, 2)),  # [B, 2]
    )
    images = detector.normalize(tf.constant(rng.uniform(0, 255, (batch_size, *detector.image_size, 3)), tf.float32))
    variables = [variable.value for variable in detector.trainable_variables]

    @tf.function(autograph=False, jit_compile=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            losses = [*detector.training_losses(images, truth).values(), *detector.losses]
            total = tf.add_n([tf.cast(loss, tf.float32) for loss in losses])
        gradients = [gradient for gradient in tape.gradient(total, variables) if gradient is not None]
        return tf.linalg.global_norm(gradients)

    return lambda: float(step())
