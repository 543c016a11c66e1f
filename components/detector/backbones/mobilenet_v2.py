"""MobileNetV2 (Sandler et al. 2018) as the zoo's SSDs use it, layer for layer that of keras.applications.

Layers carry the names of keras.applications, so its ImageNet weights are copied by name; the zoo's checkpoints number
the same layers in the same order. Strided convolutions pad 'same', which equals the explicit padding there.
"""

from __future__ import annotations

from typing import Final

import keras

from components.detector.layers.batch_norm import FusedBatchNormalization
from components.detector.layers.expansion import ExpansionBatchNormalization, ExpansionConv2D

_BLOCKS: Final = (
    # filters, stride of each inverted residual block; blocks repeat as in table 2 of the paper.
    *((16, 1),),
    *((24, 2), (24, 1)),
    *((32, 2), (32, 1), (32, 1)),
    *((64, 2), (64, 1), (64, 1), (64, 1)),
    *((96, 1), (96, 1), (96, 1)),
    *((160, 2), (160, 1), (160, 1)),
    *((320, 1),),
)
_EXPANSION: Final = 6
_LAST_FILTERS: Final = 1280

ZooLayers = dict[str, keras.layers.Layer]
"""Layers by the checkpoint key of the layer (the variables' keys without their last part)."""


def _filters(base: float, divisor: int = 8) -> int:
    """Nearest multiple of ``divisor`` that is not more than 10 % below ``base``, as in the original."""
    rounded = max(divisor, int(base + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * base else rounded


def mobilenet_v2_features(
    images: keras.KerasTensor, *, alpha: float, batch_norm_momentum: float, l2: float
) -> tuple[dict[str, keras.KerasTensor], list[keras.layers.Layer]]:
    """Adds the network to a functional graph.

    Args:
      images: float32 [B, H, W, 3], -1..1.
      alpha: width multiplier; the last convolution keeps 1280 filters for ``alpha`` below 1, like keras.applications.
      batch_norm_momentum: of the moving statistics.
      l2: factor on the sum of squares of every kernel.

    Returns:
      Features by layer name: ``block_N_expand_relu`` and ``block_N`` (the block's output) for N in 0..16, and
      ``out_relu``; and the layers that have variables, from input to output.
    """
    layers: list[keras.layers.Layer] = []
    regularizer = keras.regularizers.L2(l2) if l2 else None

    def normalized(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        layers.append(FusedBatchNormalization(momentum=batch_norm_momentum, epsilon=1e-3, name=name))
        return layers[-1](x)

    def convolved(
        x: keras.KerasTensor, filters: int, name: str, kernel_size: int = 1, stride: int = 1
    ) -> keras.KerasTensor:
        layers.append(
            keras.layers.Conv2D(
                filters,
                kernel_size,
                strides=stride,
                padding="same",
                use_bias=False,
                kernel_regularizer=regularizer,
                name=name,
            )
        )
        return layers[-1](x)

    def expanded(x: keras.KerasTensor, filters: int, name: str, norm_name: str) -> keras.KerasTensor:
        """1x1 convolution to ``filters`` channels, normalised."""
        convolution = ExpansionConv2D(filters, kernel_regularizer=regularizer, name=name)
        norm = ExpansionBatchNormalization(momentum=batch_norm_momentum, epsilon=1e-3, name=norm_name)
        layers.extend([convolution, norm])
        return norm(*convolution(x))

    features: dict[str, keras.KerasTensor] = {}
    x = convolved(images, _filters(32 * alpha), "Conv1", kernel_size=3, stride=2)
    x = keras.layers.ReLU(6.0, name="Conv1_relu")(normalized(x, "bn_Conv1"))
    for index, (base_filters, stride) in enumerate(_BLOCKS):
        prefix = f"block_{index}_" if index else "expanded_conv_"
        inputs, channels = x, x.shape[-1]
        if index:
            x = expanded(x, _EXPANSION * channels, prefix + "expand", prefix + "expand_BN")
            x = keras.layers.ReLU(6.0, name=prefix + "expand_relu")(x)
            features[prefix + "expand_relu"] = x
        layers.append(
            keras.layers.DepthwiseConv2D(
                3,
                strides=stride,
                padding="same",
                use_bias=False,
                depthwise_regularizer=regularizer,
                name=prefix + "depthwise",
            )
        )
        x = normalized(layers[-1](x), prefix + "depthwise_BN")
        x = keras.layers.ReLU(6.0, name=prefix + "depthwise_relu")(x)
        filters = _filters(int(base_filters * alpha))
        x = normalized(convolved(x, filters, prefix + "project"), prefix + "project_BN")
        if stride == 1 and channels == filters:
            x = keras.layers.Add(name=prefix + "add")([inputs, x])
        features[f"block_{index}"] = x
    last_filters = _filters(_LAST_FILTERS * alpha) if alpha > 1.0 else _LAST_FILTERS
    x = normalized(convolved(x, last_filters, "Conv_1"), "Conv_1_bn")
    features["out_relu"] = keras.layers.ReLU(6.0, name="out_relu")(x)
    return features, layers


def zoo_backbone_variables(layers: list[keras.layers.Layer], prefix: str) -> dict[str, keras.Variable]:
    """Variables by checkpoint key ``PREFIX/layer_with_weights-N/NAME``, N counting the layers given."""
    return {
        f"{prefix}/layer_with_weights-{number}/{zoo_variable_name(layer, variable)}": variable
        for number, layer in enumerate(layers)
        for variable in layer.variables
    }


def zoo_variable_name(layer: keras.layers.Layer, variable: keras.Variable) -> str:
    """The last part of a variable's checkpoint key; Keras 3 calls a depthwise kernel just ``kernel``."""
    if isinstance(layer, keras.layers.DepthwiseConv2D) and variable.name == "kernel":
        return "depthwise_kernel"
    return str(variable.name)


def copy_imagenet_weights(layers: list[keras.layers.Layer], weights: str, alpha: float) -> list[keras.Variable]:
    """Copies keras.applications' MobileNetV2 into the given layers, matching layers by name.

    Args:
      layers: of :func:`mobilenet_v2_features`.
      weights: ``"imagenet"`` (downloaded by Keras), or the path of a ``no_top`` file of keras.applications.
      alpha: width multiplier; the weights must be of the same.

    Returns:
      The variables that were set: all of the given layers'.

    Raises:
      ValueError: Keras refuses the file; the message names it and what would fit.
    """
    try:
        source = keras.applications.MobileNetV2(
            input_shape=(224, 224, 3), alpha=alpha, include_top=False, weights=weights
        )
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"{weights}: not the weights of keras.applications.MobileNetV2 with alpha {alpha} and without top: {error}"
        ) from error
    for layer in layers:
        layer.set_weights(source.get_layer(layer.name).get_weights())
    return [variable for layer in layers for variable in layer.variables]
