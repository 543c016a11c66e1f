"""SSD MobileNet V2: six feature maps of falling resolution, each with its own 1 x 1 predictors.

Numbers are those of ``ssd_mobilenet_v2_320x320_coco17_tpu-8``'s configuration, which trains and serves at 300 x 300 and
learns with the focal loss (not with hard negative mining, as the first SSDs did).
"""

from __future__ import annotations

import functools
import math
from typing import Final

import keras

from components.detector.backbones import mobilenet_v2
from components.detector.backbones.mobilenet_v2 import ZooLayers
from components.detector.layers.batch_norm import FusedBatchNormalization
from components.detector.layers.cosine_similarity import CosineConv2D
from components.detector.mobilenet_v2_ssd import MobileNetV2Ssd
from components.detector.options import DetectorOptions, SsdMobileNetV2Options
from components.detector.targets import anchors

_BACKBONE_LEVELS: Final = {"level_4": "block_13_expand_relu", "level_5": "out_relu"}
"""Layers that end the levels of strides 16 and 32."""
_EXTRA_FILTERS: Final = (512, 256, 256, 128)
"""Channels of the feature maps made by strided convolutions."""
_PREDICTOR_STDDEV: Final = 0.01


def extra_feature_maps(
    features: keras.KerasTensor, *, batch_norm_momentum: float, l2: float
) -> tuple[list[keras.KerasTensor], ZooLayers]:
    """Adds the feature maps after the backbone's to a functional graph (SSD, section 2.1).

    Args:
      features: float32 [B, h, w, C], the backbone's last.
      batch_norm_momentum: of the moving statistics.
      l2: factor on the sum of squares of every kernel.

    Returns:
      Four feature maps, each half the size of the one before; and the new layers.
    """
    layers: ZooLayers = {}
    maps = []
    x = features
    # The original counts all feature maps; the first two are the backbone's.
    for number, filters in enumerate(_EXTRA_FILTERS, start=len(_BACKBONE_LEVELS)):
        # Position in the original's list (batch norms and activations are between), filters, kernel size, stride.
        steps = ((0, filters // 2, 1, 1), (3, filters, 3, 2))
        for position, step_filters, kernel_size, stride in steps:
            key, name = f"model/_feature_extractor/feature_map_generator/convolutions/{number}", f"extra_{number}"
            layers[f"{key}/{position}"] = keras.layers.Conv2D(
                step_filters,
                kernel_size,
                strides=stride,
                padding="same",
                use_bias=False,
                kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.03),
                kernel_regularizer=keras.regularizers.L2(l2),
                name=f"{name}_conv_{position}",
            )
            layers[f"{key}/{position + 1}"] = FusedBatchNormalization(
                momentum=batch_norm_momentum, epsilon=1e-3, name=f"{name}_bn_{position}"
            )
            x = layers[f"{key}/{position + 1}"](layers[f"{key}/{position}"](x))
            x = keras.layers.ReLU(6.0, name=f"{name}_relu_{position}")(x)
        maps.append(x)
    return maps, layers


class SsdMobileNetV2(MobileNetV2Ssd):
    """See the module, and ``SsdMobileNetV2Options``.

    Raises:
      ValueError: an image side below 33 pixels, which the original refuses too.
    """

    def __init__(
        self, *, name: str, num_classes: int, image_size: tuple[int, int], options: SsdMobileNetV2Options
    ) -> None:
        if min(image_size) < 33:
            raise ValueError(f"{name}: image sides must be at least 33 pixels, found {image_size}")
        images = keras.Input((*image_size, 3), name="images")
        backbone_maps, backbone = mobilenet_v2.mobilenet_v2_features(
            images, alpha=options.alpha, batch_norm_momentum=options.statistics_momentum, l2=options.l2 / 2
        )
        features = {level: backbone_maps[layer] for level, layer in _BACKBONE_LEVELS.items()}
        extra_maps, layers = extra_feature_maps(
            features["level_5"], batch_norm_momentum=options.statistics_momentum, l2=options.l2 / 2
        )
        maps = [*features.values(), *extra_maps]
        counts = anchors.ssd_anchor_counts(len(maps))
        pointwise = functools.partial(keras.layers.Conv2D, kernel_size=1)
        by_cosines = functools.partial(CosineConv2D, scale=options.cosine_scale)
        class_convolution = by_cosines if options.class_head == "cosine" else pointwise
        boxes: list[keras.KerasTensor] = []
        classes: list[keras.KerasTensor] = []
        for level, (x, count) in enumerate(zip(maps, counts, strict=True)):
            for head, columns, bias, convolution, outputs in (
                ("box_encodings", 4, 0.0, pointwise, boxes),
                (
                    "class_predictions_with_background",
                    num_classes + 1,
                    options.class_prior_bias,
                    class_convolution,
                    classes,
                ),
            ):
                layer = convolution(
                    count * columns,
                    kernel_initializer=keras.initializers.RandomNormal(stddev=_PREDICTOR_STDDEV),
                    bias_initializer=keras.initializers.Constant(bias),
                    kernel_regularizer=keras.regularizers.L2(options.l2 / 2),
                    name=f"{head}_head_{level}",
                )
                kind = "_box_encoder_layers" if head == "box_encodings" else "_class_predictor_layers"
                layers[f"model/_box_predictor/_prediction_heads/{head}/{level}/{kind}/0"] = layer
                rows = math.prod(x.shape[1:3]) * count
                outputs.append(keras.layers.Reshape((rows, columns), name=f"{head}_{level}")(layer(x)))
        predictions = {
            "box_encodings": keras.layers.Concatenate(axis=1, name="boxes")(boxes),  # [B, N, 4]
            "class_predictions_with_background": keras.layers.Concatenate(axis=1, name="classes")(classes),  # [B, N, K]
        }
        super().__init__(
            name=name,
            num_classes=num_classes,
            image_size=image_size,
            options=options,
            images=images,
            features=features,
            predictions=predictions,
            level_sizes=[tuple(x.shape[1:3]) for x in maps],
            backbone=backbone,
            zoo_layers=layers,
        )

    def anchor_levels(self, options: DetectorOptions) -> list[anchors.AnchorLevel]:
        chosen = options.anchors
        finest, coarsest = chosen["anchor_scales"]
        return anchors.ssd_levels(
            self.level_sizes,
            self.image_size,
            min_scale=finest,
            max_scale=coarsest,
            aspect_ratios=chosen["anchor_aspect_ratios"],
        )

    @classmethod
    def default_image_size(cls, name: str) -> tuple[int, int]:
        return (300, 300)
