"""Which part of an image is shown, and which way round; boxes follow.

The geometry of an image is one *window*: the part of the image that is shown, in 0..1 of the image; it may reach
beyond the image (zoom out, shown on grey), and it may be mirrored and turned. Windows are drawn for a whole batch
before decoding, from the boxes alone, so that only that part of a JPEG is decoded.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from components.detector.targets.boxes import pairwise_iou
from components.trainer.augmentation_settings import AugmentationSettings

GREY = 127
"""What is shown outside of the image."""
_WHOLE = (0.0, 0.0, 1.0, 1.0)
_MOST_IMAGES_A_SIDE = 2.0
"""A window that is larger is made of a smaller image: at a tenth of its size (large-scale jitter) a photograph of 12
million pixels would stand on a ground of 3.6 GB, and the canvas is smaller by far."""
_WINDOW_TRIALS = 10
"""Windows drawn an image; the first that keeps an object is taken."""
_CONSTRAINED_WINDOW_TRIALS = 50
"""Of those with a condition on their overlap, which few fulfil: as many as SSD draws."""


class Geometry(NamedTuple):
    """How the images of a batch (or, without B, one image) are shown.

    Attributes:
      windows_yxyx: float32 [B, 4], in 0..1 of the image, may reach beyond it.
      mirrored_yx: bool [B, 2]: the window is shown upside down, left to right.
      quarter_turns: int32 [B]: and then turned so many times by 90 degrees, counterclockwise.
    """

    windows_yxyx: tf.Tensor
    mirrored_yx: tf.Tensor
    quarter_turns: tf.Tensor

    @classmethod
    def of_windows(cls, windows_yxyx: tf.Tensor) -> Geometry:
        """Windows (float32 [B, 4]) shown as they are."""
        batch = tf.shape(windows_yxyx)[0]
        return cls(windows_yxyx, tf.zeros([batch, 2], tf.bool), tf.zeros([batch], tf.int32))

    def inside(self, outer_yxyx: tf.Tensor) -> Geometry:
        """The same with windows that are meant in 0..1 of other windows (float32 [B, 4]) and not of the image."""
        start, size = outer_yxyx[:, :2], outer_yxyx[:, 2:] - outer_yxyx[:, :2]  # [B, 2]
        return self._replace(windows_yxyx=tf.tile(start, [1, 2]) + self.windows_yxyx * tf.tile(size, [1, 2]))


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
    object to ``min_visible`` (and overlaps one as ``crop_min_ious`` wants it) is taken, the whole image when none does.
    Large-scale jitter (Ghiasi et al. 2021, section 3) is a crop or a zoom out without change of aspect ratio.

    Args:
      boxes_yxyx: float32 [B, M, 4] in 0..1 of the image.
      present: bool [B, M]: which of them are objects to learn; the others are padding.
      seed: int [2].
      settings: ranges and probabilities.
    """
    batch = tf.shape(boxes_yxyx)[0]
    count = _CONSTRAINED_WINDOW_TRIALS if settings.crop_min_ious else _WINDOW_TRIALS
    draws = tf.random.stateless_uniform([batch, 4 + 4 * count], seed)
    kind, zoom, mirror = draws[:, 0, tf.newaxis], draws[:, 1, tf.newaxis], draws[:, 2:4]  # [B, 1], [B, 1], [B, 2]
    trials = tf.reshape(draws[:, 4:], [-1, count, 4])  # [B, T, 4]

    windows = _crop_windows(trials, settings)  # [B, T, 4]
    acceptable = _shows_object(boxes_yxyx, present, windows, settings.min_visible)  # [B, T]
    if settings.crop_min_ious:
        overlaps = _best_ious(boxes_yxyx, present, windows)  # [B, T]
        acceptable &= overlaps >= _drawn_of(settings.crop_min_ious, zoom)
    cropped = _first_acceptable(windows, acceptable)  # [B, 4]

    ground = 1.0 + zoom * (settings.zoom_out_max_side - 1.0)  # [B, 1]
    corner = trials[:, 0, 2:] * (1.0 - ground)  # [B, 2], at most 0
    zoomed_out = tf.concat([corner, corner + ground], axis=-1)  # [B, 4]

    shown = tf.where(kind < settings.crop + settings.zoom_out, zoomed_out, _WHOLE)  # [B, 4]
    shown = tf.where(kind < settings.crop, cropped, shown)
    if settings.scale_jitter:
        low, high = settings.scale_jitter_range
        side = 1.0 / (low + (high - low) * zoom[:, tf.newaxis])  # [B, 1, 1]
        corners = trials[..., 2:] * (1.0 - side)  # [B, T, 2], below 0 where the image gets smaller
        scaled = tf.concat([corners, corners + side], axis=-1)  # [B, T, 4]
        scaled = _first_acceptable(scaled, _shows_object(boxes_yxyx, present, scaled, settings.min_visible))
        shown = tf.where(kind >= 1.0 - settings.scale_jitter, scaled, shown)
    turns = tf.zeros([batch], tf.int32)
    if settings.quarter_turn:
        # A seed of its own: the other draws stay what they are without turns.
        drawn = tf.random.stateless_uniform([batch], tf.random.fold_in(seed, 1))  # [B]
        # 1, 2 or 3 with the same probability.
        turns = tf.cast(tf.math.ceil(3.0 * (1.0 - drawn / settings.quarter_turn)), tf.int32)  # [B], below 1: none
        turns = tf.clip_by_value(turns, 0, 3)
    return Geometry(shown, mirror < [settings.vertical_flip, settings.horizontal_flip], turns)


def _crop_windows(trials: tf.Tensor, settings: AugmentationSettings) -> tf.Tensor:
    """Windows inside the image, from draws in 0..1: float32 [B, T, 4] -> float32 [B, T, 4]."""
    side = settings.crop_min_side + (1.0 - settings.crop_min_side) * trials[..., 0]  # [B, T]
    stretch = tf.exp((trials[..., 1] - 0.5) * math.log(settings.crop_aspect_jitter))  # [B, T], root of the ratio
    sides = tf.minimum(tf.stack([side * stretch, side / stretch], axis=-1), 1.0)  # [B, T, 2]
    start = trials[..., 2:] * (1.0 - sides)  # [B, T, 2]
    return tf.concat([start, tf.minimum(start + sides, 1.0)], axis=-1)  # [B, T, 4]


def _shows_object(boxes_yxyx: tf.Tensor, present: tf.Tensor, windows: tf.Tensor, min_visible: float) -> tf.Tensor:
    """bool [B, T]: windows with an object in sight; without objects every window is as good as any."""
    shares = visible_shares(boxes_yxyx[:, tf.newaxis], windows[:, :, tf.newaxis])  # [B, T, M]
    shown = tf.logical_and(shares >= min_visible, present[:, tf.newaxis])  # [B, T, M]
    empty = tf.logical_not(tf.reduce_any(present, axis=-1, keepdims=True))  # [B, 1]
    return tf.logical_or(tf.reduce_any(shown, axis=-1), empty)


def _best_ious(boxes_yxyx: tf.Tensor, present: tf.Tensor, windows: tf.Tensor) -> tf.Tensor:
    """float32 [B, T]: largest intersection over union of a window with an object; 1 for images without objects."""
    ious = tf.where(present[:, tf.newaxis], pairwise_iou(windows, boxes_yxyx), 0.0)  # [B, T, M]
    best = tf.reduce_max(tf.pad(ious, [[0, 0], [0, 0], [0, 1]]), axis=-1)  # [B, T]
    return tf.where(tf.reduce_any(present, axis=-1, keepdims=True), best, 1.0)


def _drawn_of(values: tuple[float, ...], draws: tf.Tensor) -> tf.Tensor:
    """One of some values for each draw in 0..1, float32 of the draws' shape."""
    return tf.gather(tf.constant(values), tf.cast(draws * len(values), tf.int32))


def _first_acceptable(windows: tf.Tensor, acceptable: tf.Tensor) -> tf.Tensor:
    """Of float32 [B, T, 4] the first for which bool [B, T] is true, the whole image where none is: float32 [B, 4]."""
    first = tf.argmax(acceptable, axis=-1, output_type=tf.int32)  # [B]
    found = tf.reduce_any(acceptable, axis=-1, keepdims=True)  # [B, 1]
    return tf.where(found, tf.gather(windows, first, batch_dims=1), _WHOLE)


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
    return _turned(tf.concat([low, high], axis=-1), geometry.quarter_turns), visible_shares(boxes_yxyx, windows)


def _turned(boxes_yxyx: tf.Tensor, quarter_turns: tf.Tensor) -> tf.Tensor:
    """Boxes float32 [B, M, 4] in 0..1 of images that are turned counterclockwise by int32 [B] quarters."""
    ymin, xmin, ymax, xmax = tf.unstack(boxes_yxyx, axis=-1)  # [B, M] each
    by_turns = tf.stack(
        [
            boxes_yxyx,
            tf.stack([1.0 - xmax, ymin, 1.0 - xmin, ymax], axis=-1),
            tf.stack([1.0 - ymax, 1.0 - xmax, 1.0 - ymin, 1.0 - xmin], axis=-1),
            tf.stack([xmin, 1.0 - ymax, xmax, 1.0 - ymin], axis=-1),
        ],
        axis=1,
    )  # [B, 4, M, 4]
    return tf.gather(by_turns, quarter_turns, axis=1, batch_dims=1)


def show(decoded_part: tf.Tensor, geometry: Geometry) -> tf.Tensor:
    """Puts what was decoded on its ground, mirrors and turns it.

    Args:
      decoded_part: uint8 [h, w, 3], the pixels of ``part_inside_image``.
      geometry: how this one image is shown (float32 [4], bool [2], int32 []).

    Returns:
      uint8 [H, W, 3], the pixels of the whole window, coarser ones where it is much larger than the image; a turn by
      one or three quarters swaps H and W.
    """
    window, inside = geometry.windows_yxyx, part_inside_image(geometry.windows_yxyx)

    def on_ground() -> tf.Tensor:
        largest = tf.reduce_max(window[2:] - window[:2])
        part = tf.cond(
            largest > _MOST_IMAGES_A_SIDE,
            lambda: _shrunk(decoded_part, _MOST_IMAGES_A_SIDE / largest),
            lambda: decoded_part,
        )
        size = tf.cast(tf.shape(part)[:2], tf.float32)
        scale = size / (inside[2:] - inside[:2])  # pixels a unit
        before = tf.cast(tf.round((inside[:2] - window[:2]) * scale), tf.int32)
        after = tf.cast(tf.round((window[2:] - inside[2:]) * scale), tf.int32)
        return _on_grey(part, before, after)

    shown = tf.cond(tf.reduce_any(tf.not_equal(window, inside)), on_ground, lambda: decoded_part)
    for axis in (0, 1):
        shown = tf.cond(geometry.mirrored_yx[axis], lambda image=shown, axis=axis: tf.reverse(image, [axis]),
                        lambda image=shown: image)  # fmt: skip
    turns = geometry.quarter_turns
    return tf.cond(turns > 0, lambda: tf.image.rot90(shown, turns), lambda: shown)


def part_inside_image(windows_yxyx: tf.Tensor) -> tf.Tensor:
    """The part of windows that lies on the image, float32 [..., 4] within 0..1: what has to be decoded."""
    return tf.clip_by_value(windows_yxyx, 0.0, 1.0)


def _shrunk(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """uint8 [h, w, 3] scaled by a factor below 1, to one pixel at least."""
    size = tf.maximum(tf.cast(tf.round(tf.cast(tf.shape(image)[:2], tf.float32) * factor), tf.int32), 1)
    return tf.cast(tf.image.resize(image, size, antialias=True) + 0.5, tf.uint8)


def _on_grey(image: tf.Tensor, before_pixels: tf.Tensor, after_pixels: tf.Tensor) -> tf.Tensor:
    """uint8 [h, w, 3] with grey added before and after, int32 [2] (y, x) each. Ten times as fast as ``tf.pad``."""
    height, width = tf.shape(image)[0], tf.shape(image)[1]

    def grey(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        return tf.fill(tf.stack([rows, columns, 3]), tf.constant(GREY, tf.uint8))

    image = tf.concat([grey(height, before_pixels[1]), image, grey(height, after_pixels[1])], axis=1)
    width = before_pixels[1] + width + after_pixels[1]
    return tf.concat([grey(before_pixels[0], width), image, grey(after_pixels[0], width)], axis=0)
