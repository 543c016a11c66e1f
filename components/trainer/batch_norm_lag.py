"""How far the moving statistics of batch normalisation will lag behind the batches' when the training ends.

Training normalises with a batch's own mean and variance, inference with moving averages of them. An average with
momentum m holds, after n steps, m^n of what it began with: much of it when a training is short. The detector then
learns well and detects nothing.
"""

from __future__ import annotations

import math
from typing import Final

import keras
import numpy as np
from numpy.typing import NDArray

_FAR: Final = 0.5
"""Of a standard deviation, or of the logarithm of a variance: more makes another function of the layers behind."""
_LEFT_AT_MOST: Final = 1e-3
"""What the advice leaves of the beginning: variances of new layers begin at 1 and may belong at 0.002."""


class BatchNormLag:
    """Watches the layers that learn from batches, from their statistics at the time it is made.

    Args:
      model: all of its batch normalisations that are not frozen.
    """

    def __init__(self, model: keras.Model) -> None:
        # Of every depth, which the public `layers` does not give.
        self._layers = [
            layer
            for layer in model._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        ]
        self._start = [_statistics(layer) for layer in self._layers]

    def at_end(self, steps: int, steps_left: int) -> float:
        """The lag that the last step will leave: 0 without layers that learn.

        As Adam corrects its averages: where an average holds w = m^steps of its start, what it averaged lies
        (now - start) / (1 - w) from the start, and m^(steps + steps_left) of that way will be missing. Noise of a
        single batch, which a difference of two statistics would show, hardly counts.

        Args:
          steps: since this was made, at least 1.
          steps_left: of the training.

        Returns:
          The largest of the layers' lags: the mean over channels of |difference of means| / standard deviation or of
          |difference of log variances| / 2, whichever is larger.
        """
        return max(
            (_lag(layer, start, steps, steps_left) for layer, start in zip(self._layers, self._start, strict=True)),
            default=0.0,
        )

    def warning(self, steps: int, steps_left: int) -> str | None:
        """What to tell the user of a lag that is far; None without one."""
        if self.at_end(steps, steps_left) < _FAR:
            return None
        momentum = max(layer.momentum for layer in self._layers)
        enough = math.floor(100 * _LEFT_AT_MOST ** (1.0 / (steps + steps_left))) / 100
        return (
            "WARNING: the moving statistics of batch normalisation lag far behind the batches' and still will when the "
            "training ends: what is evaluated and exported detects worse than what is trained. A momentum of "
            f"{momentum:g} is too slow for {steps + steps_left} steps: set model.options.batch_norm_momentum to "
            f"{enough:g} or less, or raise train.steps"
        )


def _statistics(layer: keras.layers.BatchNormalization) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return layer.moving_mean.numpy(), layer.moving_variance.numpy()


def _lag(
    layer: keras.layers.BatchNormalization,
    start: tuple[NDArray[np.float32], NDArray[np.float32]],
    steps: int,
    steps_left: int,
) -> float:
    left_now, left_at_end = layer.momentum**steps, layer.momentum ** (steps + steps_left)
    averaged, at_end = [], []
    for first, now in zip(start, _statistics(layer), strict=True):
        averaged.append(first + (now - first) / (1.0 - left_now))
        at_end.append(averaged[-1] + left_at_end * (first - averaged[-1]))
    variance = np.maximum(averaged[1], 0.0) + layer.epsilon
    means = np.abs(averaged[0] - at_end[0]) / np.sqrt(variance)  # [C]
    variances = np.abs(np.log((np.maximum(at_end[1], 0.0) + layer.epsilon) / variance)) / 2.0  # [C]
    return float(max(means.mean(), variances.mean()))
