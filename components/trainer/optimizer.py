"""The optimizer of the settings: learning rate over time and by variable, clipping, decay, averaging."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.trainer.settings import OptimizerSettings, Precision

_LEARNING_RATES: Final = {"adam": 1e-3, "sgd": 1e-2}
"""Where the settings name none."""


def learning_rate_schedule(
    settings: OptimizerSettings, peak: float, steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up, then a half cosine (Loshchilov and Hutter 2017), steps down or a constant.

    Args:
      settings: the shape.
      peak: the height.
      steps: of the whole training.
    """
    warmup = round(settings.warmup_share * steps)
    if settings.schedule == "step":
        return StepDecay(
            peak, warmup, [round(share * steps) for share in settings.step_boundaries], settings.step_factor
        )
    final_share = settings.final_learning_rate_share if settings.schedule == "cosine" else 1.0
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else peak,
        decay_steps=max(steps - warmup, 1),
        alpha=final_share,
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )


@keras.saving.register_keras_serializable("trainer")
class StepDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then constant between steps down.

    Args:
      peak: after the warm-up.
      warmup_steps: over which the rate grows from 0.
      boundaries: the first step of each lower rate.
      factor: between one rate and the next.
    """

    def __init__(self, peak: float, warmup_steps: int, boundaries: Sequence[int], factor: float) -> None:
        super().__init__()
        self._config = {"peak": peak, "warmup_steps": warmup_steps, "boundaries": list(boundaries), "factor": factor}
        self._peak, self._warmup_steps, self._factor = peak, warmup_steps, factor
        self._boundaries = tf.constant(boundaries, tf.float32)  # [K]

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        warm = tf.minimum(step / self._warmup_steps, 1.0) if self._warmup_steps else 1.0
        passed = tf.reduce_sum(tf.cast(step >= self._boundaries, tf.float32))
        return self._peak * warm * self._factor**passed

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return self._config


RateFactor = float | NDArray[np.float32]
"""Of a variable: for all of it, or float32 [C] for each of its last axis, of length C."""


class _ByVariable(keras.optimizers.Optimizer):
    """Gives every variable a learning rate and a weight decay of its own, whatever the update rule.

    Each learns as if an optimizer of its own, with its learning rate, had it; only clipping by the global norm sees all
    gradients together. Scaling gradients instead would do nothing to Adam, which divides by their size.
    """

    rate_factors: Sequence[RateFactor]
    decays: Sequence[float]

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """One variable's update: decay by ``learning_rate * decay``, decoupled, then the rule's own step."""
        index = self._get_variable_index(variable)
        rate = tf.cast(learning_rate, variable.dtype) * self.rate_factors[index]
        if self.decays[index]:
            self.assign_sub(variable, variable * rate * self.decays[index])
        super().update_step(gradient, variable, rate)


class Adam(_ByVariable, keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015) with a learning rate and a decay by variable."""


class Sgd(_ByVariable, keras.optimizers.SGD):
    """Gradient descent with momentum, with a learning rate and a decay by variable."""


def make_optimizer(
    settings: OptimizerSettings,
    variables: Sequence[keras.Variable],
    *,
    steps: int,
    default_name: Literal["adam", "sgd"],
    precision: Precision = "float32",
    rate_factors: Sequence[RateFactor] = (),
) -> keras.optimizers.Optimizer:
    """A built optimizer.

    Args:
      settings: which one, and how it learns.
      variables: those that learn.
      steps: over which the learning rate runs.
      default_name: where the settings name none.
      precision: what is computed in.
      rate_factors: on the learning rate, one for each of ``variables`` (an array of them, one for each of its last
        axis); empty: 1 for all.
    """
    name = settings.name or default_name
    peak = settings.learning_rate or _LEARNING_RATES[name]
    common = {
        "learning_rate": learning_rate_schedule(settings, peak, steps),
        "global_clipnorm": settings.clip_norm,
        "use_ema": settings.ema_momentum is not None,
        "ema_momentum": settings.ema_momentum or 0.99,
    }
    optimizer = Sgd(momentum=settings.momentum, **common) if name == "sgd" else Adam(beta_1=settings.momentum, **common)
    optimizer.rate_factors = tuple(rate_factors) or (1.0,) * len(variables)
    optimizer.decays = tuple(settings.weight_decay if len(variable.shape) > 1 else 0.0 for variable in variables)
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(list(variables))
    return optimizer


@contextlib.contextmanager
def averaged_weights(
    optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable], settings: OptimizerSettings
) -> Iterator[None]:
    """Within it, the variables hold their average over time, where the settings ask for one."""
    if settings.ema_momentum is None:
        yield
        return
    latest = [variable.numpy() for variable in variables]
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    inner.finalize_variable_values(list(variables))
    try:
        yield
    finally:
        for variable, value in zip(variables, latest, strict=True):
            variable.assign(value)
