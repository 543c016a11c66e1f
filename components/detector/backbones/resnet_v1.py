"""ResNet v1 (He et al. 2015, "Deep Residual Learning for Image Recognition") cut in two for Faster R-CNN.

The first half (``conv1`` to ``conv4``, stride 16) makes the features that regions are proposed on and cropped from; the
second half (``conv5``) classifies each crop. Differences from ``keras.applications.ResNet50`` and its siblings, all of
them the published detection checkpoints': no biases before batch normalisation, epsilon 1e-5, and TensorFlow's ``same``
padding for the max pooling.
"""

from __future__ import annotations

import keras

from components.detector.backbones.two_stage_backbone import TwoStageBackbone
from components.detector.layers.batch_norm import FusedBatchNormalization
from components.detector.layers.dense_convolution import DenseConv2D

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Residual blocks in conv2, conv3, conv4 and conv5, by depth."""

_CHANNEL_MEANS_RGB = (123.68, 116.779, 103.939)


def normalize(images: keras.KerasTensor) -> keras.KerasTensor:
    """Subtracts ImageNet's channel means: float32 [B, H, W, 3] RGB in 0..255 -> float32 [B, H, W, 3]."""
    return images - keras.ops.convert_to_tensor(_CHANNEL_MEANS_RGB, "float32")


def resnet_v1(
    blocks: tuple[int, int, int, int],
    *,
    image_size: tuple[int, int],
    crop_size: int,
    width: int = 64,
    batch_norm_momentum: float,
) -> TwoStageBackbone:
    """Makes both halves with fresh weights.

    Args:
      blocks: residual blocks in conv2 to conv5; see ``BLOCKS``.
      image_size: (height, width) in pixels of the images.
      crop_size: side of the (pooled) region crops that the second half takes.
      width: channels of the first convolution; 64 in all published networks, less in tests.
      batch_norm_momentum: of the moving statistics.

    Returns:
      images [B, H, W, 3] -> float32 [B, ceil(H / 16), ceil(W / 16), 16 * width], and
      crops [K, crop_size, crop_size, 16 * width] -> float32 [K, ceil(crop_size / 2), ceil(crop_size / 2), 32 * width].
    """
    images = keras.Input((*image_size, 3), name="images")
    # Padding by hand keeps the sampling grid independent of the input's size; `same` would shift it for even sizes.
    x = keras.layers.ZeroPadding2D(3, name="conv1_pad")(images)
    x = keras.layers.Conv2D(width, 7, strides=2, use_bias=False, kernel_initializer=_initializer(), name="conv1_conv")(
        x
    )
    x = FusedBatchNormalization(momentum=batch_norm_momentum, epsilon=1e-5, name="conv1_bn")(x)
    x = keras.layers.ReLU(name="conv1_relu")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, padding="same", name="pool1_pool")(x)
    for stage, count in enumerate(blocks[:3], start=2):
        x = _stack(x, width * 2 ** (stage - 2), count, 1 if stage == 2 else 2, batch_norm_momentum, f"conv{stage}")
    proposal_features = keras.Model(images, x, name="resnet_conv1_to_conv4")

    crops = keras.Input((crop_size, crop_size, 16 * width), name="crops")
    y = _stack(crops, width * 8, blocks[3], 2, batch_norm_momentum, "conv5")
    return TwoStageBackbone(proposal_features, keras.Model(crops, y, name="resnet_conv5"))


def copy_imagenet_weights(backbone: TwoStageBackbone, weights: str) -> list[keras.Variable]:
    """Copies the weights of ``keras.applications.ResNet50``, ``ResNet101`` or ``ResNet152``, by depth.

    Two things are said differently there and translated: convolutions have a bias before the normalisation, which is
    the same as a lower moving mean; and images are BGR, which is the same as a first kernel with its inputs reversed.

    Args:
      backbone: of full width, with the blocks of one of the three.
      weights: ``"imagenet"`` (downloaded by Keras), or the path of a ``no_top`` file of keras.applications.

    Returns:
      The variables that were set.

    Raises:
      ValueError: the backbone is none of the three.
    """
    ours = {layer.name: layer for half in backbone for layer in half.layers if layer.weights}
    last_norms = [name for name in ours if name.endswith("_3_bn")]
    blocks = tuple(sum(name.startswith(f"conv{stage}_") for name in last_norms) for stage in range(2, 6))
    depth = {published: depth for depth, published in BLOCKS.items()}.get(blocks)
    if depth is None or ours["conv1_conv"].filters != 64:
        raise ValueError(
            f"{weights}: fits ResNet-50, 101 and 152 of full width only, not blocks {blocks} from "
            f"{ours['conv1_conv'].filters} channels"
        )
    source = getattr(keras.applications, f"ResNet{depth}")(include_top=False, weights=weights)
    for name, layer in ours.items():
        if not name.endswith("_conv"):
            continue
        convolution, norm, mine = source.get_layer(name), source.get_layer(f"{name[:-5]}_bn"), ours[f"{name[:-5]}_bn"]
        kernel = keras.ops.flip(convolution.kernel, axis=2) if name == "conv1_conv" else convolution.kernel
        layer.kernel.assign(kernel)
        mine.gamma.assign(norm.gamma)
        mine.beta.assign(norm.beta)
        mine.moving_mean.assign(norm.moving_mean - convolution.bias)
        mine.moving_variance.assign(norm.moving_variance)
    return [variable for layer in ours.values() for variable in layer.weights]


def _initializer() -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(2.0, "fan_in", "truncated_normal")


def _stack(
    x: keras.KerasTensor, filters: int, count: int, stride: int, momentum: float, name: str
) -> keras.KerasTensor:
    """``count`` residual blocks, the first of which changes resolution and depth: [B, h, w, 4 * filters]."""
    for number in range(1, count + 1):
        x = _block(x, filters, stride if number == 1 else 1, number == 1, momentum, f"{name}_block{number}")
    return x


def _block(
    x: keras.KerasTensor, filters: int, stride: int, project: bool, momentum: float, name: str
) -> keras.KerasTensor:
    """Bottleneck block; the stride is in the first 1x1 convolution (v1), the shortcut is a projection or identity."""

    def convolve(x: keras.KerasTensor, depth: int, kernel: int, part: int) -> keras.KerasTensor:
        x = DenseConv2D(
            depth,
            kernel,
            padding="same",
            use_bias=False,
            kernel_initializer=_initializer(),
            name=f"{name}_{part}_conv",
        )(x)
        return FusedBatchNormalization(momentum=momentum, epsilon=1e-5, name=f"{name}_{part}_bn")(x)

    if stride > 1:
        x = x[:, ::stride, ::stride]  # what strided 1x1 convolutions read, taken once for both
    shortcut = convolve(x, 4 * filters, 1, 0) if project else x
    x = keras.layers.ReLU(name=f"{name}_1_relu")(convolve(x, filters, 1, 1))
    x = keras.layers.ReLU(name=f"{name}_2_relu")(convolve(x, filters, 3, 2))
    x = keras.layers.Add(name=f"{name}_add")([shortcut, convolve(x, 4 * filters, 1, 3)])
    return keras.layers.ReLU(name=f"{name}_out")(x)
