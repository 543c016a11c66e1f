"""Parts of images of a tile's size: what a detector that is given tiles learns from."""

from __future__ import annotations

import tensorflow as tf

from components.detector.tiling_settings import TilingSettings
from components.trainer.input.augmentation.geometry import visible_shares

_TRIALS = 20
_WHOLE = (0.0, 0.0, 1.0, 1.0)


def random_tile_windows(
    boxes_yxyx: tf.Tensor, present: tf.Tensor, seed: tf.Tensor, tiling: TilingSettings, min_visible: float
) -> tf.Tensor:
    """Draws a part of each image: anywhere, not only where the tiles of the evaluation lie.

    Some are taken as they come, some are the whole image as often as it is among the tiles, and the others show an
    object: the windows are drawn around a random one, so that a lone object on a large image is found. Objects may be
    cut by their borders, as they are by those of tiles.

    Args:
      boxes_yxyx: float32 [B, M, 4] in 0..1 of the image.
      present: bool [B, M]: which of them are objects to learn.
      seed: int [2].
      tiling: size of a tile, and how often no object is asked for.
      min_visible: share of an object that has to be in a part for it to show the object.

    Returns:
      float32 [B, 4], within 0..1 of the image.
    """
    batch = tf.shape(boxes_yxyx)[0]
    draws = tf.random.stateless_uniform([batch, 2], seed)
    trials = tf.random.stateless_uniform([batch, _TRIALS, 3], tf.random.fold_in(seed, 1))
    size = tf.constant(tiling.tile_share_yx)  # [2]
    anywhere = trials[..., :2] * (1.0 - size)  # [B, T, 2]
    anywhere = tf.concat([anywhere, anywhere + size], axis=-1)  # [B, T, 4]

    # An object of which each trial shows something: its place among those that are there.
    count = tf.reduce_sum(tf.cast(present, tf.int32), axis=-1, keepdims=True)  # [B, 1]
    chosen = tf.cast(trials[..., 2] * tf.cast(count, tf.float32), tf.int32)  # [B, T]
    order = tf.argsort(tf.cast(present, tf.int32), axis=-1, direction="DESCENDING", stable=True)  # [B, M]
    padded = tf.pad(boxes_yxyx, [[0, 0], [0, 1], [0, 0]])  # [B, M + 1, 4]: something to gather without objects
    rows = tf.gather(tf.pad(order, [[0, 0], [0, 1]]), chosen, batch_dims=1)  # [B, T]
    boxes = tf.gather(padded, rows, batch_dims=1)  # [B, T, 4]
    # From where half of it is cut off at one border of the part to where half is at the other.
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2.0  # [B, T, 2]
    corner = tf.clip_by_value(middle - size * trials[..., :2], 0.0, 1.0 - size)
    around = tf.concat([corner, corner + size], axis=-1)  # [B, T, 4]

    shares = visible_shares(boxes_yxyx[:, tf.newaxis], around[:, :, tf.newaxis])  # [B, T, M]
    shows = tf.reduce_any((shares >= min_visible) & present[:, tf.newaxis], axis=-1)  # [B, T]
    first = tf.argmax(shows, axis=-1, output_type=tf.int32)  # [B]
    showing = tf.gather(around, first, batch_dims=1)  # [B, 4]
    # Objects so large that no part shows enough of one are for the whole image, where that is looked at.
    fallback = tf.constant(_WHOLE) if tiling.whole_image else anywhere[:, 0]
    showing = tf.where(tf.reduce_any(shows, axis=-1, keepdims=True), showing, fallback)

    no_object = (draws[:, :1] < tiling.background_share) | (count == 0)  # [B, 1]
    windows = tf.where(no_object, anywhere[:, 0], showing)  # [B, 4]
    is_whole = draws[:, 1:] < (1.0 / tiling.tiles if tiling.whole_image else 0.0)  # [B, 1]
    return tf.where(is_whole, tf.constant(_WHOLE), windows)
