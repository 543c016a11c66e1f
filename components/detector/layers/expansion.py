"""The convolution that widens an inverted residual block, and its batch normalisation, as one matrix product.

A network of inverted residuals (MobileNetV2, EfficientNet) has its largest activations behind the 1x1 convolutions that
expand them, six times as wide as what they read. On a CPU normalising them takes longer than making them: statistics,
normalisation and both of their gradients read and write all of it, again and again.

None of that is needed where the convolution is linear and without bias: the mean and the variance of ``x @ W`` follow
from the mean and the covariance of the narrow ``x``, ``W' cov(x) W``, and normalisation is a factor on ``W``'s columns
and an offset. What is wide is then written once, by the product. The gradients come the same way. The numbers are those
of convolution and batch normalisation, but for rounding.

The convolution keeps its kernel and the normalisation its variables, so that checkpoints, transfer and freezing know
the two layers as they know them elsewhere; the first hands its input and its kernel to the second.
"""

from __future__ import annotations

from typing import Any, Final

import keras
import tensorflow as tf

from components.detector.layers.batch_norm import (
    normalize_with_batch_statistics,
    normalize_with_moving_statistics,
    update_moving_statistics,
)

_POSITIONS_PER_CHANNEL: Final = 4
"""The covariance pays off where a channel of the input has at least so many positions in an image."""


@keras.saving.register_keras_serializable("detector")
class ExpansionConv2D(keras.layers.Conv2D):
    """A 1x1 convolution without bias that leaves the work to the :class:`ExpansionBatchNormalization` behind it.

    Called on float32 [B, H, W, C] it returns that and its kernel, float32 [1, 1, C, F].
    """

    def __init__(self, filters: int, **options: Any) -> None:
        super().__init__(filters, 1, **(options | {"use_bias": False}))

    def call(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return inputs, tf.convert_to_tensor(self.kernel)

    def compute_output_spec(self, inputs: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        kernel = keras.KerasTensor((1, 1, inputs.shape[-1], self.filters), self.compute_dtype)
        return keras.KerasTensor(inputs.shape, self.compute_dtype), kernel

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return {key: value for key, value in config.items() if key not in ("kernel_size", "use_bias")}


@keras.saving.register_keras_serializable("detector")
class ExpansionBatchNormalization(keras.layers.BatchNormalization):
    """``keras.layers.BatchNormalization`` of an :class:`ExpansionConv2D`, which it also computes.

    Called on that layer's two outputs; H and W must be known. Variables, ``trainable = False`` and the unbiased moving
    variance are as in :class:`batch_norm.FusedBatchNormalization`.
    """

    def build(self, inputs_shape: tuple[int | None, ...], kernel_shape: tuple[int | None, ...]) -> None:
        super().build((*inputs_shape[:-1], kernel_shape[-1]))
        # Keras expects what is normalised as the input.
        self.input_spec = None

    def call(self, inputs: tf.Tensor, kernel: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not training:
            # A convolution and the fused kernel are what graph optimisation merges into one operation.
            return normalize_with_moving_statistics(self, tf.nn.conv2d(inputs, kernel, 1, "SAME"))
        height, width, channels = inputs.shape[1:]
        flat = tf.reshape(inputs, (-1, channels))  # [N, C], N = B * H * W
        weights = kernel[0, 0]  # [C, F]

        def as_images(product: tf.Tensor) -> tf.Tensor:
            return tf.reshape(product, (-1, height, width, kernel.shape[-1]))  # [B, H, W, F]

        if not self.trainable:
            scale = self._scale(self.moving_variance)  # [F]
            offset = tf.cast(self.beta - self.moving_mean * scale, inputs.dtype)
            return as_images(tf.nn.bias_add(tf.matmul(flat, weights * tf.cast(scale, inputs.dtype)), offset))
        if height * width < _POSITIONS_PER_CHANNEL * channels:
            return normalize_with_batch_statistics(self, as_images(tf.matmul(flat, weights)))
        exact, exact_weights = tf.cast(flat, tf.float32), tf.cast(weights, tf.float32)
        count = tf.cast(tf.shape(flat)[0], tf.float32)
        mean = tf.reduce_mean(exact, axis=0)  # [C]
        centred = exact - mean  # [N, C]
        covariance = tf.matmul(centred, centred, transpose_a=True) / count  # [C, C]
        variance = tf.reduce_sum(exact_weights * tf.matmul(covariance, exact_weights), axis=0)  # [F]
        convolved_mean = tf.linalg.matvec(exact_weights, mean, transpose_a=True)  # [F]
        update_moving_statistics(self, convolved_mean, variance * count / (count - 1.0))
        scaled = tf.cast(exact_weights * self._scale(variance), inputs.dtype)  # [C, F]
        product = tf.matmul(tf.cast(centred, inputs.dtype), scaled)  # [N, F]
        return as_images(tf.nn.bias_add(product, tf.cast(self.beta, inputs.dtype)))

    def compute_output_spec(
        self, inputs: keras.KerasTensor, kernel: keras.KerasTensor, training: bool | None = None
    ) -> keras.KerasTensor:
        return keras.KerasTensor((*inputs.shape[:-1], kernel.shape[-1]), self.compute_dtype)

    def _scale(self, variance: tf.Tensor) -> tf.Tensor:
        """float32 [F]: what normalisation multiplies with."""
        return tf.cast(self.gamma, tf.float32) * tf.math.rsqrt(tf.cast(variance, tf.float32) + self.epsilon)
