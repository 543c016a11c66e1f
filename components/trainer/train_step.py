"""One gradient step, compiled once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class TrainStep:
    """Forward, losses, backward and update in one graph; sums up losses on the device.

    The sums are only fetched when somebody looks (``mean_losses``), so a step does not wait for its own result.

    Args:
      losses: of one batch, scalar float32 [] by name, as graph ops; their sum is minimised.
      variables: what learns.
      optimizer: built for them.
      element_spec: of the dataset of batches.
      measures: names among the losses that are not minimised.
    """

    def __init__(
        self,
        losses: Callable[[Any], dict[str, tf.Tensor]],
        variables: Sequence[keras.Variable],
        optimizer: keras.optimizers.Optimizer,
        element_spec: Any,
        measures: Sequence[str] = (),
    ) -> None:
        self._losses = losses
        self._variables = tuple(variables)
        self._optimizer = optimizer
        self._measures = frozenset(measures)
        self._names: tuple[str, ...] = ()
        self._sums: tf.Tensor | None = None
        self._steps = 0
        # Nothing here is Python control flow over tensors: AutoGraph would only cost seconds.
        self._run = tf.function(self._step, input_signature=[element_spec], autograph=False, jit_compile=False)

    def __call__(self, batch: Any) -> None:
        """Takes one step."""
        losses = self._run(batch)  # [parts + 1]
        self._sums = losses if self._sums is None else self._sums + losses
        self._steps += 1

    def non_finite(self) -> str | None:
        """What was infinite or not a number in a step since the last ``mean_losses``: the loss, or its gradient."""
        if self._sums is None:
            return None
        *losses, gradient = np.isfinite(self._sums.numpy()).tolist()
        return "loss" if not all(losses) else None if gradient else "gradient of the loss"

    def mean_losses(self) -> dict[str, float]:
        """Means since the last call: loss parts, measures, and the ``total`` of the losses. Empty without a step."""
        if self._sums is None:
            return {}
        means = (self._sums.numpy()[:-1] / self._steps).tolist()
        self._sums, self._steps = None, 0
        return dict(zip(self._names, means, strict=True))

    def _step(self, batch: Any) -> tf.Tensor:
        """One update; float32 [parts + 1], the losses in the order of ``_names`` and what ``_alarm`` says."""
        with tf.GradientTape() as tape:
            losses = dict(self._losses(batch))
            total = tf.add_n([part for name, part in losses.items() if name not in self._measures])
            scaled = self._optimizer.scale_loss(total)
        gradients = tape.gradient(scaled, self._variables)
        alarm = self._alarm(gradients)
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))
        losses["total"] = total
        # Tracing tells the names. A variable to sum up in, made here, would have everything traced a second time.
        self._names = tuple(losses)
        return tf.stack([*(tf.cast(part, tf.float32) for part in losses.values()), alarm])

    def _alarm(self, gradients: Sequence[tf.Tensor | None]) -> tf.Tensor:
        """float32 [], infinite or not a number when the gradients of an update are; one of them spoils every weight.

        A finite loss says nothing of them: a kernel's backward pass may fail where its forward pass does not.
        """
        norm = tf.cast(tf.linalg.global_norm(gradients), tf.float32)
        if isinstance(self._optimizer, keras.optimizers.LossScaleOptimizer):
            # It leaves such an update out and halves its scale, as it should until the scale fits. None ever does when
            # the scale is gone.
            return tf.where(self._optimizer.dynamic_scale >= 1.0, 0.0, norm)
        return norm
