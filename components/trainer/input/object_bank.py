"""Cuts objects out of the training images for ``augmentation.copy_paste``.

The bank is made anew of the same records whenever batches are made: a resumed training pastes what an undisturbed one
does. It is bounded in objects, and each in pixels by the canvas.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from components.image_decoding import decode_upright_window
from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.input.augmentation.copy_paste import ObjectBank
from components.user_error import UserError

Candidate = tuple[int, int]
"""Number of the record and of the object in it."""

_MOST_OBJECTS = 1000
_FEWEST_OF_A_CLASS = 10
_JPEG_QUALITY = 95


class NothingToPasteError(UserError):
    """The records hold no object that could be pasted."""


def object_bank(
    images: tf.data.Dataset,
    resize: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    settings: AugmentationSettings,
    *,
    seed: int,
    shown_share_yx: tuple[float, float] = (1.0, 1.0),
) -> ObjectBank:
    """Chooses objects at random, as many of each class, and cuts them out.

    Args:
      images: always in the same order: encoded image (string), its height and width (int64 [2]), boxes (float32 [M, 4],
        yxyx, in 0..1 of the image), classes (int [M], 0-based) and whether each may be pasted (bool [M]).
      resize: of the detector: brings an image to the canvas.
      settings: say how much rare classes are preferred.
      seed: of the choice.
      shown_share_yx: height and width of the part of an image that a canvas shows, where that is not all of it.

    Raises:
      NothingToPasteError: there is no object.
    """
    by_class: dict[int, list[Candidate]] = collections.defaultdict(list)
    for record, (_, _, _, classes, usable) in images.enumerate().as_numpy_iterator():
        for usable_number in np.flatnonzero(usable):
            by_class[int(classes[usable_number])].append((int(record), int(usable_number)))
    if not by_class:
        raise NothingToPasteError(
            "train.augmentation.copy_paste: the split `train` has no object to paste; set it to 0, or add annotations"
        )
    chosen = _chosen(by_class, seed)
    rarity = {index: len(members) ** -settings.copy_paste_rarity for index, members in by_class.items()}
    cut = _cutter(resize, settings.copy_paste_scale_range[1], shown_share_yx)
    crops, sides, of_class, shares = [], [], [], []
    for record, (encoded, size, boxes, classes, _) in images.enumerate():
        for number in chosen.get(int(record), ()):
            crop, side = cut(encoded, size, boxes[number])
            class_index = int(classes[number])
            crops.append(crop)
            sides.append(side)
            of_class.append(class_index)
            shares.append(rarity[class_index])
    counts = collections.Counter(of_class)
    probabilities = np.array([share / counts[index] for share, index in zip(shares, of_class, strict=True)])
    return ObjectBank(
        tf.stack(crops),
        tf.stack(sides),
        tf.constant(of_class, tf.int32),
        tf.constant(np.cumsum(probabilities) / probabilities.sum(), tf.float32),
    )


def _chosen(by_class: Mapping[int, list[Candidate]], seed: int) -> dict[int, list[int]]:
    """Which objects of which records."""
    most = max(_MOST_OBJECTS // len(by_class), _FEWEST_OF_A_CLASS)
    chosen: dict[int, list[int]] = collections.defaultdict(list)
    for index, members in sorted(by_class.items()):
        positions: list[int] = np.random.default_rng((seed, index)).permutation(len(members))[:most].tolist()
        for record, number in (members[position] for position in sorted(positions)):
            chosen[record].append(number)
    return chosen


def _cutter(
    resize: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    largest_scale: float,
    shown_share_yx: tuple[float, float],
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """A function that cuts one object out of one image."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([], tf.string),
            tf.TensorSpec([2], tf.int64),
            tf.TensorSpec([4], tf.float32),
        ],
        autograph=False,
    )
    def cut(encoded: tf.Tensor, height_width: tf.Tensor, box_yxyx: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Its JPEG, not larger than it is ever pasted, and its sides in 0..1 of the canvas (float32 [2])."""
        canvas, share = resize(tf.zeros(tf.concat([height_width, [3]], axis=0), tf.uint8))
        sides = (box_yxyx[2:] - box_yxyx[:2]) * share / tf.constant(shown_share_yx)  # [2]
        part = decode_upright_window(encoded, box_yxyx)
        needed = tf.math.ceil(sides * largest_scale * tf.cast(tf.shape(canvas)[:2], tf.float32))
        size = tf.minimum(tf.shape(part)[:2], tf.maximum(tf.cast(needed, tf.int32), 1))
        part = tf.cast(tf.image.resize(part, size, antialias=True) + 0.5, tf.uint8)
        return tf.io.encode_jpeg(part, quality=_JPEG_QUALITY), sides

    return cut
