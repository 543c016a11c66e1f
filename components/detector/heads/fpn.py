"""The feature pyramid of FPNLite (Lin et al. 2017 with separable convolutions) and its weight-shared heads."""

from __future__ import annotations

import dataclasses
import math

import keras
import tensorflow as tf

from components.detector.backbones.mobilenet_v2 import ZooLayers
from components.detector.layers.batch_norm import FusedBatchNormalization
from components.detector.layers.cosine_similarity import CosineSeparableConv2D

_PREDICTOR_STDDEV = 0.01
"""Of the normal distribution that the predictors' last kernels start from: logits start at the class prior."""


def _he_normal(fan_in: int) -> keras.initializers.Initializer:
    """He et al. 2015, equation 10.

    The published configurations start every convolution here from a standard deviation of 0.01. That is far below the
    batch norms' epsilon: the signal is scaled down by about 10 in every layer, and thousands of steps go by before the
    heads learn anything. Runs of a few hundred steps need a start that keeps the signal's size.
    """
    return keras.initializers.RandomNormal(stddev=math.sqrt(2.0 / fan_in))


@keras.saving.register_keras_serializable("detector")
class UpsampleTwice(keras.layers.Layer):
    """[B, h, w, C] -> [B, 2h, 2w, C] by repeating every pixel."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        height, width = inputs.shape[1:3]
        return tf.raw_ops.ResizeNearestNeighbor(images=inputs, size=(2 * height, 2 * width))

    def compute_output_shape(self, input_shape: tuple[int | None, int, int, int]) -> tuple[int | None, int, int, int]:
        batch, height, width, channels = input_shape
        return batch, 2 * height, 2 * width, channels


@dataclasses.dataclass(frozen=True)
class ConvSettings:
    """What all convolutions after the backbone share."""

    depth: int
    batch_norm_momentum: float
    l2: float

    def separable(
        self,
        filters: int,
        name: str,
        *,
        stride: int = 1,
        predictor_bias: float | None = None,
        cosine_scale: float | None = None,
    ) -> keras.layers.SeparableConv2D:
        """A 3 x 3 depthwise separable convolution of the pyramid's depth; a predictor when it has a bias.

        With a scale the pointwise half goes by cosines.
        """
        is_predictor = predictor_bias is not None
        by_cosines = {} if cosine_scale is None else {"scale": cosine_scale}
        layer = CosineSeparableConv2D if by_cosines else keras.layers.SeparableConv2D
        return layer(
            filters,
            3,
            **by_cosines,
            strides=stride,
            padding="same",
            use_bias=is_predictor,
            depthwise_initializer=_he_normal(3 * 3),
            pointwise_initializer=(
                keras.initializers.RandomNormal(stddev=_PREDICTOR_STDDEV) if is_predictor else _he_normal(self.depth)
            ),
            bias_initializer=keras.initializers.Constant(predictor_bias or 0.0),
            depthwise_regularizer=keras.regularizers.L2(self.l2),
            pointwise_regularizer=keras.regularizers.L2(self.l2),
            name=name,
        )

    def projection(self, name: str) -> keras.layers.Conv2D:
        """A 1 x 1 convolution with bias to the pyramid's depth."""
        return keras.layers.Conv2D(
            self.depth,
            1,
            kernel_initializer=keras.initializers.VarianceScaling(1.0, "fan_in", "untruncated_normal"),
            kernel_regularizer=keras.regularizers.L2(self.l2),
            name=name,
        )

    def batch_norm(self, name: str) -> FusedBatchNormalization:
        """Batch norm as configured."""
        return FusedBatchNormalization(momentum=self.batch_norm_momentum, epsilon=1e-3, name=name)


def fpn_lite(
    features: list[keras.KerasTensor], *, num_coarse_levels: int, settings: ConvSettings
) -> tuple[list[keras.KerasTensor], ZooLayers]:
    """Adds a top-down pyramid and coarser levels to a functional graph.

    Args:
      features: float32 [B, H / s, W / s, .] of each backbone level, finest first, each twice as fine as the next.
      num_coarse_levels: levels made by strided convolutions on top of the coarsest.
      settings: of the convolutions.

    Returns:
      float32 [B, ., ., depth] of each level, finest first; and the new layers.
    """
    extractor = "model/_feature_extractor"
    generator = f"{extractor}/_fpn_features_generator"
    layers: ZooLayers = {}

    def normalized_relu6(x: keras.KerasTensor, key: str, name: str) -> keras.KerasTensor:
        layers[key] = settings.batch_norm(f"{name}_bn")
        return keras.layers.ReLU(6.0, name=f"{name}_relu")(layers[key](x))

    layers[f"{generator}/top_layers/0"] = settings.projection("fpn_top")
    top_down = layers[f"{generator}/top_layers/0"](features[-1])  # [B, h, w, depth]
    levels = [top_down]
    for number, feature in enumerate(reversed(features[:-1])):
        name = f"fpn_{len(features) - 2 - number}"
        key = f"{generator}/residual_blocks/{number}/0"
        layers[key] = settings.projection(f"{name}_lateral")
        lateral = layers[key](feature)  # [B, 2h, 2w, depth]
        upsampled = UpsampleTwice(name=f"{name}_upsample")(top_down)  # [B, 2h, 2w, depth]
        top_down = keras.layers.Add(name=f"{name}_add")([lateral, upsampled])
        key = f"{generator}/conv_layers/{number}"
        layers[f"{key}/0"] = settings.separable(settings.depth, f"{name}_conv")
        # Unlike in the paper, what goes down to the next level is the smoothed map: so the checkpoints were trained.
        top_down = normalized_relu6(layers[f"{key}/0"](top_down), f"{key}/1", f"{name}_conv")
        levels.insert(0, top_down)
    coarse = levels[-1]
    for number in range(num_coarse_levels):
        key, name = f"{extractor}/_coarse_feature_layers/{number}", f"coarse_{number}"
        layers[f"{key}/0"] = settings.separable(settings.depth, name, stride=2)
        coarse = normalized_relu6(layers[f"{key}/0"](coarse), f"{key}/1", name)
        levels.append(coarse)
    return levels, layers


def weight_shared_heads(
    levels: list[keras.KerasTensor],
    *,
    num_layers: int,
    anchors_per_location: int,
    class_columns: int,
    class_prior_bias: float,
    cosine_scale: float | None,
    settings: ConvSettings,
) -> tuple[dict[str, keras.KerasTensor], ZooLayers]:
    """Adds the shared tower and the two predictors to a functional graph.

    Convolutions are shared by all levels and by both predictors; batch norms are not shared between levels.

    Args:
      levels: float32 [B, h, w, depth] of each level.
      num_layers: convolutions in the tower.
      anchors_per_location: A.
      class_columns: K, logits of an anchor (background included).
      class_prior_bias: what class biases start from.
      cosine_scale: of a class predictor by cosines; None for a linear one.
      settings: of the convolutions.

    Returns:
      ``box_encodings`` float32 [B, N, 4] and ``class_predictions_with_background`` float32 [B, N, K]; and the layers.
    """
    predictor = "model/_box_predictor"
    layers: ZooLayers = {}
    tower = []
    for number in range(num_layers):
        tower.append(settings.separable(settings.depth, f"tower_{number}"))
        layers[f"{predictor}/_head_scope_conv_layers/PredictionTower/{number}"] = tower[-1]
    box_head = settings.separable(4 * anchors_per_location, "box_head", predictor_bias=0.0)
    layers[f"{predictor}/_box_prediction_head/_box_encoder_layers/0"] = box_head
    class_head = settings.separable(
        class_columns * anchors_per_location, "class_head", predictor_bias=class_prior_bias, cosine_scale=cosine_scale
    )
    heads = f"{predictor}/_prediction_heads/class_predictions_with_background"
    layers[f"{heads}/_class_predictor_layers/0"] = class_head

    boxes, classes = [], []
    for level, x in enumerate(levels):
        for number, convolution in enumerate(tower):
            # The original's tower lists convolution, batch norm and activation in turn: batch norms are 1, 4, 7, ...
            key = f"{predictor}/_base_tower_layers_for_heads/box_encodings/{level}/{3 * number + 1}"
            layers[key] = settings.batch_norm(f"tower_{number}_level_{level}_bn")
            x = keras.layers.ReLU(6.0, name=f"tower_{number}_level_{level}_relu")(layers[key](convolution(x)))
        anchors = math.prod(x.shape[1:3]) * anchors_per_location
        boxes.append(keras.layers.Reshape((anchors, 4), name=f"boxes_level_{level}")(box_head(x)))
        classes.append(keras.layers.Reshape((anchors, class_columns), name=f"classes_level_{level}")(class_head(x)))
    predictions = {
        "box_encodings": keras.layers.Concatenate(axis=1, name="box_encodings")(boxes),  # [B, N, 4]
        "class_predictions_with_background": keras.layers.Concatenate(axis=1, name="classes")(classes),  # [B, N, K]
    }
    return predictions, layers
