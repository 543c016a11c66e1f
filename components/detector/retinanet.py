"""RetinaNet on ResNet-50 (Lin et al. 2017, "Focal Loss for Dense Object Detection"), from KerasHub's layers.

Backbone, pyramid and heads are KerasHub's, and so are the anchors and the scales of images and boxes, because its
presets were trained with them (they are torchvision's ``retinanet_resnet50_fpn`` and ``retinanet_resnet50_fpn_v2``).
Targets, losses and suppression are those of the other single-shot detectors here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from components.detector.options import DetectorOptions, RetinaNetOptions, RetinaNetResnetOptions
from components.detector.ssd import SingleShotDetector
from components.detector.structures import ClassRows
from components.detector.targets.anchors import AnchorLevel
from schema.device_model import Resizing

MIN_LEVEL: Final = 3
MAX_LEVEL: Final = 7
_LEVELS: Final = (3, 4, 5)
"""Of the backbone."""
SCALES_PER_OCTAVE: Final = 3
_SIDES_MULTIPLE_OF: Final = 32
_SMALLEST_SIDE: Final = 64
_MEAN_RGB: Final = (0.485 * 255.0, 0.456 * 255.0, 0.406 * 255.0)
_STDDEV_RGB: Final = (0.229 * 255.0, 0.224 * 255.0, 0.225 * 255.0)
_CLASS_BIAS: Final = -4.595
"""Every anchor starts with a score of 1 % (RetinaNet, section 4.1)."""
_HEAD_STDDEV: Final = 0.01
"""Of the heads' fresh kernels (the same section). KerasHub's 0.05 makes 256 channels grow at every layer."""


class RetinaNet(SingleShotDetector):
    """KerasHub's pyramid and heads on a backbone of three levels. Class logits have no background column.

    Args besides those of :class:`Detector`:
      backbone: [B, H, W, 3] -> feature maps by level.
      neck: those -> the maps of strides 8, 16 and 32, as ``P3``, ``P4`` and ``P5``.
      second_version: whether the heads have group normalisation and the coarse levels come from the backbone.
    """

    options: RetinaNetOptions

    unmatched_iou = 0.4

    def __init__(
        self,
        *,
        name: str,
        num_classes: int,
        image_size: tuple[int, int],
        options: RetinaNetOptions,
        backbone: keras.Model,
        neck: Callable[[dict[str, keras.KerasTensor]], dict[str, keras.KerasTensor]],
        second_version: bool = False,
    ) -> None:
        images = keras.Input((*image_size, 3), name="images")
        features = backbone(images)
        maps = neck(features)
        # KerasHub makes pyramids for models that say what their levels are.
        encoder = keras.Model(images, maps["P5"])
        encoder.pyramid_outputs = maps
        task = keras_hub.models.RetinaNetObjectDetector(
            keras_hub.models.RetinaNetBackbone(
                encoder,
                min_level=MIN_LEVEL,
                max_level=MAX_LEVEL,
                use_p5=second_version,
                image_shape=(*image_size, 3),
            ),
            num_classes=num_classes,
            use_prediction_head_norm=second_version,
            pre_logits_num_conv_layers=options.head_layers,
        )
        levels = task.backbone.feature_pyramid(maps)  # P3 to P7, each [B, h, w, 256]
        boxes = _of_all_levels(task.box_head, levels, 4)  # [B, N, 4], tx, ty, tw, th
        logits = _of_all_levels(task.classification_head, levels, num_classes)  # [B, N, C]
        for head, bias in ((task.box_head, 0.0), (task.classification_head, _CLASS_BIAS)):
            for layer in (*head.conv_layers, head.prediction_layer):
                layer.kernel.assign(keras.random.normal(layer.kernel.shape, stddev=_HEAD_STDDEV))
            # KerasHub has the prior at the boxes, where it means nothing.
            head.prediction_layer.bias.assign(keras.ops.full(head.prediction_layer.bias.shape, bias))
        super().__init__(
            name=name,
            num_classes=num_classes,
            image_size=image_size,
            options=options,
            images=images,
            features=features,
            predictions={
                "box_encodings": keras.ops.take(boxes, (1, 0, 3, 2), axis=-1),  # ty, tx, th, tw
                "class_predictions_with_background": logits,
            },
            level_sizes=[(level.shape[1], level.shape[2]) for level in levels.values()],
            has_background=False,
            focal_alpha=options.focal_alpha,
            focal_gamma=options.focal_gamma,
            scale_factors=(1.0, 1.0, 1.0, 1.0),
        )
        self.second_version = second_version

    @property
    def resizing(self) -> Resizing:
        """Padding has the mean colour: torchvision pads with 0 after normalising."""
        side = self.image_size[0]
        return Resizing(side, side, side, side, half_pixel_centers=True, padding_rgb=_MEAN_RGB)

    def anchor_levels(self, options: DetectorOptions) -> list[AnchorLevel]:
        """KerasHub's ``AnchorGenerator`` bit for bit: whole pixels, and the first center in the canvas' corner."""
        chosen = options.anchors
        one = np.float32(1.0)
        # KerasHub's ratios are height / width.
        height_ratios = np.sqrt(np.array([one / np.float32(ratio) for ratio in chosen["anchor_aspect_ratios"]]))  # [R]
        levels = []
        for level, (rows, columns) in enumerate(self.level_sizes, start=MIN_LEVEL):
            base = 2**level * chosen["anchor_scale"]
            sides = np.array(
                [int(base * 2 ** (scale / SCALES_PER_OCTAVE)) for scale in range(SCALES_PER_OCTAVE)], np.float32
            )  # [S]
            heights, widths = (
                2.0 * np.round((ratios[:, None] * sides).reshape(-1) / 2.0).astype(np.float64)
                for ratios in (height_ratios, one / height_ratios)
            )  # [R * S]
            stride = (float(self.image_size[0] // rows), float(self.image_size[1] // columns))
            levels.append(AnchorLevel((rows, columns), heights, widths, stride, (0.0, 0.0)))
        return levels

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        return (images - tf.constant(_MEAN_RGB)) / tf.constant(_STDDEV_RGB)  # [B, H, W, 3]

    @property
    def prediction_layers(self) -> list[keras.layers.Layer]:
        return [self.network.get_layer(head).prediction_layer for head in ("box_head", "classification_head")]

    def load_imagenet_backbone(self, weights: str) -> list[keras.Variable]:
        raise ValueError(
            f"{weights}: {self.name} has a backbone of KerasHub's, which no network of keras.applications is; start "
            "from model.pretrained: kerashub:PRESET"
        )

    def zoo_variables(self) -> dict[str, keras.Variable]:
        """The zoo has no such detector; keys are made of KerasHub's names."""
        return named_variables(
            self.named_layers
            | _layers_of_pyramid(self.network.get_layer("fpn"))
            | _layers_of_heads(*(self.network.get_layer(head) for head in ("box_head", "classification_head")))
        )

    @property
    def named_layers(self) -> dict[str, keras.layers.Layer]:
        """Layers with variables before the pyramid, by the keys of their variables."""
        return by_name("backbone", self.backbone_layers)

    def class_rows(self) -> dict[str, ClassRows]:
        layer = self.network.get_layer("classification_head").prediction_layer
        return {
            f"classification_head/{layer.name}/{variable.name}": ClassRows(variable.shape[-1] // self.num_classes, 0, 1)
            for variable in layer.variables
        }

    @property
    def preset_scale_and_offset(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """What ``normalize`` multiplies with and then adds, by channel, as KerasHub's image converters say it."""
        scales = tuple(1.0 / stddev for stddev in _STDDEV_RGB)
        return scales, tuple(-mean * scale for mean, scale in zip(_MEAN_RGB, scales, strict=True))


class RetinaNetResnet(RetinaNet):
    """On ResNet-50. See the module, and ``RetinaNetResnetOptions``.

    Raises:
      ValueError: an image size that ``check_canvas`` refuses.
    """

    options: RetinaNetResnetOptions

    def __init__(
        self, *, name: str, num_classes: int, image_size: tuple[int, int], options: RetinaNetResnetOptions
    ) -> None:
        check_canvas(name, image_size)
        encoder = keras_hub.models.ResNetBackbone(
            input_conv_filters=[64],
            input_conv_kernel_sizes=[7],
            stackwise_num_filters=list(options.stage_filters),
            stackwise_num_blocks=list(options.blocks),
            stackwise_num_strides=[1, 2, 2, 2],
            block_type="bottleneck_block",
            image_shape=(*image_size, 3),
        )
        for layer in encoder.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = options.statistics_momentum
        backbone = keras.Model(
            encoder.inputs,
            {f"level_{level}": encoder.pyramid_outputs[f"P{level}"] for level in _LEVELS},
            name="backbone",
        )
        super().__init__(
            name=name,
            num_classes=num_classes,
            image_size=image_size,
            options=options,
            backbone=backbone,
            neck=lambda features: {f"P{level}": features[f"level_{level}"] for level in _LEVELS},
            second_version=name.endswith("_v2"),
        )

    @classmethod
    def default_image_size(cls, name: str) -> tuple[int, int]:
        return (800, 800)

    @property
    def backbone_layers(self) -> list[keras.layers.Layer]:
        backbone = self.network.get_layer("backbone")
        return [layer for layer in backbone.layers if not isinstance(layer, keras.layers.InputLayer)]

    @staticmethod
    def preset_classes(model: keras.Model) -> int | None:
        """How many classes a model of KerasHub's tells apart; None for a backbone alone."""
        return model.num_classes if isinstance(model, keras_hub.models.RetinaNetObjectDetector) else None

    def preset_variables(self, model: keras.Model) -> dict[str, keras.Variable]:
        """Variables of a model of KerasHub's by the keys of ``zoo_variables``.

        Args:
          model: a ``RetinaNetObjectDetector``, a ``RetinaNetBackbone`` or the ``ResNetBackbone`` in it.

        Raises:
          ValueError: another model, or what makes these variables mean something else.
        """
        if isinstance(model, keras_hub.models.ResNetBackbone):
            if model.use_pre_activation or model.block_type != "bottleneck_block":
                raise ValueError(f"a ResNet of another kind ({model.block_type}, pre-activation or not)")
            return named_variables(by_name("backbone", model.layers))
        if isinstance(model, keras_hub.models.RetinaNetBackbone):
            self._check_pyramid(model)
            return named_variables(
                by_name("backbone", model.image_encoder.layers) | _layers_of_pyramid(model.feature_pyramid)
            )
        if not isinstance(model, keras_hub.models.RetinaNetObjectDetector):
            raise ValueError(f"{type(model).__name__} of KerasHub, expected RetinaNetObjectDetector or its backbone")
        self._check_pyramid(model.backbone)
        generator = model.anchor_generator
        found = (generator.num_scales, generator.anchor_size, tuple(generator.aspect_ratios))
        if found != (SCALES_PER_OCTAVE, 4, (0.5, 1.0, 2.0)):
            raise ValueError(f"its heads have learnt with other anchors than the published ones: {found}")
        if model.use_prediction_head_norm != self.second_version:
            raise ValueError(f"its heads {'have' if model.use_prediction_head_norm else 'lack'} group normalisation")
        return named_variables(
            by_name("backbone", model.backbone.image_encoder.layers)
            | _layers_of_pyramid(model.backbone.feature_pyramid)
            | _layers_of_heads(model.box_head, model.classification_head)
        )

    def _check_pyramid(self, backbone: keras.Model) -> None:
        found = (backbone.min_level, backbone.max_level, backbone.use_p5, backbone.use_fpn_batch_norm)
        expected = (MIN_LEVEL, MAX_LEVEL, self.second_version, False)
        if found != expected:
            raise ValueError(
                f"its pyramid has (min_level, max_level, use_p5, use_fpn_batch_norm) {found}, that of {self.name} "
                f"{expected}"
            )


def check_canvas(name: str, image_size: tuple[int, int]) -> None:
    """Passes for squares that can be halved five times.

    Raises:
      ValueError: for others.
    """
    side = image_size[0]
    if side != image_size[1]:
        raise ValueError(f"{name}: image_size must be square (images are padded), found {image_size}")
    if side < _SMALLEST_SIDE or side % _SIDES_MULTIPLE_OF:
        raise ValueError(
            f"{name}: image_size must be a multiple of {_SIDES_MULTIPLE_OF} from {_SMALLEST_SIDE} on, found {side}"
        )


def _of_all_levels(head: keras.layers.Layer, levels: dict[str, keras.KerasTensor], values: int) -> keras.KerasTensor:
    """What a head makes of the levels, finest first: [B, N, values]."""
    outputs = [head(level) for level in levels.values()]  # each [B, h, w, A * values]
    return keras.ops.concatenate(
        [keras.ops.reshape(output, (-1, int(np.prod(output.shape[1:])) // values, values)) for output in outputs],
        axis=1,
    )


def by_name(part: str, layers: Sequence[keras.layers.Layer]) -> dict[str, keras.layers.Layer]:
    """Layers of a part of the detector by their names."""
    return {f"{part}/{layer.name}": layer for layer in layers}


def named_variables(layers: Mapping[str, keras.layers.Layer]) -> dict[str, keras.Variable]:
    """Variables of named layers by their paths within these, which KerasHub's models and the detectors here share."""
    return {
        f"{name}/{variable.path.partition(layer.name + '/')[2]}": variable
        for name, layer in layers.items()
        for variable in layer.variables
    }


def _layers_of_pyramid(pyramid: Any) -> dict[str, keras.layers.Layer]:
    return by_name("fpn", [*pyramid.lateral_conv_layers.values(), *pyramid.output_conv_layers.values()])


def _layers_of_heads(*heads: Any) -> dict[str, keras.layers.Layer]:
    layers: dict[str, keras.layers.Layer] = {}
    for head in heads:
        layers |= by_name(head.name, [*head.conv_layers, *head.group_norm_layers, head.prediction_layer])
    return layers
