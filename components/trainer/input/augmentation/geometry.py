"""Which part of an image is shown, and which way round; boxes follow.

The geometry of an image is one *window*: the part of the image that is shown, in 0..1 of the image; it may reach
beyond the image (zoom out, shown on grey), and it may be mirrored. Windows are drawn for a whole batch before decoding,
from the boxes alone, so that only that part of a JPEG is decoded.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from components.trainer.augmentation_settings import AugmentationSettings

GREY = 127
"""What is shown outside of the image."""
_WINDOW_TRIALS = 10
"""Windows drawn an image; the first that keeps an object is taken."""


class Geometry(NamedTuple):
    """How the images of a batch (or, without B, one image) are shown.

    Attributes:
      windows_yxyx: float32 [B, 4], in 0..1 of the image, may reach beyond it.
      mirrored_yx: bool [B, 2]: the window is shown upside down, left to right.
    """

    windows_yxyx: tf.Tensor
    mirrored_yx: tf.Tensor


def visible_shares(boxes_yxyx: tf.Tensor, windows_yxyx: tf.Tensor) -> tf.Tensor:
    """Share of each box's area inside a window (intersection over foreground), for any shapes that broadcast.

    Args:
      boxes_yxyx: float32 [..., 4].
      windows_yxyx: float32 [..., 4] in the same frame.

    Returns:
      float32 [...] in 0..1; 0 for a box without area.
    """
    top_left = tf.maximum(boxes_yxyx[..., :2], windows_yxyx[..., :2])  # [..., 2]
    bottom_right = tf.minimum(boxes_yxyx[..., 2:], windows_yxyx[..., 2:])  # [..., 2]
    inside = tf.reduce_prod(tf.maximum(bottom_right - top_left, 0.0), axis=-1)  # [...]
    areas = tf.reduce_prod(tf.maximum(boxes_yxyx[..., 2:] - boxes_yxyx[..., :2], 0.0), axis=-1)  # [...]
    return tf.minimum(tf.math.divide_no_nan(inside, areas), 1.0)


def random_geometry(
    boxes_yxyx: tf.Tensor, present: tf.Tensor, seed: tf.Tensor, settings: AugmentationSettings
) -> Geometry:
    """Draws how each image is shown, keeping at least one object in sight where there is one.

    A crop in the manner of SSD (Liu et al. 2016, section 2.2): several windows are drawn, the first that shows an
    object to ``min_visible`` is taken, the whole image when none does.

    Args:
      boxes_yxyx: float32 [B, M, 4] in 0..1 of the image.
      present: bool [B, M]: which of them are objects to learn; the others are padding.
      seed: int [2].
      settings: ranges and probabilities.
    """
    batch = tf.shape(boxes_yxyx)[0]
    draws = tf.random.stateless_uniform([batch, 4 + 4 * _WINDOW_TRIALS], seed)
    kind, zoom, mirror = draws[:, 0, tf.newaxis], draws[:, 1, tf.newaxis], draws[:, 2:4]  # [B, 1], [B, 1], [B, 2]
    trials = tf.reshape(draws[:, 4:], [-1, _WINDOW_TRIALS, 4])  # [B, T, 4]

    side = settings.crop_min_side + (1.0 - settings.crop_min_side) * trials[..., 0]  # [B, T]
    stretch = tf.exp((trials[..., 1] - 0.5) * math.log(settings.crop_aspect_jitter))  # [B, T], root of the ratio
    sides = tf.minimum(tf.stack([side * stretch, side / stretch], axis=-1), 1.0)  # [B, T, 2]
    start = trials[..., 2:] * (1.0 - sides)  # [B, T, 2]
    windows = tf.concat([start, tf.minimum(start + sides, 1.0)], axis=-1)  # [B, T, 4]
    shares = visible_shares(boxes_yxyx[:, tf.newaxis], windows[:, :, tf.newaxis])  # [B, T, M]
    shows_object = tf.logical_and(shares >= settings.min_visible, present[:, tf.newaxis])  # [B, T, M]
    # Without objects every window is as good as any.
    empty = tf.logical_not(tf.reduce_any(present, axis=-1, keepdims=True))  # [B, 1]
    acceptable = tf.logical_or(tf.reduce_any(shows_object, axis=-1), empty)  # [B, T]
    first = tf.argmax(acceptable, axis=-1, output_type=tf.int32)  # [B]
    whole = tf.constant([0.0, 0.0, 1.0, 1.0])
    cropped = tf.where(
        tf.reduce_any(acceptable, axis=-1, keepdims=True), tf.gather(windows, first, batch_dims=1), whole
    )  # [B, 4]

    ground = 1.0 + zoom * (settings.zoom_out_max_side - 1.0)  # [B, 1]
    corner = trials[:, 0, 2:] * (1.0 - ground)  # [B, 2], at most 0
    zoomed_out = tf.concat([corner, corner + ground], axis=-1)  # [B, 4]

    zoomed_out_or_whole = tf.where(kind < settings.crop + settings.zoom_out, zoomed_out, whole)  # [B, 4]
    return Geometry(
        tf.where(kind < settings.crop, cropped, zoomed_out_or_whole),
        mirror < [settings.vertical_flip, settings.horizontal_flip],
    )


def boxes_in_window(boxes_yxyx: tf.Tensor, geometry: Geometry) -> tuple[tf.Tensor, tf.Tensor]:
    """Boxes as they are in the shown part.

    Args:
      boxes_yxyx: float32 [B, M, 4] in 0..1 of the image.
      geometry: how the B images are shown.

    Returns:
      float32 [B, M, 4] in 0..1 of the shown part, clipped to it, and the share of each box's area that is in sight,
      float32 [B, M]. Boxes out of sight have no area.
    """
    windows = geometry.windows_yxyx[:, tf.newaxis]  # [B, 1, 4]
    start, size = windows[..., :2], windows[..., 2:] - windows[..., :2]  # [B, 1, 2]
    low = tf.clip_by_value((boxes_yxyx[..., :2] - start) / size, 0.0, 1.0)  # [B, M, 2]
    high = tf.clip_by_value((boxes_yxyx[..., 2:] - start) / size, 0.0, 1.0)  # [B, M, 2]
    mirrored = geometry.mirrored_yx[:, tf.newaxis]  # [B, 1, 2]
    low, high = tf.where(mirrored, 1.0 - high, low), tf.where(mirrored, 1.0 - low, high)
    return tf.concat([low, high], axis=-1), visible_shares(boxes_yxyx, windows)


def show(decoded_part: tf.Tensor, geometry: Geometry) -> tf.Tensor:
    """Puts what was decoded on its ground and mirrors it.

    Args:
      decoded_part: uint8 [h, w, 3], the pixels of ``part_inside_image``.
      geometry: how this one image is shown (float32 [4], bool [2]).

    Returns:
      uint8 [H, W, 3], the pixels of the whole window.
    """
    window, inside = geometry.windows_yxyx, part_inside_image(geometry.windows_yxyx)

    def on_ground() -> tf.Tensor:
        size = tf.cast(tf.shape(decoded_part)[:2], tf.float32)
        scale = size / (inside[2:] - inside[:2])  # pixels a unit
        before = tf.cast(tf.round((inside[:2] - window[:2]) * scale), tf.int32)
        after = tf.cast(tf.round((window[2:] - inside[2:]) * scale), tf.int32)
        return _on_grey(decoded_part, before, after)

    shown = tf.cond(tf.reduce_any(tf.not_equal(window, inside)), on_ground, lambda: decoded_part)
    for axis in (0, 1):
        shown = tf.cond(geometry.mirrored_yx[axis], lambda image=shown, axis=axis: tf.reverse(image, [axis]),
                        lambda image=shown: image)  # fmt: skip
    return shown


def part_inside_image(windows_yxyx: tf.Tensor) -> tf.Tensor:
    """The part of windows that lies on the image, float32 [..., 4] within 0..1: what has to be decoded."""
    return tf.clip_by_value(windows_yxyx, 0.0, 1.0)


def _on_grey(image: tf.Tensor, before_pixels: tf.Tensor, after_pixels: tf.Tensor) -> tf.Tensor:
    """uint8 [h, w, 3] with grey added before and after, int32 [2] (y, x) each. Ten times as fast as ``tf.pad``."""
    height, width = tf.shape(image)[0], tf.shape(image)[1]

    def grey(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        return tf.fill(tf.stack([rows, columns, 3]), tf.constant(GREY, tf.uint8))

    image = tf.concat([grey(height, before_pixels[1]), image, grey(height, after_pixels[1])], axis=1)
    width = before_pixels[1] + width + after_pixels[1]
    return tf.concat([grey(before_pixels[0], width), image, grey(after_pixels[0], width)], axis=0)
