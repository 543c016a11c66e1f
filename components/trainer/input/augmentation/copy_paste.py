"""Objects of other images, cut out by their boxes, pasted into an image; rare classes more often.

After Ghiasi et al. 2021, but by boxes, since there are no masks: a pasted object brings the corners of its box along.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.input.augmentation.patches import paste

_LARGEST_SIDE = 0.8
"""Of a pasted object, as a share of the image's: something of the image has to be left."""
_FEWEST_PIXELS = 2.0


class ObjectBank(NamedTuple):
    """What may be pasted.

    Attributes:
      crops: string [N], each object's pixels as a JPEG.
      sides_yx: float32 [N, 2], height and width in 0..1 of the canvas, as the object's own image shows it.
      classes: int32 [N], 0-based.
      cumulative: float32 [N], rising to 1: how often each is pasted.
    """

    crops: tf.Tensor
    sides_yx: tf.Tensor
    classes: tf.Tensor
    cumulative: tf.Tensor


class Pastes(NamedTuple):
    """What is pasted into the images of a batch (or, without B, into one).

    Attributes:
      crops: string [B, K].
      sides_yx: float32 [B, K, 2], in 0..1 of the canvas; 0 where nothing is pasted.
      places_yx: float32 [B, K, 2] in 0..1: of the way from the upper left to the lower right that there is.
      is_mirrored: bool [B, K].
      classes: int32 [B, K]; -1 where nothing is pasted.
    """

    crops: tf.Tensor
    sides_yx: tf.Tensor
    places_yx: tf.Tensor
    is_mirrored: tf.Tensor
    classes: tf.Tensor

    @classmethod
    def none(cls, batch: tf.Tensor | int) -> Pastes:
        """Nothing is pasted, K is 0."""
        sides = tf.zeros([batch, 0, 2])
        empty = tf.zeros([batch, 0])
        return cls(tf.fill([batch, 0], ""), sides, sides, empty > 0.0, tf.cast(empty, tf.int32))


def random_pastes(batch: tf.Tensor | int, seed: tf.Tensor, bank: ObjectBank, settings: AugmentationSettings) -> Pastes:
    """Draws what is pasted where: 1 to ``copy_paste_objects`` objects into each image that is to have some.

    Args:
      batch: how many images.
      seed: int [2].
      bank: to choose from.
      settings: probabilities and ranges.
    """
    most = settings.copy_paste_objects
    image_draws = tf.random.stateless_uniform([batch, 2], seed)
    draws = tf.random.stateless_uniform([batch, most, 5], tf.random.fold_in(seed, 1))
    wanted = 1 + tf.cast(image_draws[:, 1] * most, tf.int32)  # [B]
    wanted = tf.where(image_draws[:, 0] < settings.copy_paste, wanted, 0)
    is_pasted = tf.range(most) < wanted[:, tf.newaxis]  # [B, K]
    chosen = tf.searchsorted(bank.cumulative, tf.reshape(draws[..., 0], [-1]), side="right")
    chosen = tf.reshape(tf.minimum(chosen, tf.size(bank.cumulative) - 1), [-1, most])  # [B, K]
    low, high = settings.copy_paste_scale_range
    scale = low + (high - low) * draws[..., 1:2]  # [B, K, 1]
    sides = tf.gather(bank.sides_yx, chosen)  # [B, K, 2]
    # Smaller as a whole where a side would be too long: its shape says what it is.
    scale = tf.minimum(scale, _LARGEST_SIDE / tf.reduce_max(sides, axis=-1, keepdims=True))
    return Pastes(
        tf.where(is_pasted, tf.gather(bank.crops, chosen), ""),
        tf.where(is_pasted[..., tf.newaxis], sides * scale, 0.0),
        draws[..., 2:4],
        draws[..., 4] < settings.horizontal_flip,
        tf.where(is_pasted, tf.gather(bank.classes, chosen), -1),
    )


def paste_objects(image: tf.Tensor, valid_height_width: tf.Tensor, pastes: Pastes) -> tuple[tf.Tensor, tf.Tensor]:
    """Pastes into one image what was drawn for it.

    Args:
      image: uint8 [H, W, 3], a canvas.
      valid_height_width: float32 [2], the share of it that is image.
      pastes: of this image, K known.

    Returns:
      uint8 [H, W, 3] and the boxes of what was pasted, float32 [K, 4] in 0..1 of the canvas, without area where nothing
      was.
    """
    canvas = tf.constant(tuple(image.shape[:2]), tf.float32)
    room = tf.floor(valid_height_width * canvas)  # [2]
    boxes = []
    for crop, side, place, mirrored in zip(
        *(tf.unstack(part, num=pastes.classes.shape[0]) for part in pastes[:4]), strict=True
    ):
        is_pasted = side[0] > 0.0
        pixels = tf.clip_by_value(tf.round(side * canvas), tf.minimum(_FEWEST_PIXELS, room), room)  # [2]
        corner = tf.round(place * (room - pixels))  # [2]

        def pasted(
            crop: tf.Tensor = crop,
            mirrored: tf.Tensor = mirrored,
            pixels: tf.Tensor = pixels,
            corner: tf.Tensor = corner,
            image: tf.Tensor = image,
        ) -> tf.Tensor:
            patch = tf.image.resize(tf.io.decode_jpeg(crop, channels=3), tf.cast(pixels, tf.int32))
            patch = tf.cond(mirrored, lambda: tf.reverse(patch, [1]), lambda: patch)
            return paste(image, tf.cast(patch + 0.5, tf.uint8), tf.cast(corner, tf.int32))

        image = tf.ensure_shape(tf.cond(is_pasted, pasted, lambda image=image: image), image.shape)
        box = tf.concat([corner, corner + pixels], axis=0) / tf.tile(canvas, [2])  # [4]
        boxes.append(tf.where(is_pasted, box, 0.0))
    return image, tf.stack(boxes) if boxes else tf.zeros([0, 4])
