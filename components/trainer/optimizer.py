"""The optimizer of the settings: learning rate over time, clipping, decay, averaging."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

import keras

from components.detector.detector import Detector
from components.trainer.settings import OptimizerSettings, TrainSettings

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


def make_optimizer(settings: TrainSettings, detector: Detector) -> keras.optimizers.Optimizer:
    """A built optimizer for the detector's variables that learn; what the settings leave open suits the detector."""
    chosen, variables = settings.optimizer, detector.trainable_variables
    name = chosen.name or detector.default_optimizer
    peak = chosen.learning_rate or _LEARNING_RATES[name]
    common = {
        "learning_rate": learning_rate_schedule(chosen, peak, settings.steps),
        "weight_decay": chosen.weight_decay or None,
        "global_clipnorm": chosen.clip_norm,
        "use_ema": chosen.ema_momentum is not None,
        "ema_momentum": chosen.ema_momentum or 0.99,
    }
    optimizer = (
        keras.optimizers.SGD(momentum=chosen.momentum, **common)
        if name == "sgd"
        else keras.optimizers.Adam(beta_1=chosen.momentum, **common)
    )
    if chosen.weight_decay:
        optimizer.exclude_from_weight_decay(var_list=[v for v in variables if len(v.shape) < 2])
    if settings.precision == "mixed_float16":
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
