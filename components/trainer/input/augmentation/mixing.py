"""Images made of several of their batch: mosaic and mixup.

Both work on finished canvases, so that no image is decoded twice, and after everything that happens to a single image.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from components.detector.structures import GroundTruth
from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.input.augmentation.geometry import Geometry, boxes_in_window

_CELLS = 4
_CENTRE_RANGE = (0.3, 0.7)
"""Where the four parts of a mosaic meet, in 0..1 of the canvas."""
_MIXUP_SHARE_RANGE = (0.35, 0.65)
"""Weight of the other image in a mixup: both have to be seen."""


class Mixing(NamedTuple):
    """What the images of a batch are made of.

    Attributes:
      is_mosaic: bool [B].
      cells_yxyx: float32 [B, 4, 4] in 0..1 of the canvas: upper left, upper right, lower left, lower right.
      windows_yxyx: float32 [B, 4, 4] in 0..1 of the source's canvas: what each cell shows.
      sources: int32 [B, 4]: whose canvas that is; the first is the image itself.
      partners: int32 [B]: what shines through in a mixup; the image itself where none does.
      partner_shares: float32 [B]: its weight.
    """

    is_mosaic: tf.Tensor
    cells_yxyx: tf.Tensor
    windows_yxyx: tf.Tensor
    sources: tf.Tensor
    partners: tf.Tensor
    partner_shares: tf.Tensor


def random_mixing(
    valid_height_width: tf.Tensor, seed: tf.Tensor, settings: AugmentationSettings, active: tf.Tensor
) -> Mixing:
    """Draws what each image is made of.

    A mosaic (Bochkovskiy et al. 2020) shows four canvases at one scale each, cut to where they meet; mixup is that of
    detection (Zhang et al. 2019), with the objects of both images.

    Args:
      valid_height_width: float32 [B, 2], the share of each canvas that is image.
      seed: int [2].
      settings: probabilities and ranges.
      active: bool scalar; False draws nothing.
    """
    batch = tf.shape(valid_height_width)[0]
    draws = tf.random.stateless_uniform([batch, 8 + 4 * _CELLS], seed)
    low, high = _CENTRE_RANGE
    cy, cx = tf.unstack(low + (high - low) * draws[:, 2:4], axis=-1)  # [B] each
    zero, one = tf.zeros_like(cy), tf.ones_like(cy)
    cells = tf.stack(
        [
            tf.stack(corners, axis=-1)
            for corners in ((zero, zero, cy, cx), (zero, cx, cy, one), (cy, zero, one, cx), (cy, cx, one, one))
        ],
        axis=1,
    )  # [B, 4, 4]
    itself = tf.range(batch)
    # Any of the others; a batch of one has only itself.
    steps = 1 + tf.cast(draws[:, 4:8] * tf.cast(batch - 1, tf.float32), tf.int32)  # [B, 4]
    others = (itself[:, tf.newaxis] + steps) % batch  # [B, 4]
    sources = tf.concat([itself[:, tf.newaxis], others[:, 1:]], axis=-1)  # [B, 4]

    of_cells = tf.reshape(draws[:, 8:], [-1, _CELLS, 4])  # [B, 4, 4]
    valid = tf.gather(valid_height_width, sources)  # [B, 4, 2]
    sides = cells[..., 2:] - cells[..., :2]  # [B, 4, 2]
    scale = settings.mosaic_min_scale + (1.0 - settings.mosaic_min_scale) * of_cells[..., :1]  # [B, 4, 1]
    # Larger where the source would not fill its cell.
    scale = tf.maximum(scale, tf.reduce_max(sides / valid, axis=-1, keepdims=True))
    shown = tf.minimum(sides / scale, valid)  # [B, 4, 2]
    start = of_cells[..., 1:3] * (valid - shown)  # [B, 4, 2]

    mixes = (draws[:, 1] < settings.mixup) & active  # [B]
    low, high = _MIXUP_SHARE_RANGE
    return Mixing(
        (draws[:, 0] < settings.mosaic) & active,
        cells,
        tf.concat([start, start + shown], axis=-1),
        sources,
        tf.where(mixes, others[:, 0], itself),
        tf.where(mixes, low + (high - low) * of_cells[:, 0, 3], 0.0),
    )


def mix(
    images: tf.Tensor, truth: GroundTruth, mixing: Mixing, settings: AugmentationSettings
) -> tuple[tf.Tensor, GroundTruth]:
    """Mosaics first, then mixups of what there is.

    Args:
      images: uint8 [B, H, W, 3], canvases.
      truth: ground truth in the canvas frame, [B, M].
      mixing: see ``random_mixing``.
      settings: tell which kinds there are at all.

    Returns:
      uint8 [B, H, W, 3] and the ground truth of what they show, [B, N M]: N is 4 with mosaic, times 2 with mixup.
    """
    if settings.mosaic:
        images, truth = _mosaics(images, truth, mixing, settings.min_visible)
    if settings.mixup:
        images, truth = _mixups(images, truth, mixing)
    return images, truth


def _mosaics(
    images: tf.Tensor, truth: GroundTruth, mixing: Mixing, min_visible: float
) -> tuple[tf.Tensor, GroundTruth]:
    height, width = images.shape[1:3]
    pixels = tf.constant([height, width, height, width], tf.float32)
    cells, windows = tf.round(mixing.cells_yxyx * pixels), tf.round(mixing.windows_yxyx * pixels)  # [B, 4, 4]

    def part(cell: tf.Tensor, window: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
        cell, window = tf.cast(cell, tf.int32), tf.cast(window, tf.int32)
        cut = images[source, window[0] : window[2], window[1] : window[3]]
        resized = tf.image.resize(cut, cell[2:] - cell[:2])  # [h, w, 3]
        return tf.cast(resized + 0.5, tf.uint8)

    def image(index: tf.Tensor) -> tf.Tensor:
        def mosaic() -> tf.Tensor:
            parts = [part(cells[index, n], windows[index, n], mixing.sources[index, n]) for n in range(_CELLS)]
            return tf.concat([tf.concat(parts[:2], axis=1), tf.concat(parts[2:], axis=1)], axis=0)

        return tf.ensure_shape(tf.cond(mixing.is_mosaic[index], mosaic, lambda: images[index]), images.shape[1:])

    batch = tf.shape(images)[0]
    mixed = tf.map_fn(image, tf.range(batch), fn_output_signature=tf.TensorSpec(images.shape[1:], tf.uint8))
    return mixed, _mosaic_truth(truth, mixing, cells / pixels, windows / pixels, min_visible)


def _mosaic_truth(
    truth: GroundTruth, mixing: Mixing, cells_yxyx: tf.Tensor, windows_yxyx: tf.Tensor, min_visible: float
) -> GroundTruth:
    """The objects of the four parts; those of an image that is no mosaic stand in the first."""
    batch = tf.shape(truth.classes)[0]
    sources = tf.reshape(mixing.sources, [-1])  # [4 B]
    boxes, visible = boxes_in_window(
        tf.gather(truth.boxes_yxyx_normalized, sources), Geometry.of_windows(tf.reshape(windows_yxyx, [-1, 4]))
    )  # [4 B, M, 4], [4 B, M]
    cells = tf.reshape(cells_yxyx, [-1, 1, 4])  # [4 B, 1, 4]
    size = tf.tile(cells[..., 2:] - cells[..., :2], [1, 1, 2])  # [4 B, 1, 4]
    boxes = tf.tile(cells[..., :2], [1, 1, 2]) + boxes * size
    classes, weights = tf.gather(truth.classes, sources), tf.gather(truth.weights, sources)  # [4 B, M]
    in_sight = (classes >= 0) & (visible > 0.0)
    of_parts = GroundTruth(
        tf.where(in_sight[..., tf.newaxis], boxes, 0.0),
        tf.where(in_sight, classes, -1),
        tf.where(in_sight & (visible >= min_visible), weights, 0.0),
        truth.valid_height_width,
    )
    count = tf.shape(truth.classes)[1]
    more = [[0, 0], [0, (_CELLS - 1) * count]]
    is_mosaic = mixing.is_mosaic[:, tf.newaxis]  # [B, 1]
    return GroundTruth(
        tf.where(
            is_mosaic[..., tf.newaxis],
            tf.reshape(of_parts.boxes_yxyx_normalized, [batch, -1, 4]),
            tf.pad(truth.boxes_yxyx_normalized, [*more, [0, 0]]),
        ),
        tf.where(is_mosaic, tf.reshape(of_parts.classes, [batch, -1]), tf.pad(truth.classes, more, constant_values=-1)),
        tf.where(is_mosaic, tf.reshape(of_parts.weights, [batch, -1]), tf.pad(truth.weights, more)),
        tf.where(is_mosaic, 1.0, truth.valid_height_width),
    )


def _mixups(images: tf.Tensor, truth: GroundTruth, mixing: Mixing) -> tuple[tf.Tensor, GroundTruth]:
    share = mixing.partner_shares[:, tf.newaxis, tf.newaxis, tf.newaxis]  # [B, 1, 1, 1]

    def mixed() -> tf.Tensor:
        pixels = tf.cast(images, tf.float32)
        return tf.cast(pixels * (1.0 - share) + tf.gather(pixels, mixing.partners) * share + 0.5, tf.uint8)

    mixes = mixing.partner_shares > 0.0  # [B]
    others = GroundTruth(*(tf.gather(part, mixing.partners) for part in truth))
    there = mixes[:, tf.newaxis] & (others.classes >= 0)  # [B, M]
    return tf.cond(tf.reduce_any(mixes), mixed, lambda: images), GroundTruth(
        tf.concat(
            [truth.boxes_yxyx_normalized, tf.where(there[..., tf.newaxis], others.boxes_yxyx_normalized, 0.0)], axis=1
        ),
        tf.concat([truth.classes, tf.where(there, others.classes, -1)], axis=1),
        tf.concat([truth.weights, tf.where(there, others.weights, 0.0)], axis=1),
        tf.where(
            mixes[:, tf.newaxis],
            tf.maximum(truth.valid_height_width, others.valid_height_width),
            truth.valid_height_width,
        ),
    )
