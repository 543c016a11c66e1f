"""Layers that score by direction alone: a factor times the cosine between what they read and each column of the kernel.

A dot product also grows with the length of both vectors, and classes that were learnt from thousands of objects end up
with longer columns than those that were learnt from a few: they win where neither fits. With cosines all classes score
on one scale, which is what few-shot detection needs (Wang et al. 2020, "Frustratingly Simple Few-Shot Object
Detection", section 3.1, after Gidaris and Komodakis 2018).

Each layer has the variables of the Keras layer it stands for, the bias among them, so that checkpoints keep their keys
and shapes. With a bias of -4.6 (a sigmoid head's prior of 1 %) and a factor of 20, an anchor scores over one half from
a cosine of 0.23 on, and no anchor reaches a logit that the loss could not bring back.
"""

from __future__ import annotations

from typing import Any, Final

import keras
import tensorflow as tf

_EPSILON: Final = 1e-12
"""Below this squared length a vector counts as of length 1e-6: that of zeros has a cosine of 0 with everything."""


def unit_vectors(vectors: tf.Tensor, axis: int | tuple[int, ...]) -> tf.Tensor:
    """The same directions with length 1 over the axes; any shape and float type, lengths computed in float32."""
    exact = tf.cast(vectors, tf.float32)
    return tf.cast(tf.math.l2_normalize(exact, axis, epsilon=_EPSILON), vectors.dtype)


@keras.saving.register_keras_serializable("detector")
class CosineDense(keras.layers.Dense):
    """``keras.layers.Dense`` by cosines: float [..., C] -> [..., units].

    Args besides those of the Keras layer:
      scale: the factor.
    """

    def __init__(self, units: int, *, scale: float, **options: Any) -> None:
        super().__init__(units, **options)
        self.scale = scale

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        kernel = tf.convert_to_tensor(self.kernel)  # [C, units]
        cosines = tf.matmul(unit_vectors(inputs, -1), unit_vectors(kernel, 0))  # [..., units]
        return self.scale * cosines + tf.convert_to_tensor(self.bias)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"scale": self.scale}


@keras.saving.register_keras_serializable("detector")
class CosineConv2D(keras.layers.Conv2D):
    """A 1 x 1 ``keras.layers.Conv2D`` by cosines: float [B, H, W, C] -> [B, H, W, filters].

    Args besides those of the Keras layer:
      scale: the factor.
    """

    def __init__(self, filters: int, *, scale: float, **options: Any) -> None:
        super().__init__(filters, 1, **options)
        self.scale = scale

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        weights = unit_vectors(tf.convert_to_tensor(kernel), (0, 1, 2))  # [1, 1, C, filters]
        cosines: tf.Tensor = super().convolution_op(unit_vectors(inputs, -1), weights)
        return self.scale * cosines

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return {key: value for key, value in config.items() if key != "kernel_size"} | {"scale": self.scale}


@keras.saving.register_keras_serializable("detector")
class CosineSeparableConv2D(keras.layers.SeparableConv2D):
    """A ``keras.layers.SeparableConv2D`` of stride 1 whose pointwise half goes by cosines: float [B, H, W, C] -> [B, H,
    W, filters].

    Args besides those of the Keras layer:
      scale: the factor.
    """

    def __init__(self, filters: int, kernel_size: int | tuple[int, int], *, scale: float, **options: Any) -> None:
        super().__init__(filters, kernel_size, **options)
        self.scale = scale

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        depthwise = tf.nn.depthwise_conv2d(
            inputs, tf.convert_to_tensor(self.depthwise_kernel), (1, 1, 1, 1), self.padding.upper()
        )  # [B, H, W, C]
        weights = unit_vectors(tf.convert_to_tensor(self.pointwise_kernel), (0, 1, 2))  # [1, 1, C, filters]
        cosines = tf.nn.conv2d(unit_vectors(depthwise, -1), weights, 1, "VALID")  # [B, H, W, filters]
        return tf.nn.bias_add(self.scale * cosines, tf.convert_to_tensor(self.bias))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"scale": self.scale}
