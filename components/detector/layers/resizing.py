"""The zoo's image resizers: fixed shape, and keep-aspect-ratio with padding.

Both resize bilinearly without anti-aliasing and, but for detectors that do not come from the zoo, without half-pixel
centers, as the original does; other bilinear definitions move the image by up to half a pixel and change every number
after it.
"""

from __future__ import annotations

import tensorflow as tf

from schema.device_model import Resizing


def _bilinear(
    image: tf.Tensor, height_width: tf.Tensor | tuple[int, int], half_pixel_centers: bool = False
) -> tf.Tensor:
    """uint8 or float32 [h, w, 3] -> float32 [H, W, 3]."""
    return tf.raw_ops.ResizeBilinear(
        images=image[tf.newaxis], size=height_width, align_corners=False, half_pixel_centers=half_pixel_centers
    )[0]


def resize_to_canvas(image: tf.Tensor, resizing: Resizing) -> tuple[tf.Tensor, tf.Tensor]:
    """Brings an image to the canvas as the settings say.

    Args:
      image: uint8 or float32 [h, w, 3].
      resizing: how.

    Returns:
      float32 [H, W, 3] with the range of the input, and the valid share, float32 [2] (height, width).
    """
    size = (resizing.height_pixels, resizing.width_pixels)
    if resizing.min_dimension_pixels is None or resizing.max_dimension_pixels is None:
        return resize_fixed(image, size, half_pixel_centers=resizing.half_pixel_centers)
    padding = tf.constant(resizing.padding_rgb)  # [3]
    if any(resizing.padding_rgb):
        image = tf.cast(image, tf.float32) - padding
    canvas, share = resize_keep_aspect_ratio(
        image,
        min_dimension=resizing.min_dimension_pixels,
        max_dimension=resizing.max_dimension_pixels,
        image_size=size,
        half_pixel_centers=resizing.half_pixel_centers,
    )
    return (canvas + padding if any(resizing.padding_rgb) else canvas), share


def resize_fixed(
    image: tf.Tensor, image_size: tuple[int, int], *, half_pixel_centers: bool = False
) -> tuple[tf.Tensor, tf.Tensor]:
    """Stretches an image to the canvas (``fixed_shape_resizer``).

    Args:
      image: uint8 or float32 [h, w, 3].
      image_size: (height, width) in pixels of the canvas.
      half_pixel_centers: whether pixels are areas, as PyTorch has them, or points.

    Returns:
      float32 [H, W, 3] with the range of the input, and the valid share float32 [2], which is (1, 1).
    """
    resized = tf.ensure_shape(_bilinear(image, image_size, half_pixel_centers), (*image_size, 3))  # [H, W, 3]
    return resized, tf.ones((2,), tf.float32)


def resize_keep_aspect_ratio(
    image: tf.Tensor,
    *,
    min_dimension: int,
    max_dimension: int,
    image_size: tuple[int, int],
    half_pixel_centers: bool = False,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Scales an image, then pads with 0 at the bottom and right (``keep_aspect_ratio_resizer`` with padding).

    The shorter side becomes ``min_dimension`` unless the longer would exceed ``max_dimension``; then the longer side
    becomes ``max_dimension``.

    Args:
      image: uint8 or float32 [h, w, 3].
      min_dimension: pixels.
      max_dimension: pixels.
      image_size: (height, width) in pixels of the canvas, at least ``max_dimension`` wherever the image may reach it.
      half_pixel_centers: whether pixels have their centers at halves, as ``tf.image.resize`` and torchvision have.

    Returns:
      float32 [H, W, 3] with the range of the input, and the valid share, float32 [2] (height, width).
    """
    size = tf.cast(tf.shape(image)[:2], tf.float32)  # [2]
    to_min = tf.round(size * (min_dimension / tf.reduce_min(size)))  # [2]
    to_max = tf.round(size * (max_dimension / tf.reduce_max(size)))  # [2]
    new_size = tf.where(tf.reduce_max(to_min) > max_dimension, to_max, to_min)  # [2]
    # A very long and thin image still needs a row of pixels.
    new_size = tf.maximum(tf.cast(new_size, tf.int32), 1)  # [2]
    resized = _bilinear(image, new_size, half_pixel_centers)  # [h', w', 3]
    padding = tf.constant(image_size) - new_size  # [2]
    canvas = tf.pad(resized, [[0, padding[0]], [0, padding[1]], [0, 0]])  # [H, W, 3]
    share = tf.cast(new_size, tf.float32) / tf.constant(image_size, tf.float32)  # [2]
    return tf.ensure_shape(canvas, (*image_size, 3)), share
