"""The bidirectional feature pyramid of EfficientDet (Tan et al. 2020, section 3), nodes numbered as in the zoo."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import keras
import tensorflow as tf

from components.detector.layers.batch_norm import FusedBatchNormalization
from components.detector.layers.swish import Swish

Combine = Literal["fast_attention", "sum"]

_EPSILON: Final = 1e-4
"""Added to the sum of the fusion weights, as in the paper."""
L2_WEIGHT: Final = 4e-5 / 2
"""Factor of the squared kernels: the configurations' 4e-5 is a factor of half the square."""


@keras.saving.register_keras_serializable("detector")
class FastAttentionSum(keras.layers.Layer):
    """Weighted mean of feature maps with learnt non-negative weights ("fast normalized fusion", equation in 3.3).

    ``sum_i relu(w_i) x_i / (sum_j relu(w_j) + 0.0001)`` over a list of float32 [B, H, W, C].
    """

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        # The second axis is the zoo's: it multiplies stacked maps with a matrix.
        self.fusion_weights = self.add_weight(
            shape=(len(input_shape), 1), initializer="ones", name="bifpn_combine_weights"
        )
        self.built = True

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        weights = tf.nn.relu(tf.convert_to_tensor(self.fusion_weights)[:, 0])  # [K]
        weights = tf.unstack(weights / (tf.reduce_sum(weights) + _EPSILON))
        fused: tf.Tensor = tf.add_n([weight * feature for weight, feature in zip(weights, inputs, strict=True)])
        return fused  # [B, H, W, C]

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return input_shape[0]


@keras.saving.register_keras_serializable("detector")
class NearestUpsampling(keras.layers.Layer):
    """Repeats every row and column: float32 [B, H, W, C] -> [B, 2 H, 2 W, C]; H and W must be known."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        height, width = inputs.shape[1:3]
        repeated: tf.Tensor = tf.raw_ops.ResizeNearestNeighbor(images=inputs, size=(2 * height, 2 * width))
        return repeated  # [B, 2 H, 2 W, C]

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        batch, height, width, channels = input_shape
        return batch, 2 * height, 2 * width, channels


class _Node(NamedTuple):
    """A feature map of the pyramid."""

    level: int
    features: keras.KerasTensor
    is_backbone: bool


class BiFpn(NamedTuple):
    """A pyramid added to a functional graph.

    Attributes:
      levels: outputs, finest first: float32 [B, H / 2**level, W / 2**level, filters].
      zoo_layers: layers with weights by their key below ``_bifpn_stage``.
    """

    levels: list[keras.KerasTensor]
    zoo_layers: dict[str, keras.layers.Layer]


class _Builder:
    def __init__(self, filters: int, combine: Combine, momentum: float) -> None:
        self._filters = filters
        self._combine = combine
        self._momentum = momentum
        self._count = 0
        self.zoo_layers: dict[str, keras.layers.Layer] = {}

    def node(self, level: int, inputs: list[_Node], *, iteration: int, direction: str) -> _Node:
        """Resamples the inputs to ``level``, fuses them, then swish, separable convolution and batch norm.

        A node with one input only resamples it.
        """
        number, name = self._count, f"bifpn_{iteration}_{direction}_{level}"
        self._count += 1
        maps = []
        for i, node in enumerate(inputs):
            key = f"node_input_blocks/{number}/{i}/1"
            maps.append(self._resample(node, level, f"{name}_input_{i}", key))
        if len(maps) == 1:
            return _Node(level, maps[0], is_backbone=False)
        if self._combine == "sum":
            x = keras.layers.Add(name=f"{name}_combine")(maps)
        else:
            fuse = FastAttentionSum(name=f"{name}_combine")
            self.zoo_layers[f"node_combine_op/{number}"] = fuse
            x = fuse(maps)
        x = Swish(name=f"{name}_activation")(x)
        initializer = {"class_name": "TruncatedNormal", "config": {"stddev": 0.03}}
        regularizer = keras.regularizers.L2(L2_WEIGHT)
        conv = keras.layers.SeparableConv2D(
            self._filters,
            3,
            padding="same",
            depthwise_initializer=initializer,
            pointwise_initializer=initializer,
            depthwise_regularizer=regularizer,
            pointwise_regularizer=regularizer,
            name=f"{name}_conv",
        )
        norm = self._norm(f"{name}_bn")
        self.zoo_layers[f"node_post_combine_block/{number}/1"] = conv
        self.zoo_layers[f"node_post_combine_block/{number}/2"] = norm
        return _Node(level, norm(conv(x)), is_backbone=False)

    def _resample(self, node: _Node, level: int, name: str, key: str) -> keras.KerasTensor:
        x = node.features
        if node.is_backbone:
            conv = keras.layers.Conv2D(
                self._filters,
                1,
                kernel_initializer={"class_name": "TruncatedNormal", "config": {"stddev": 0.03}},
                kernel_regularizer=keras.regularizers.L2(L2_WEIGHT),
                name=f"{name}_conv",
            )
            norm = self._norm(f"{name}_bn")
            self.zoo_layers[f"{key}/0"], self.zoo_layers[f"{key}/1"] = conv, norm
            x = norm(conv(x))
        if level > node.level:
            return keras.layers.MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(x)
        if level < node.level:
            return NearestUpsampling(name=f"{name}_upsample")(x)
        return x

    def _norm(self, name: str) -> FusedBatchNormalization:
        return FusedBatchNormalization(momentum=self._momentum, epsilon=1e-3, name=name)


def build_bifpn(
    backbone_levels: dict[int, keras.KerasTensor],
    *,
    max_level: int,
    filters: int,
    iterations: int,
    combine: Combine,
    batch_norm_momentum: float,
) -> BiFpn:
    """Adds the pyramid to the graph of ``backbone_levels``.

    Args:
      backbone_levels: float32 [B, H / 2**level, W / 2**level, C_level] by level, consecutive levels; every side must be
        a multiple of the next level's times 2 up to ``max_level``.
      max_level: coarsest level of the pyramid; levels that the backbone lacks are pooled from its coarsest.
      filters: channels of every output.
      iterations: top-down and bottom-up passes.
      combine: how a node fuses its inputs; the zoo's D6 and D7 add them unweighted.
      batch_norm_momentum: of the moving statistics.
    """
    builder = _Builder(filters, combine, batch_norm_momentum)
    min_level = min(backbone_levels)
    up = {level: _Node(level, features, is_backbone=True) for level, features in backbone_levels.items()}
    for level in range(max(backbone_levels) + 1, max_level + 1):
        up[level] = builder.node(level, [up[level - 1]], iteration=0, direction="up")
    for iteration in range(1, iterations + 1):
        down = {max_level: up[max_level]}
        for level in range(max_level - 1, min_level - 1, -1):
            inputs = [up[level], down[level + 1]]
            down[level] = builder.node(level, inputs, iteration=iteration, direction="down")
        # The finest level has no bottom-up node: its top-down node is both the output and the next pass's input.
        previous, up = up, {min_level: down[min_level]}
        for level in range(min_level + 1, max_level + 1):
            inputs = [previous[level], *([down[level]] if level < max_level else []), up[level - 1]]
            up[level] = builder.node(level, inputs, iteration=iteration, direction="up")
    return BiFpn([up[level].features for level in range(min_level, max_level + 1)], builder.zoo_layers)
