"""1 x 1 convolution as a matrix product, with the channel gates of squeeze-and-excitation folded into its kernel."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from components.detector.layers.other_runtimes import is_for_other_runtimes


@keras.saving.register_keras_serializable("detector")
class PointwiseConv2D(keras.layers.Conv2D):
    """``keras.layers.Conv2D`` of kernel size and stride 1 without bias, over float32 [B, H, W, C] with H and W known.

    Variables are those of the Keras layer. Called with ``gate``, float32 [B, 1, 1, C], it convolves ``inputs * gate``
    without ever making that product: each image has its own kernel, ``gate`` times the kernel's rows. That takes four
    passes over the widest activations of the network out of a training step. Other runtimes have fast kernels, and some
    for 8-bit integers, where a convolution's kernel is a constant: for them it is that, of the product.

    Raises:
      ValueError: other arguments of the Keras layer that change what is computed.
    """

    def __init__(self, filters: int, **options: Any) -> None:
        super().__init__(filters, 1, **(options | {"use_bias": False}))
        if self.strides != (1, 1) or self.groups != 1 or self.activation is not keras.activations.linear:
            raise ValueError(f"{self.name}: a pointwise convolution has no strides, groups or activation of its own")

    def call(self, inputs: tf.Tensor, gate: tf.Tensor | None = None, training: bool | None = None) -> tf.Tensor:
        kernel = tf.convert_to_tensor(self.kernel)[0, 0]  # [C, F]
        height, width, channels = inputs.shape[1:]
        if gate is not None and is_for_other_runtimes():
            inputs, gate = inputs * gate, None
        if gate is not None:
            kernel = gate[:, 0, 0, :, tf.newaxis] * kernel  # [B, C, F]
            product = tf.matmul(tf.reshape(inputs, (-1, height * width, channels)), kernel)  # [B, H * W, F]
        elif training:
            # The kernel gradient of a matrix product is faster than that of the convolution.
            product = tf.matmul(tf.reshape(inputs, (-1, channels)), kernel)  # [B * H * W, F]
        else:
            # A convolution is what graph optimisation can merge with the batch normalisation that follows.
            convolved: tf.Tensor = super().call(inputs)
            return convolved
        reshaped: tf.Tensor = tf.reshape(product, (-1, height, width, self.filters))
        return reshaped  # [B, H, W, F]

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return {key: value for key, value in config.items() if key not in ("kernel_size", "use_bias")}
