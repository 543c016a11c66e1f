"""A convolution whose gradients are fast on a CPU: the two-stage detectors', between all channels of wide feature maps.

TensorFlow's CPU kernels for a convolution's gradients take two to four times as long as its forward pass: that of the
kernel at any size, that of the input where there are many small images (the second stage's hundreds of crops of a few
pixels). Every one of them can be written as operations that are fast: a 1x1 convolution is a matrix product; so is the
kernel's gradient; and the input's gradient, at stride 1, is itself a convolution with the flipped kernel.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("detector")
class DenseConv2D(keras.layers.Conv2D):
    """``keras.layers.Conv2D`` with the same numbers, variables and arguments, and faster gradients.

    Only for inputs [B, H, W, C] whose H and W are known.
    """

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Variable) -> tf.Tensor:
        weights = tf.convert_to_tensor(kernel)  # [kh, kw, C, D]
        if self.kernel_size == (1, 1):
            return _pointwise(inputs, weights, self.strides)
        is_plain = self.strides == (1, 1) and self.dilation_rate == (1, 1) and self.padding == "same"
        is_odd = all(side % 2 for side in self.kernel_size)
        if is_plain and is_odd and self.groups == 1:
            return _same_convolution(inputs, weights)
        outputs: tf.Tensor = super().convolution_op(inputs, kernel)
        return outputs


def _pointwise(inputs: tf.Tensor, kernel: tf.Tensor, strides: tuple[int, int]) -> tf.Tensor:
    """[K, h, w, C] by [1, 1, C, D] -> [K, ceil(h / sy), ceil(w / sx), D]."""
    sampled = inputs[:, :: strides[0], :: strides[1]] if strides != (1, 1) else inputs
    _, rows, columns, depth = sampled.shape
    products = tf.matmul(tf.reshape(sampled, (-1, depth)), kernel[0, 0])  # [K * h' * w', D]
    return tf.reshape(products, (-1, rows, columns, kernel.shape[-1]))


@tf.custom_gradient
def _same_convolution(
    inputs: tf.Tensor, kernel: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """Stride 1, odd sides, padding ``same``: [K, h, w, C] by [kh, kw, C, D] -> [K, h, w, D]."""

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        flipped = tf.transpose(tf.reverse(kernel, (0, 1)), (0, 1, 3, 2))  # [kh, kw, D, C]
        return tf.nn.conv2d(upstream, flipped, 1, "SAME"), _kernel_gradient(inputs, upstream, kernel.shape)

    return tf.nn.conv2d(inputs, kernel, 1, "SAME"), gradient


def _kernel_gradient(inputs: tf.Tensor, upstream: tf.Tensor, kernel_shape: tf.TensorShape) -> tf.Tensor:
    """[K, h, w, C] and [K, h, w, D] -> [kh, kw, C, D]: what every tap has read, times upstream, in one product."""
    kernel_rows, kernel_columns, _, depth = kernel_shape
    _, rows, columns, _ = inputs.shape
    margins = ((0, 0), (kernel_rows // 2, kernel_rows // 2), (kernel_columns // 2, kernel_columns // 2), (0, 0))
    padded = tf.pad(inputs, margins)  # [K, h + kh - 1, w + kw - 1, C]
    read = [
        padded[:, row : row + rows, column : column + columns]
        for row in range(kernel_rows)
        for column in range(kernel_columns)
    ]
    patches = tf.concat(read, axis=-1)  # [K, h, w, kh * kw * C]
    product = tf.matmul(
        tf.reshape(patches, (-1, patches.shape[-1])), tf.reshape(upstream, (-1, depth)), transpose_a=True
    )  # [kh * kw * C, D]
    return tf.reshape(product, kernel_shape)
