"""What a config leaves to the data: how many steps, how large they are, and how fast statistics move.

The rules are documented in ``docs/transfer.md``. Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

import math
from typing import Final, Literal

from components.trainer.settings import Precision, TrainConfig, TrainSettings

_EPOCHS: Final = 30
"""What fine-tuning some hundred images took until more steps gained nothing."""
_EPOCHS_FROM_SCRATCH: Final = 90
"""Without start weights a detector needs about three times the steps (He et al. 2019, "Rethinking ImageNet
Pre-training", section 3)."""
_LEAST_STEPS: Final = 600
"""New heads have to be learnt, however few images there are."""
_MOST_IMAGES: Final = 1_440_000
"""The usual schedule on COCO, 90 000 steps of 16 images: 12 epochs."""

_ADAM_RATE: Final = 1e-3
_ADAM_BATCH: Final = 8
_ADAM_HIGHEST: Final = 4e-3
_SGD_RATE: Final = 1e-2
_SGD_BATCH: Final = 16
_WARM_START_SHARE: Final = 0.5

_AVERAGES: Final = 20
"""Time constants of a moving statistic that a training lasts."""
_MOMENTUM_RANGE: Final = (0.9, 0.99)
_LEFT_AT_MOST: Final = 1e-3
"""Of what a statistic began with, at the end of the training."""


def planned_settings(
    config: TrainConfig,
    *,
    images: int,
    from_scratch: bool,
    warm_start: bool,
    default_optimizer: Literal["adam", "sgd"],
    learning_rate_share: float = 1.0,
    precision: Precision = "float32",
) -> TrainSettings:
    """The training with a number where the config leaves one open.

    Args:
      config: the section ``train``.
      images: of the split ``train``.
      from_scratch: whether there are no start weights.
      warm_start: whether the training starts from the last blessed model.
      default_optimizer: the detector's.
      learning_rate_share: the detector's.
      precision: what is computed in.
    """
    steps = automatic_steps(images, config.batch_size, from_scratch) if config.steps == "auto" else config.steps
    name = config.optimizer.name or default_optimizer
    rate = config.optimizer.learning_rate
    if rate is None:
        rate = learning_rate_share * automatic_learning_rate(name, config.batch_size, warm_start)
    optimizer = config.optimizer.model_copy(update={"name": name, "learning_rate": rate})
    decided = {"steps": steps, "optimizer": optimizer, "precision": precision}
    return TrainSettings.model_validate({**dict(config), **decided})


def automatic_steps(images: int, batch_size: int, from_scratch: bool) -> int:
    """Steps for a number of training images; see ``docs/transfer.md``."""
    epochs = _EPOCHS_FROM_SCRATCH if from_scratch else _EPOCHS
    most = math.ceil(_MOST_IMAGES / batch_size)
    return min(max(math.ceil(epochs * images / batch_size), _LEAST_STEPS), most)


def automatic_learning_rate(optimizer: Literal["adam", "sgd"], batch_size: int, warm_start: bool) -> float:
    """The peak of the learning rate.

    Of SGD it grows with the batch (Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.1), of Adam with its
    square root (Malladi et al. 2022, "On the SDEs and Scaling Rules for Adaptive Gradient Algorithms", section 5).
    """
    if optimizer == "sgd":
        rate = _SGD_RATE * batch_size / _SGD_BATCH
    else:
        rate = min(_ADAM_RATE * math.sqrt(batch_size / _ADAM_BATCH), _ADAM_HIGHEST)
    return rate * (_WARM_START_SHARE if warm_start else 1.0)


def automatic_batch_norm_momentum(steps: int) -> float:
    """Momentum of moving statistics for a training of so many steps.

    An average over a twentieth of the steps forgets the start and follows the weights while they settle; more than a
    hundred batches tell a statistic no better. Of very few steps it averages as many as leave nothing of the start.
    """
    lowest, highest = _MOMENTUM_RANGE
    momentum = min(max(1.0 - _AVERAGES / steps, lowest), highest)
    # Rounded down, for the log.
    return math.floor(1000 * min(momentum, _LEFT_AT_MOST ** (1.0 / steps))) / 1000
