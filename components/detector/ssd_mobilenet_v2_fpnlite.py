"""SSD MobileNet V2 FPNLite: MobileNetV2, a light feature pyramid, weight-shared separable heads, focal loss.

Numbers are those of ``ssd_mobilenet_v2_fpnlite_{320x320,640x640}_coco17_tpu-8``'s configurations, which differ in the
image's size only.
"""

from __future__ import annotations

from typing import Any, Final

import keras

from components.detector.backbones import mobilenet_v2
from components.detector.heads.fpn import ConvSettings, fpn_lite, weight_shared_heads
from components.detector.mobilenet_v2_ssd import MobileNetV2Ssd
from components.detector.ssd import SsdSettings
from components.detector.targets import anchors

DEFAULT_IMAGE_SIZE: Final = (320, 320)
_BACKBONE_LEVELS: Final = {"level_3": "block_5", "level_4": "block_12", "level_5": "out_relu"}
"""Layers that end the levels of strides 8, 16 and 32."""
_MIN_LEVEL: Final = 3
_NUM_COARSE_LEVELS: Final = 2
_ASPECT_RATIOS: Final = (1.0, 2.0, 0.5)
_SCALES_PER_OCTAVE: Final = 2


class SsdMobileNetV2FpnLite(MobileNetV2Ssd):
    """See the module.

    Args:
      num_classes: classes, background not counted.
      image_size: (height, width) in pixels, multiples of 32.
      alpha: MobileNetV2's width multiplier.
      fpn_depth: channels of the pyramid and the heads.
      num_head_layers: convolutions of the heads' shared tower.
      anchor_scale: side of a level's smallest square anchor in strides: 4 makes 32, 64, ... 512 pixels. Objects of less
        than about half the smallest anchor are hardly matched; 2 suits data with many of them.
      batch_norm_momentum: of every moving statistic. 0.997 suits tens of thousands of steps; runs of a few hundred
        need about 0.95.
      l2: weight decay, as the factor on half the sum of squares (the configurations' convention).
      class_prior_bias: what the class biases start from; -4.6 is a probability of 0.01.
      focal_alpha: see :func:`losses.sigmoid_focal`.
      focal_gamma: likewise.
      score_threshold: detections score above it.
      iou_threshold: of non-maximum suppression.
      max_detections: for each image, and for each class.

    Raises:
      ValueError: an image size that is not a multiple of 32.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        image_size: tuple[int, int] = DEFAULT_IMAGE_SIZE,
        alpha: float = 1.0,
        fpn_depth: int = 128,
        num_head_layers: int = 4,
        anchor_scale: float = 4.0,
        batch_norm_momentum: float = 0.997,
        l2: float = 4e-5,
        class_prior_bias: float = -4.6,
        focal_alpha: float = 0.25,
        focal_gamma: float = 2.0,
        score_threshold: float = 1e-8,
        iou_threshold: float = 0.6,
        max_detections: int = 100,
        name: str = "ssd_mobilenet_v2_fpnlite",
    ) -> None:
        if any(side < 64 or side % 32 for side in image_size):
            raise ValueError(f"{name}: image sides must be multiples of 32 from 64 on, found {image_size}")
        images = keras.Input((*image_size, 3), name="images")
        backbone_maps, backbone = mobilenet_v2.mobilenet_v2_features(
            images, alpha=alpha, batch_norm_momentum=batch_norm_momentum, l2=l2 / 2
        )
        features = {level: backbone_maps[layer] for level, layer in _BACKBONE_LEVELS.items()}
        convolutions = ConvSettings(depth=fpn_depth, batch_norm_momentum=batch_norm_momentum, l2=l2 / 2)
        levels, pyramid = fpn_lite(list(features.values()), num_coarse_levels=_NUM_COARSE_LEVELS, settings=convolutions)
        predictions, heads = weight_shared_heads(
            levels,
            num_layers=num_head_layers,
            anchors_per_location=len(_ASPECT_RATIOS) * _SCALES_PER_OCTAVE,
            class_columns=num_classes + 1,
            class_prior_bias=class_prior_bias,
            settings=convolutions,
        )
        super().__init__(
            num_classes=num_classes,
            image_size=image_size,
            settings=SsdSettings(
                focal_alpha=focal_alpha,
                focal_gamma=focal_gamma,
                score_threshold=score_threshold,
                iou_threshold=iou_threshold,
                max_detections_per_class=max_detections,
                max_detections=max_detections,
            ),
            images=images,
            features=features,
            predictions=predictions,
            anchors_yxyx_normalized=anchors.multiscale_anchors(
                [tuple(level.shape[1:3]) for level in levels],
                image_size,
                min_level=_MIN_LEVEL,
                anchor_scale=anchor_scale,
                aspect_ratios=_ASPECT_RATIOS,
                scales_per_octave=_SCALES_PER_OCTAVE,
            ),
            alpha=alpha,
            backbone=backbone,
            zoo_layers=pyramid | heads,
            name=name,
        )


def build(
    name: str, *, num_classes: int, image_size: tuple[int, int] | None = None, **options: Any
) -> SsdMobileNetV2FpnLite:
    """For the registry; options are the class's arguments."""
    return SsdMobileNetV2FpnLite(
        num_classes=num_classes, image_size=image_size or DEFAULT_IMAGE_SIZE, name=name, **options
    )
