"""RetinaNet on DINOv3 (Siméoni et al. 2025): a vision transformer that has learnt from images without annotations.

The transformer is KerasHub's and has one stride, 16. Its last map is halved and doubled for the pyramid, as the simple
feature pyramid of ViTDet does (Li et al. 2022, "Exploring Plain Vision Transformer Backbones for Object Detection").
Nobody has published this detector: only the backbone has weights to start from, and necks and heads begin afresh.
"""

from __future__ import annotations

from typing import Final

import keras
import keras_hub

from components.detector.options import RetinaNetDinoV3Options
from components.detector.retinanet import RetinaNet, by_name, check_canvas, named_variables

_PATCH_PIXELS: Final = 16
_REGISTERS: Final = 4
_ROPE_THETA: Final = 100.0
_EPSILON: Final = 1e-5
_HIDDEN_FACTOR: Final = 4
_PARTS: Final = ("embeddings", "encoder", "layernorm")


class RetinaNetDinoV3(RetinaNet):
    """See the module, and ``RetinaNetDinoV3Options``.

    Raises:
      ValueError: an image size that ``check_canvas`` refuses.
    """

    options: RetinaNetDinoV3Options

    def __init__(
        self, *, name: str, num_classes: int, image_size: tuple[int, int], options: RetinaNetDinoV3Options
    ) -> None:
        check_canvas(name, image_size)
        transformer = keras_hub.models.DINOV3Backbone(
            patch_size=_PATCH_PIXELS,
            num_layers=options.num_layers,
            hidden_dim=options.hidden_dim,
            num_heads=options.num_heads,
            intermediate_dim=_HIDDEN_FACTOR * options.hidden_dim,
            num_register_tokens=_REGISTERS,
            # It stands for patches that are left out while the transformer learns without annotations.
            use_mask_token=False,
            use_key_bias=False,
            rope_theta=_ROPE_THETA,
            layer_norm_eps=_EPSILON,
            image_shape=(*image_size, 3),
        )
        rows, columns = (side // _PATCH_PIXELS for side in image_size)
        patches = transformer.outputs[0][:, 1 + _REGISTERS :]  # [B, rows * columns, D], without class and registers
        grid = keras.ops.reshape(patches, (-1, rows, columns, options.hidden_dim))  # [B, rows, columns, D]
        double = keras.layers.Conv2DTranspose(options.hidden_dim // 2, 2, strides=2, name="double")
        halve = keras.layers.MaxPooling2D(2, name="halve")
        super().__init__(
            name=name,
            num_classes=num_classes,
            image_size=image_size,
            options=options,
            backbone=keras.Model(transformer.inputs, {"level_4": grid}, name="backbone"),
            neck=lambda features: {
                "P3": double(features["level_4"]),
                "P4": features["level_4"],
                "P5": halve(features["level_4"]),
            },
        )

    @classmethod
    def default_image_size(cls, name: str) -> tuple[int, int]:
        return (512, 512)

    @property
    def backbone_layers(self) -> list[keras.layers.Layer]:
        embeddings, encoder, norm = map(self.network.get_layer("backbone").get_layer, _PARTS)
        return [embeddings, *encoder.layers, norm]

    @property
    def named_layers(self) -> dict[str, keras.layers.Layer]:
        parts = map(self.network.get_layer("backbone").get_layer, _PARTS)
        return _named_layers(*parts) | by_name("neck", [self.network.get_layer("double")])

    @staticmethod
    def preset_classes(model: keras.Model) -> int | None:
        """A DINOv3 knows no classes."""
        del model
        return None

    def preset_variables(self, model: keras.Model) -> dict[str, keras.Variable]:
        """Variables of KerasHub's ``DINOV3Backbone`` by the keys of ``zoo_variables``.

        Raises:
          ValueError: another model, or what makes these variables mean something else.
        """
        if not isinstance(model, keras_hub.models.DINOV3Backbone):
            raise ValueError(f"{type(model).__name__} of KerasHub, expected DINOV3Backbone")
        found = (model.patch_size, model.num_heads, model.num_register_tokens, model.rope_theta, model.layer_norm_eps)
        expected = (_PATCH_PIXELS, self.options.num_heads, _REGISTERS, _ROPE_THETA, _EPSILON)
        if found != expected:
            raise ValueError(
                "its (patch_size, num_heads, num_register_tokens, rope_theta, layer_norm_eps) are "
                f"{found}, expected {expected}"
            )
        variables = named_variables(_named_layers(model.embeddings, model.encoder, model.layernorm))
        return {key: variable for key, variable in variables.items() if not key.endswith("/mask_token")}


def _named_layers(
    embeddings: keras.layers.Layer, encoder: keras.layers.Layer, norm: keras.layers.Layer
) -> dict[str, keras.layers.Layer]:
    """By names that, unlike KerasHub's, are the same for a model that has a name itself."""
    layers = {f"backbone/layer_{number}": layer for number, layer in enumerate(encoder.layers)}
    return {"backbone/embeddings": embeddings, **layers, "backbone/norm": norm}
