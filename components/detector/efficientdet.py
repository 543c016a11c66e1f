"""EfficientDet D0-D7 (Tan et al. 2020) as the TF2 Detection Zoo configures, trains and stores them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from components.detector.backbones.efficientnet import build_classifier_rest, build_efficientnet, copy_imagenet_weights
from components.detector.backbones.mobilenet_v2 import zoo_variable_name
from components.detector.heads.bifpn import Combine, build_bifpn
from components.detector.heads.efficientdet_head import BOX_KEYS, CLASS_KEYS, build_head
from components.detector.options import DetectorOptions, EfficientDetOptions
from components.detector.ssd import SingleShotDetector
from components.detector.targets.anchors import AnchorLevel, multiscale_levels
from components.detector.targets.boxes import ScaleFactors
from schema.device_model import Resizing


class EfficientDetSize(NamedTuple):
    """What the published configurations change from D0 to D7 (compound scaling, table 1)."""

    backbone: str
    image_side_pixels: int
    bifpn_filters: int
    bifpn_iterations: int
    head_layers: int
    combine: Combine = "fast_attention"


SIZES: Final[Mapping[str, EfficientDetSize]] = {
    "efficientdet_d0": EfficientDetSize("B0", 512, 64, 3, 3),
    "efficientdet_d1": EfficientDetSize("B1", 640, 88, 4, 3),
    "efficientdet_d2": EfficientDetSize("B2", 768, 112, 5, 3),
    "efficientdet_d3": EfficientDetSize("B3", 896, 160, 6, 4),
    "efficientdet_d4": EfficientDetSize("B4", 1024, 224, 7, 4),
    "efficientdet_d5": EfficientDetSize("B5", 1280, 288, 7, 4),
    "efficientdet_d6": EfficientDetSize("B6", 1408, 384, 8, 5, "sum"),
    "efficientdet_d7": EfficientDetSize("B6", 1536, 384, 8, 5, "sum"),
}

MIN_LEVEL: Final = 3
MAX_LEVEL: Final = 7
_SCALES_PER_OCTAVE: Final = 3
_ASPECT_RATIOS: Final = 3
_FOCAL_ALPHA: Final = 0.25
_FOCAL_GAMMA: Final = 1.5
_CLASS_BIAS: Final = -4.6
"""Every anchor starts with a score of 1 %, so that background does not swamp the first steps."""

_MEAN_RGB: Final = (0.485 * 255.0, 0.456 * 255.0, 0.406 * 255.0)
_STDDEV_RGB: Final = (0.229 * 255.0, 0.224 * 255.0, 0.225 * 255.0)


class EfficientDet(SingleShotDetector):
    """EfficientNet backbone, bidirectional feature pyramid, and box and class towers shared by its levels.

    Class logits have no background column. See ``EfficientDetOptions``.

    Raises:
      ValueError: an image size that is not square, or a side that the pyramid cannot halve down to its coarsest level.
    """

    options: EfficientDetOptions

    def __init__(
        self, *, name: str, num_classes: int, image_size: tuple[int, int], options: EfficientDetOptions
    ) -> None:
        side = image_size[0]
        if side != image_size[1]:
            raise ValueError(f"{name}: image_size must be square (images are padded), found {image_size}")
        if side < 2**MAX_LEVEL or side % 2**MAX_LEVEL:
            raise ValueError(f"{name}: image_size must be a multiple of {2**MAX_LEVEL} pixels, found {side}")
        size = SIZES[name]
        images = keras.Input((side, side, 3), name="images")
        backbone = build_efficientnet(
            size.backbone,
            image_size=image_size,
            batch_norm_momentum=options.statistics_momentum,
            drop_connect_rate=options.drop_connect_rate,
        )
        levels = dict(enumerate(backbone(images), start=MIN_LEVEL))
        pyramid = build_bifpn(
            levels,
            max_level=MAX_LEVEL,
            filters=options.bifpn_filters or size.bifpn_filters,
            iterations=options.bifpn_iterations or size.bifpn_iterations,
            combine=size.combine,
            batch_norm_momentum=options.statistics_momentum,
        )
        box_head, class_head = (
            build_head(
                pyramid.levels,
                name=head,
                keys=keys,
                num_layers=options.head_layers or size.head_layers,
                anchors_per_location=_SCALES_PER_OCTAVE * _ASPECT_RATIOS,
                values=values,
                bias=bias,
                cosine_scale=scale,
                batch_norm_momentum=options.statistics_momentum,
            )
            for head, keys, values, bias, scale in (
                ("box_encodings", BOX_KEYS, 4, 0.0, None),
                ("class_predictions", CLASS_KEYS, num_classes, _CLASS_BIAS, options.class_scale),
            )
        )
        super().__init__(
            name=name,
            num_classes=num_classes,
            image_size=image_size,
            options=options,
            images=images,
            features={f"level_{level}": features for level, features in levels.items()},
            predictions={"box_encodings": box_head.outputs, "class_predictions_with_background": class_head.outputs},
            level_sizes=[(level.shape[1], level.shape[2]) for level in pyramid.levels],
            has_background=False,
            focal_alpha=_FOCAL_ALPHA,
            focal_gamma=_FOCAL_GAMMA,
            scale_factors=options.box_scale_factors,
        )
        self._variant = size.backbone
        self._backbone_name = backbone.name
        self._zoo_layer_names = {
            f"model/{part}/{key}": layer.name
            for part, layers in (
                ("_feature_extractor/_bifpn_stage", pyramid.zoo_layers),
                ("_box_predictor", box_head.zoo_layers),
                ("_box_predictor", class_head.zoo_layers),
            )
            for key, layer in layers.items()
        }

    @property
    def resizing(self) -> Resizing:
        """Padding has the mean colour: the zoo pads with 0 after normalising."""
        side = self.image_size[0]
        return Resizing(side, side, side, side, half_pixel_centers=False, padding_rgb=_MEAN_RGB)

    def anchor_levels(self, options: DetectorOptions) -> list[AnchorLevel]:
        chosen = options.anchors
        return multiscale_levels(
            self.level_sizes,
            self.image_size,
            min_level=MIN_LEVEL,
            anchor_scale=chosen["anchor_scale"],
            aspect_ratios=chosen["anchor_aspect_ratios"],
            scales_per_octave=_SCALES_PER_OCTAVE,
        )

    @classmethod
    def default_image_size(cls, name: str) -> tuple[int, int]:
        side = SIZES[name].image_side_pixels
        return (side, side)

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        return (images - tf.constant(_MEAN_RGB)) / tf.constant(_STDDEV_RGB)  # [B, H, W, 3]

    @property
    def backbone(self) -> keras.Model:
        """EfficientNet."""
        return self.network.get_layer(self._backbone_name)

    @property
    def backbone_layers(self) -> list[keras.layers.Layer]:
        return [layer for layer in self.backbone.layers if not isinstance(layer, keras.layers.InputLayer)]

    def load_imagenet_backbone(self, weights: str) -> list[keras.Variable]:
        return copy_imagenet_weights(self.backbone, self._variant, weights)

    def convert_box_encodings(self, scale_factors: ScaleFactors) -> bool:
        ratios = np.divide(self.scale_factors, scale_factors)  # [4]
        if np.all(ratios == 1.0):
            return False
        predictor = self.network.get_layer(self._zoo_layer_names[f"model/_box_predictor/{BOX_KEYS.predictor}"])
        for variable in (predictor.pointwise_kernel, predictor.bias):
            # The four encodings of an anchor lie side by side.
            variable.assign(variable * np.tile(ratios, variable.shape[-1] // 4).astype(np.float32))
        return True

    def zoo_variables(self) -> dict[str, keras.Variable]:
        variables = _numbered_variables("model/_feature_extractor/_efficientnet", self.backbone, first=0)
        # The zoo keeps the rest of the ImageNet classifier too. It is read and checked like everything else, but into
        # variables that are not part of the detector.
        variables |= _numbered_variables(
            "model/_feature_extractor/classification_backbone",
            build_classifier_rest(self._variant),
            first=sum(bool(layer.weights) for layer in self.backbone.layers),
        )
        for key, name in self._zoo_layer_names.items():
            layer = self.network.get_layer(name)
            variables |= {f"{key}/{zoo_variable_name(layer, variable)}": variable for variable in layer.weights}
        return variables


def _numbered_variables(prefix: str, model: keras.Model, *, first: int) -> dict[str, keras.Variable]:
    """Variables of a functional model as checkpoints number its layers with weights."""
    with_weights = [layer for layer in model.layers if layer.weights]
    return {
        f"{prefix}/layer_with_weights-{number}/{zoo_variable_name(layer, variable)}": variable
        for number, layer in enumerate(with_weights, start=first)
        for variable in layer.weights
    }
