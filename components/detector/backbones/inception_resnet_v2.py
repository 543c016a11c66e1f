"""Inception-ResNet v2 (Szegedy et al. 2016, arXiv 1602.07261) cut in two for Faster R-CNN.

The first half (stem to the twentieth ``block17``, stride 16) makes the features that regions are proposed on and
cropped from; the second half (``mixed_7a`` to ``conv_7b``) classifies each crop. Every convolution and pooling pads
``same``, as in the published detection checkpoints, so that feature maps stay aligned with the image;
``keras.applications.InceptionResNetV2`` has the same variables but pads its stem and reductions ``valid``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras

from components.detector.backbones.two_stage_backbone import TwoStageBackbone
from components.detector.layers.batch_norm import FusedBatchNormalization
from components.detector.layers.dense_convolution import DenseConv2D


class Repeats(NamedTuple):
    """How often each residual block is repeated."""

    block35: int = 10
    block17: int = 20
    block8: int = 10


Depth = Callable[[int], int]


def normalize(images: keras.KerasTensor) -> keras.KerasTensor:
    """Scales to -1..1: float32 [B, H, W, 3] RGB in 0..255 -> float32 [B, H, W, 3]."""
    return (2.0 / 255.0) * images - 1.0


@keras.saving.register_keras_serializable("detector")
class ScaledResidual(keras.layers.Layer):
    """``shortcut + scale * residual``, the paper's activation scaling (section 3.3)."""

    def __init__(self, scale: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs: list[keras.KerasTensor]) -> keras.KerasTensor:
        shortcut, residual = inputs  # both [B, h, w, C]
        return shortcut + self.scale * residual

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return input_shape[0]

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "scale": self.scale}


def inception_resnet_v2(
    *,
    image_size: tuple[int, int],
    crop_size: int,
    repeats: Repeats | None = None,
    width: float = 1.0,
    batch_norm_momentum: float,
) -> TwoStageBackbone:
    """Makes both halves with fresh weights.

    Args:
      image_size: (height, width) in pixels of the images.
      crop_size: side of the region crops that the second half takes.
      repeats: residual blocks of each kind, None for the published numbers; fewer in tests.
      width: multiplies every channel count; 1 is the published network, less in tests.
      batch_norm_momentum: of the moving statistics.

    Returns:
      images [B, H, W, 3] -> float32 [B, ceil(H / 16), ceil(W / 16), 1088 * width], and
      crops [K, s, s, 1088 * width] -> float32 [K, ceil(s / 2), ceil(s / 2), 1536 * width], s being ``crop_size``.
    """

    def depth(channels: int) -> int:
        return max(1, round(channels * width))

    repeats = repeats or Repeats()
    net = _Builder(batch_norm_momentum, depth)
    images = keras.Input((*image_size, 3), name="images")
    x = net.convolve(images, 32, 3, strides=2)
    x = net.convolve(x, 32, 3)
    x = net.convolve(x, 64, 3)
    x = keras.layers.MaxPooling2D(3, strides=2, padding="same")(x)
    x = net.convolve(x, 80, 1)
    x = net.convolve(x, 192, 3)
    x = keras.layers.MaxPooling2D(3, strides=2, padding="same")(x)
    pooled = keras.layers.AveragePooling2D(3, strides=1, padding="same")
    x = keras.layers.Concatenate(name="mixed_5b")(
        [
            net.convolve(x, 96, 1),
            net.chain(x, (48, 1), (64, 5)),
            net.chain(x, (64, 1), (96, 3), (96, 3)),
            net.convolve(pooled(x), 64, 1),
        ]
    )  # [B, H / 8, W / 8, 320]
    for number in range(1, repeats.block35 + 1):
        branches = [net.convolve(x, 32, 1), net.chain(x, (32, 1), (32, 3)), net.chain(x, (32, 1), (48, 3), (64, 3))]
        x = net.residual(x, branches, 0.17, f"block35_{number}")
    branches = [net.convolve(x, 384, 3, strides=2), net.reduce(x, (256, 1), (256, 3), (384, 3))]
    x = keras.layers.Concatenate(name="mixed_6a")([*branches, _halve(x)])  # [B, H / 16, W / 16, 1088]
    for number in range(1, repeats.block17 + 1):
        branches = [net.convolve(x, 192, 1), net.chain(x, (128, 1), (160, (1, 7)), (192, (7, 1)))]
        x = net.residual(x, branches, 0.1, f"block17_{number}")
    proposal_features = keras.Model(images, x, name="inception_resnet_stem_to_block17")

    crops = keras.Input((crop_size, crop_size, x.shape[-1]), name="crops")
    branches = [
        net.reduce(crops, (256, 1), (384, 3)),
        net.reduce(crops, (256, 1), (288, 3)),
        net.reduce(crops, (256, 1), (288, 3), (320, 3)),
    ]
    y = keras.layers.Concatenate(name="mixed_7a")([*branches, _halve(crops)])  # [K, s / 2, s / 2, 2080]
    for number in range(1, repeats.block8 + 1):
        last = number == repeats.block8
        branches = [net.convolve(y, 192, 1), net.chain(y, (192, 1), (224, (1, 3)), (256, (3, 1)))]
        y = net.residual(y, branches, 1.0 if last else 0.2, f"block8_{number}", activate=not last)
    y = net.convolve(y, 1536, 1)
    return TwoStageBackbone(proposal_features, keras.Model(crops, y, name="inception_resnet_mixed7a_to_conv7b"))


def copy_imagenet_weights(backbone: TwoStageBackbone, weights: str) -> list[keras.Variable]:
    """Copies the weights of ``keras.applications.InceptionResNetV2``.

    Its layers have the same order; that it pads ``valid`` changes borders only (the
    published detectors, too, started from a classifier that was trained so).

    Args:
      backbone: of full width and depth.
      weights: ``"imagenet"`` (downloaded by Keras), or the path of a ``no_top`` file of keras.applications.

    Returns:
      The variables that were set.

    Raises:
      ValueError: the backbone or the file is of another shape.
    """
    source = keras.applications.InceptionResNetV2(include_top=False, weights=weights)
    theirs = [layer for layer in source.layers if layer.weights]
    ours = [layer for half in backbone for layer in half.layers if layer.weights]
    if [layer.kernel.shape for layer in theirs if hasattr(layer, "kernel")] != [
        layer.kernel.shape for layer in ours if hasattr(layer, "kernel")
    ]:
        raise ValueError(f"{weights}: fits Inception-ResNet v2 of full depth and width only, not this smaller one")
    for mine, pretrained in zip(ours, theirs, strict=True):
        for variable, value in zip(mine.weights, pretrained.weights, strict=True):
            variable.assign(value)
    return [variable for layer in ours for variable in layer.weights]


def _halve(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.MaxPooling2D(3, strides=2, padding="same")(x)


class _Builder:
    """Adds the network's recurring groups of layers."""

    def __init__(self, momentum: float, depth: Depth) -> None:
        self._momentum = momentum
        self._depth = depth

    def convolve(
        self, x: keras.KerasTensor, filters: int, kernel: int | tuple[int, int], *, strides: int = 1
    ) -> keras.KerasTensor:
        """Convolution, batch normalisation without gamma, ReLU."""
        x = DenseConv2D(self._depth(filters), kernel, strides=strides, padding="same", use_bias=False)(x)
        x = FusedBatchNormalization(momentum=self._momentum, epsilon=1e-3, scale=False)(x)
        return keras.layers.ReLU()(x)

    def chain(self, x: keras.KerasTensor, *steps: tuple[int, int | tuple[int, int]]) -> keras.KerasTensor:
        """One convolution after the other, each (filters, kernel)."""
        for filters, kernel in steps:
            x = self.convolve(x, filters, kernel)
        return x

    def reduce(self, x: keras.KerasTensor, *steps: tuple[int, int | tuple[int, int]]) -> keras.KerasTensor:
        """A chain whose last convolution halves the resolution."""
        filters, kernel = steps[-1]
        return self.convolve(self.chain(x, *steps[:-1]), filters, kernel, strides=2)

    def residual(
        self, x: keras.KerasTensor, branches: list[keras.KerasTensor], scale: float, name: str, *, activate: bool = True
    ) -> keras.KerasTensor:
        """``x + scale * 1x1(concatenated branches)``, then ReLU."""
        mixed = keras.layers.Concatenate(name=f"{name}_mixed")(branches)
        up = keras.layers.Conv2D(x.shape[-1], 1, padding="same", name=f"{name}_conv")(mixed)
        x = ScaledResidual(scale)([x, up])
        return keras.layers.ReLU(name=f"{name}_ac")(x) if activate else x
