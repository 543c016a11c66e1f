"""SSD MobileNet V2 FPNLite: MobileNetV2, a light feature pyramid, weight-shared separable heads, focal loss.

Numbers are those of ``ssd_mobilenet_v2_fpnlite_{320x320,640x640}_coco17_tpu-8``'s configurations, which differ in the
image's size only.
"""

from __future__ import annotations

from typing import Final

import keras

from components.detector.backbones import mobilenet_v2
from components.detector.heads.fpn import ConvSettings, fpn_lite, weight_shared_heads
from components.detector.mobilenet_v2_ssd import MobileNetV2Ssd
from components.detector.options import DetectorOptions, SsdMobileNetV2FpnliteOptions
from components.detector.targets import anchors

_BACKBONE_LEVELS: Final = {"level_3": "block_5", "level_4": "block_12", "level_5": "out_relu"}
"""Layers that end the levels of strides 8, 16 and 32."""
_MIN_LEVEL: Final = 3
_NUM_COARSE_LEVELS: Final = 2
_ASPECT_RATIOS: Final = 3
_SCALES_PER_OCTAVE: Final = 2


class SsdMobileNetV2FpnLite(MobileNetV2Ssd):
    """See the module, and ``SsdMobileNetV2FpnliteOptions``.

    Raises:
      ValueError: an image size that is not a multiple of 32.
    """

    def __init__(
        self, *, name: str, num_classes: int, image_size: tuple[int, int], options: SsdMobileNetV2FpnliteOptions
    ) -> None:
        if any(side < 64 or side % 32 for side in image_size):
            raise ValueError(f"{name}: image sides must be multiples of 32 from 64 on, found {image_size}")
        images = keras.Input((*image_size, 3), name="images")
        backbone_maps, backbone = mobilenet_v2.mobilenet_v2_features(
            images, alpha=options.alpha, batch_norm_momentum=options.statistics_momentum, l2=options.l2 / 2
        )
        features = {level: backbone_maps[layer] for level, layer in _BACKBONE_LEVELS.items()}
        convolutions = ConvSettings(
            depth=options.fpn_depth, batch_norm_momentum=options.statistics_momentum, l2=options.l2 / 2
        )
        levels, pyramid = fpn_lite(list(features.values()), num_coarse_levels=_NUM_COARSE_LEVELS, settings=convolutions)
        predictions, heads = weight_shared_heads(
            levels,
            num_layers=options.num_head_layers,
            anchors_per_location=_ASPECT_RATIOS * _SCALES_PER_OCTAVE,
            class_columns=num_classes + 1,
            class_prior_bias=options.class_prior_bias,
            cosine_scale=options.class_scale,
            settings=convolutions,
        )
        super().__init__(
            name=name,
            num_classes=num_classes,
            image_size=image_size,
            options=options,
            images=images,
            features=features,
            predictions=predictions,
            level_sizes=[tuple(level.shape[1:3]) for level in levels],
            backbone=backbone,
            zoo_layers=pyramid | heads,
        )

    def anchor_levels(self, options: DetectorOptions) -> list[anchors.AnchorLevel]:
        chosen = options.anchors
        return anchors.multiscale_levels(
            self.level_sizes,
            self.image_size,
            min_level=_MIN_LEVEL,
            anchor_scale=chosen["anchor_scale"],
            aspect_ratios=chosen["anchor_aspect_ratios"],
            scales_per_octave=_SCALES_PER_OCTAVE,
        )

    @classmethod
    def default_image_size(cls, name: str) -> tuple[int, int]:
        return (320, 320)
