"""One gradient step, compiled once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
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
        losses = self._run(batch)  # [parts]
        self._sums = losses if self._sums is None else self._sums + losses
        self._steps += 1

    def losses_are_finite(self) -> bool:
        """Whether no step since the last ``mean_losses`` had a loss that is infinite or not a number."""
        return self._sums is None or bool(tf.reduce_all(tf.math.is_finite(self._sums)))

    def mean_losses(self) -> dict[str, float]:
        """Means since the last call: loss parts, measures, and the ``total`` of the losses. Empty without a step."""
        if self._sums is None:
            return {}
        means = (self._sums.numpy() / self._steps).tolist()
        self._sums, self._steps = None, 0
        return dict(zip(self._names, means, strict=True))

    def _step(self, batch: Any) -> tf.Tensor:
        """One update; float32 [parts], the losses in the order of ``_names``."""
        with tf.GradientTape() as tape:
            losses = dict(self._losses(batch))
            total = tf.add_n([part for name, part in losses.items() if name not in self._measures])
            scaled = self._optimizer.scale_loss(total)
        gradients = tape.gradient(scaled, self._variables)
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))
        losses["total"] = total
        # Tracing tells the names. A variable to sum up in, made here, would have everything traced a second time.
        self._names = tuple(losses)
        return tf.stack([tf.cast(part, tf.float32) for part in losses.values()])
