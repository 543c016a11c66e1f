"""The optimizer of the settings: learning rate over time, clipping, decay, averaging."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import keras

from components.trainer.settings import OptimizerSettings, Precision

_LEARNING_RATES: Final = {"adam": 1e-3, "sgd": 1e-2}
"""Where the settings name none."""


def learning_rate_schedule(
    settings: OptimizerSettings, peak: float, steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up, then a half cosine (Loshchilov and Hutter 2017) or a constant.

    Args:
      settings: the shape.
      peak: the height.
      steps: of the whole training.
    """
    warmup = round(settings.warmup_share * steps)
    final_share = settings.final_learning_rate_share if settings.schedule == "cosine" else 1.0
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else peak,
        decay_steps=max(steps - warmup, 1),
        alpha=final_share,
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )


def make_optimizer(
    settings: OptimizerSettings,
    variables: Sequence[keras.Variable],
    *,
    steps: int,
    default_name: Literal["adam", "sgd"],
    precision: Precision = "float32",
) -> keras.optimizers.Optimizer:
    """A built optimizer.

    Args:
      settings: which one, and how it learns.
      variables: those that learn.
      steps: over which the learning rate runs.
      default_name: where the settings name none.
      precision: what is computed in.
    """
    name = settings.name or default_name
    peak = settings.learning_rate or _LEARNING_RATES[name]
    common = {
        "learning_rate": learning_rate_schedule(settings, peak, steps),
        "weight_decay": settings.weight_decay or None,
        "global_clipnorm": settings.clip_norm,
        "use_ema": settings.ema_momentum is not None,
        "ema_momentum": settings.ema_momentum or 0.99,
    }
    optimizer = (
        keras.optimizers.SGD(momentum=settings.momentum, **common)
        if name == "sgd"
        else keras.optimizers.Adam(beta_1=settings.momentum, **common)
    )
    if settings.weight_decay:
        optimizer.exclude_from_weight_decay(var_list=[v for v in variables if len(v.shape) < 2])
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
