"""Adam as one operation for each variable."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

_BETAS = (0.9, 0.999)


class FusedAdam:
    """Learns what ``keras.optimizers.Adam`` does, whose forty operations a variable are half of a small training step.

    Args:
      variables: what learns.
      learning_rate: of all of it.
    """

    def __init__(self, variables: Sequence[keras.Variable], learning_rate: float) -> None:
        self._variables = [variable.value for variable in variables]
        self._learning_rate = learning_rate
        self._moments = [tuple(tf.Variable(tf.zeros_like(v)) for _ in _BETAS) for v in self._variables]
        self._powers = [tf.Variable(beta) for beta in _BETAS]

    def apply(self, gradients: Sequence[tf.Tensor]) -> None:
        """One step, given one gradient for each variable."""
        for variable, (first, second), gradient in zip(self._variables, self._moments, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=first.handle,
                v=second.handle,
                beta1_power=self._powers[0],
                beta2_power=self._powers[1],
                lr=self._learning_rate,
                beta1=_BETAS[0],
                beta2=_BETAS[1],
                epsilon=1e-7,
                grad=gradient,
            )
        for power, beta in zip(self._powers, _BETAS, strict=True):
            power.assign(power * beta)
