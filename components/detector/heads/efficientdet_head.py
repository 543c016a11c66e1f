"""EfficientDet's box and class towers: convolutions shared by all levels, batch normalisation of each level's own."""

from __future__ import annotations

from typing import NamedTuple

import keras

from components.detector.heads.bifpn import L2_WEIGHT
from components.detector.layers.batch_norm import FusedBatchNormalization
from components.detector.layers.cosine_similarity import CosineSeparableConv2D
from components.detector.layers.swish import Swish


class TowerKeys(NamedTuple):
    """Where the zoo's checkpoints keep a tower, below ``_box_predictor``."""

    norms: str
    convolutions: str
    predictor: str


BOX_KEYS = TowerKeys(
    "_base_tower_layers_for_heads/box_encodings",
    "_head_scope_conv_layers/BoxPredictionTower",
    "_box_prediction_head/_box_encoder_layers/0",
)
CLASS_KEYS = TowerKeys(
    "_base_tower_layers_for_heads/class_predictions_with_background",
    "_head_scope_conv_layers/ClassPredictionTower",
    "_prediction_heads/class_predictions_with_background/_class_predictor_layers/0",
)


class Head(NamedTuple):
    """A head added to a functional graph.

    Attributes:
      outputs: float32 [B, N, values], anchors of the finest level first.
      zoo_layers: layers with weights by their key below ``_box_predictor``.
    """

    outputs: keras.KerasTensor
    zoo_layers: dict[str, keras.layers.Layer]


def build_head(
    levels: list[keras.KerasTensor],
    *,
    name: str,
    keys: TowerKeys,
    num_layers: int,
    anchors_per_location: int,
    values: int,
    bias: float,
    cosine_scale: float | None,
    batch_norm_momentum: float,
) -> Head:
    """Adds one tower and its predictor to the graph of ``levels``.

    Each tower layer is a separable convolution with bias, batch normalisation and swish (RetinaNet's head, section 4 of
    Lin et al. 2017, as the published EfficientDet configurations change it).

    Args:
      levels: float32 [B, H_level, W_level, C] each, finest first, C alike.
      name: first part of the layers' names.
      keys: the tower's place in a zoo checkpoint.
      num_layers: tower layers before the predictor.
      anchors_per_location: anchors at each location.
      values: outputs of each anchor.
      bias: initial value of the predictor's bias.
      cosine_scale: of a predictor by cosines; None for a linear one.
      batch_norm_momentum: of the moving statistics.
    """
    depth = levels[0].shape[-1]
    zoo_layers: dict[str, keras.layers.Layer] = {}
    convolutions = []
    for i in range(num_layers):
        # The configurations' initialiser and regulariser reach the depthwise kernels only.
        conv = keras.layers.SeparableConv2D(
            depth,
            3,
            padding="same",
            depthwise_initializer={"class_name": "RandomNormal", "config": {"stddev": 0.01}},
            depthwise_regularizer=keras.regularizers.L2(L2_WEIGHT),
            name=f"{name}_{i}_conv",
        )
        convolutions.append(conv)
        zoo_layers[f"{keys.convolutions}/{i}"] = conv
    by_cosines = {} if cosine_scale is None else {"scale": cosine_scale}
    layer = CosineSeparableConv2D if by_cosines else keras.layers.SeparableConv2D
    predictor = layer(
        anchors_per_location * values,
        3,
        **by_cosines,
        padding="same",
        bias_initializer=keras.initializers.Constant(bias),
        name=f"{name}_predictor",
    )
    zoo_layers[keys.predictor] = predictor
    outputs = []
    for level, x in enumerate(levels):
        for i, conv in enumerate(convolutions):
            norm = FusedBatchNormalization(
                momentum=batch_norm_momentum, epsilon=1e-3, name=f"{name}_{i}_level_{level}_bn"
            )
            # Three entries a layer: convolution, normalisation, activation.
            zoo_layers[f"{keys.norms}/{level}/{3 * i + 1}"] = norm
            x = Swish(name=f"{name}_{i}_level_{level}_activation")(norm(conv(x)))
        outputs.append(keras.layers.Reshape((-1, values), name=f"{name}_level_{level}")(predictor(x)))  # [B, n, values]
    return Head(keras.layers.Concatenate(axis=1, name=name)(outputs), zoo_layers)
