"""The gradient reversal layer, and its opposite."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def scale_gradient(values: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """The values as they are; the gradient that flows back through them is multiplied.

    With a negative factor it is the gradient reversal layer (Ganin and Lempitsky 2015, "Unsupervised Domain Adaptation
    by Backpropagation", equations 7 and 8): what lies before it learns the opposite of what lies behind it.

    Args:
      values: float [...].
      factor: float scalar [].

    Returns:
      float [...], the values.
    """

    @tf.custom_gradient
    def scaled(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return tf.identity(x), lambda upstream: upstream * tf.cast(factor, upstream.dtype)

    return scaled(values)
