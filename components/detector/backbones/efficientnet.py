"""EfficientNet B0-B7 (Tan and Le 2019) as the backbone of the zoo's EfficientDets.

Layers carry the names of ``keras.applications.EfficientNetB*``, so that its ImageNet weights are taken over by name,
and come in the order in which the zoo numbers them, so that its checkpoints are.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import keras

from components.detector.layers.batch_norm import FusedBatchNormalization
from components.detector.layers.expansion import ExpansionBatchNormalization, ExpansionConv2D
from components.detector.layers.pointwise_conv import PointwiseConv2D
from components.detector.layers.swish import Swish, swish


class Scaling(NamedTuple):
    """Compound scaling of one EfficientNet (section 3.3)."""

    width: float
    depth: float


EFFICIENTNETS: Final = {
    "B0": Scaling(1.0, 1.0),
    "B1": Scaling(1.0, 1.1),
    "B2": Scaling(1.1, 1.2),
    "B3": Scaling(1.2, 1.4),
    "B4": Scaling(1.4, 1.8),
    "B5": Scaling(1.6, 2.2),
    "B6": Scaling(1.8, 2.6),
    "B7": Scaling(2.0, 3.1),
}
"""Width and depth factors by variant."""


class _Stack(NamedTuple):
    """One row of table 1: a stack of blocks that share their shape."""

    filters: int
    kernel: int
    repeats: int
    expansion: int
    stride: int


_STACKS: Final = (
    _Stack(16, 3, 1, 1, 1),
    _Stack(24, 3, 2, 6, 2),
    _Stack(40, 5, 2, 6, 2),
    _Stack(80, 3, 3, 6, 2),
    _Stack(112, 5, 3, 6, 1),
    _Stack(192, 5, 4, 6, 2),
    _Stack(320, 3, 1, 6, 1),
)
_STEM_FILTERS: Final = 32
_TOP_FILTERS: Final = 1280
_IMAGENET_CLASSES: Final = 1000

_LEVEL_ENDS: Final = {(2, 1): 3, (4, 2): 4, (6, 0): 5}
"""(stack, block) -> pyramid level of its output.

The zoo takes these blocks, which are the last of their stacks in B0, from every variant: in B1 to B7 levels 3 and 4
leave in the middle of a stack that goes on, and the blocks after the last of these take no part in detection.
"""

WEIGHT_DECAY: Final = 5e-6
"""Factor of the squared kernels; half of the paper's 1e-5, which is a factor of half the square."""

_KERNEL_INITIALIZER: Final = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "truncated_normal"},
}


def round_filters(filters: int, width: float) -> int:
    """Scaled number of filters: a multiple of 8 that is not more than 10 % below the exact product."""
    exact = filters * width
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded


def round_repeats(repeats: int, depth: float) -> int:
    """Scaled number of blocks of a stack."""
    return math.ceil(depth * repeats)


def _convolution_options() -> dict[str, Any]:
    """Initialisation and decay of every kernel but the depthwise ones."""
    return {
        "kernel_initializer": _KERNEL_INITIALIZER,
        "kernel_regularizer": keras.regularizers.L2(WEIGHT_DECAY),
    }


class _Builder:
    """Adds EfficientNet's layers to a functional graph."""

    def __init__(self, scaling: Scaling, *, momentum: float, drop_connect_rate: float) -> None:
        self._scaling = scaling
        self._momentum = momentum
        self._drop_connect_rate = drop_connect_rate
        self._total_blocks = sum(round_repeats(stack.repeats, scaling.depth) for stack in _STACKS)

    def filters(self, filters: int) -> int:
        return round_filters(filters, self._scaling.width)

    def conv(
        self, x: keras.KerasTensor, filters: int, name: str, gate: keras.KerasTensor | None = None
    ) -> keras.KerasTensor:
        """1 x 1 convolution, [B, H, W, C] -> [B, H, W, filters]; ``gate`` [B, 1, 1, C] scales the input's channels."""
        conv = PointwiseConv2D(filters, name=name, **_convolution_options())
        return conv(x) if gate is None else conv(x, gate=gate)

    def expand(self, x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
        """Convolution ``<name>conv`` to more channels, ``<name>bn`` and swish: [B, H, W, C] -> [B, H, W, filters]."""
        conv = ExpansionConv2D(filters, name=f"{name}conv", **_convolution_options())
        norm = ExpansionBatchNormalization(momentum=self._momentum, epsilon=1e-3, name=f"{name}bn")
        return Swish(name=f"{name}activation")(norm(*conv(x)))

    def stem(self, images: keras.KerasTensor) -> keras.KerasTensor:
        """[B, H, W, 3] -> [B, H / 2, W / 2, F]."""
        x = keras.layers.Conv2D(
            self.filters(_STEM_FILTERS),
            3,
            strides=2,
            padding="same",
            use_bias=False,
            name="stem_conv",
            **_convolution_options(),
        )(images)
        return self.norm(x, "stem_", activation="stem_activation")

    def norm(self, x: keras.KerasTensor, name: str, *, activation: str | None = None) -> keras.KerasTensor:
        """Batch normalisation ``<name>bn`` and, with ``activation``, swish."""
        x = FusedBatchNormalization(momentum=self._momentum, epsilon=1e-3, name=f"{name}bn")(x)
        return x if activation is None else Swish(name=activation)(x)

    def excitation(self, x: keras.KerasTensor, reduced: int, name: str) -> keras.KerasTensor:
        """Squeeze-and-excitation's gates: [B, H, W, C] -> [B, 1, 1, C] in 0..1."""
        channels = x.shape[-1]
        x = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}se_squeeze")(x)  # [B, 1, 1, C]
        for part, filters, activation in (("reduce", reduced, swish), ("expand", channels, "sigmoid")):
            x = keras.layers.Conv2D(
                filters,
                1,
                activation=activation,
                bias_regularizer=keras.regularizers.L2(WEIGHT_DECAY),
                name=f"{name}se_{part}",
                **_convolution_options(),
            )(x)
        return x

    def block(self, x: keras.KerasTensor, stack_number: int, block_number: int) -> keras.KerasTensor:
        """Inverted bottleneck with squeeze-and-excitation (MBConv), [B, H, W, C] -> [B, H / stride, W / stride, F]."""
        stack = _STACKS[stack_number]
        name = f"block{stack_number + 1}{chr(ord('a') + block_number)}_"
        inputs, filters_in, filters_out = x, x.shape[-1], self.filters(stack.filters)
        stride = stack.stride if block_number == 0 else 1
        if stack.expansion != 1:
            x = self.expand(x, filters_in * stack.expansion, f"{name}expand_")
        x = keras.layers.DepthwiseConv2D(
            stack.kernel,
            strides=stride,
            padding="same",
            use_bias=False,
            depthwise_initializer=_KERNEL_INITIALIZER,
            name=f"{name}dwconv",
        )(x)
        x = self.norm(x, name, activation=f"{name}activation")
        gate = self.excitation(x, max(1, filters_in // 4), name)  # [B, 1, 1, C]
        x = self.norm(self.conv(x, filters_out, f"{name}project_conv", gate), f"{name}project_")
        if stride != 1 or filters_in != filters_out:
            return x
        rate = self._drop_connect_rate * self._blocks_before(stack_number, block_number) / self._total_blocks
        if rate > 0:
            # Stochastic depth: the whole residual of an image is dropped.
            x = keras.layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(x)
        return keras.layers.Add(name=f"{name}add")([x, inputs])

    def repeats(self, stack_number: int) -> int:
        return round_repeats(_STACKS[stack_number].repeats, self._scaling.depth)

    def _blocks_before(self, stack_number: int, block_number: int) -> int:
        return sum(self.repeats(stack) for stack in range(stack_number)) + block_number


def build_efficientnet(
    variant: str,
    *,
    image_size: tuple[int, int],
    batch_norm_momentum: float,
    drop_connect_rate: float,
) -> keras.Model:
    """The part of an EfficientNet that detection uses.

    Args:
      variant: ``"B0"`` to ``"B7"``.
      image_size: (height, width) in pixels, multiples of 32.
      batch_norm_momentum: of the moving statistics.
      drop_connect_rate: stochastic depth's drop rate, growing linearly from 0 at the first block of the (whole)
        network to this after the last.

    Returns:
      A model from float32 [B, H, W, 3] (ImageNet-normalised) to levels 3, 4 and 5: float32 [B, H / 8, W / 8, C3],
      [B, H / 16, W / 16, C4], [B, H / 32, W / 32, C5]. Its layers with weights are in the zoo's order.
    """
    builder = _Builder(EFFICIENTNETS[variant], momentum=batch_norm_momentum, drop_connect_rate=drop_connect_rate)
    images = keras.Input((*image_size, 3), name="images")
    x = builder.stem(images)
    levels: dict[int, keras.KerasTensor] = {}
    for stack_number in range(len(_STACKS)):
        for block_number in range(builder.repeats(stack_number)):
            x = builder.block(x, stack_number, block_number)
            level = _LEVEL_ENDS.get((stack_number, block_number))
            if level is not None:
                levels[level] = x
    return keras.Model(images, [levels[3], levels[4], levels[5]], name=f"efficientnet_{variant.lower()}")


def build_classifier_rest(variant: str) -> keras.Model:
    """What an ImageNet classifier has after level 5: the last stack's further blocks, the top and the logits.

    No detector uses it, but the zoo's EfficientDet checkpoints carry it. Its layers with weights are in their order.
    """
    scaling = EFFICIENTNETS[variant]
    builder = _Builder(scaling, momentum=0.99, drop_connect_rate=0.0)
    last = len(_STACKS) - 1
    features = keras.Input((1, 1, builder.filters(_STACKS[last].filters)))
    x = features
    for block_number in range(1, builder.repeats(last)):
        x = builder.block(x, last, block_number)
    x = builder.norm(builder.conv(x, builder.filters(_TOP_FILTERS), "top_conv"), "top_", activation="top_activation")
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(features, keras.layers.Dense(_IMAGENET_CLASSES, name="predictions")(x))


def copy_imagenet_weights(backbone: keras.Model, variant: str, weights: str = "imagenet") -> list[keras.Variable]:
    """Copies ImageNet weights from ``keras.applications.EfficientNetB*``, which is the same network.

    Its stride-2 convolutions pad explicitly where ours pad "same"; the two agree where the input's size is even, which
    every canvas of an EfficientDet is at every stride.

    Args:
      backbone: of :func:`build_efficientnet`, same ``variant``.
      variant: ``"B0"`` to ``"B7"``.
      weights: ``"imagenet"`` (downloaded by Keras) or the path of a file that keras.applications loads (``no_top``).

    Returns:
      The variables that were set: all of the backbone's.

    Raises:
      ValueError: the weights do not fit the variant; the message names both.
    """
    application = f"EfficientNet{variant}"
    try:
        source = getattr(keras.applications, application)(include_top=False, weights=weights, input_shape=(224, 224, 3))
    except (ValueError, OSError) as error:
        raise ValueError(
            f"weights {weights!r} are not those of keras.applications.{application} without top: {error}; "
            f"give 'imagenet' or its *_notop.h5 file"
        ) from error
    for layer in backbone.layers:
        if layer.weights:
            layer.set_weights(source.get_layer(layer.name).get_weights())
    return list(backbone.weights)
