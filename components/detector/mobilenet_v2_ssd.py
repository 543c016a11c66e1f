"""What the two SSDs on MobileNetV2 share: fixed-shape resizing, -1..1 input, ImageNet weights and checkpoint keys."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from components.detector.backbones import mobilenet_v2
from components.detector.backbones.mobilenet_v2 import ZooLayers, zoo_variable_name
from components.detector.options import SsdOptions
from components.detector.ssd import SingleShotDetector
from schema.device_model import Resizing

_BACKBONE_KEY = "model/_feature_extractor/classification_backbone"


class MobileNetV2Ssd(SingleShotDetector):
    """A single-shot detector around :func:`mobilenet_v2.mobilenet_v2_features`.

    Args besides those of :class:`SingleShotDetector`:
      backbone: MobileNetV2's layers.
      zoo_layers: all other layers that have variables.
    """

    options: SsdOptions

    def __init__(
        self,
        *,
        name: str,
        num_classes: int,
        image_size: tuple[int, int],
        options: SsdOptions,
        images: keras.KerasTensor,
        features: dict[str, keras.KerasTensor],
        predictions: dict[str, keras.KerasTensor],
        level_sizes: Sequence[tuple[int, int]],
        backbone: list[keras.layers.Layer],
        zoo_layers: ZooLayers,
    ) -> None:
        super().__init__(
            name=name,
            num_classes=num_classes,
            image_size=image_size,
            options=options,
            images=images,
            features=features,
            predictions=predictions,
            level_sizes=level_sizes,
            has_background=True,
            focal_alpha=options.focal_alpha,
            focal_gamma=options.focal_gamma,
        )
        # Names, not layers: a second reference to a layer would be saved under a second path.
        self._backbone_names = [layer.name for layer in backbone]
        self._zoo_layer_names = {key: layer.name for key, layer in zoo_layers.items()}

    @property
    def resizing(self) -> Resizing:
        return Resizing(*self.image_size, None, None, half_pixel_centers=False)

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        return images * (2.0 / 255.0) - 1.0  # [B, H, W, 3]

    @property
    def backbone_layers(self) -> list[keras.layers.Layer]:
        return [self.network.get_layer(name) for name in self._backbone_names]

    def load_imagenet_backbone(self, weights: str) -> list[keras.Variable]:
        return mobilenet_v2.copy_imagenet_weights(self.backbone_layers, weights, self.options.alpha)

    def zoo_variables(self) -> dict[str, keras.Variable]:
        variables = mobilenet_v2.zoo_backbone_variables(self.backbone_layers, _BACKBONE_KEY)
        for key, name in self._zoo_layer_names.items():
            layer = self.network.get_layer(name)
            variables |= {f"{key}/{zoo_variable_name(layer, variable)}": variable for variable in layer.variables}
        return variables
