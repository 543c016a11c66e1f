"""Contrastive denoising (Zhang et al. 2023, "DINO", section 3.3): objects with noise, which a decoder has to restore.

The decoder gets noisy copies of an image's objects beside the queries that it finds itself. Copies near their object
learn it, and those farther away learn that they are none. Copies come in groups with each object once near and once
far; what is in a group sees no other group, and what the decoder finds itself sees no copy.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import tensorflow as tf

from components.detector.structures import GroundTruth
from components.detector.targets import boxes as box_ops

_OTHER_CLASS_SHARE: Final = 0.25
"""Of the copies have a class drawn at random: half of D-FINE's ``label_noise_ratio``, as there."""
_HIDDEN: Final = -1e9
"""Added to the attention of what is not to be seen."""


class DenoisingQueries(NamedTuple):
    """Copies of objects, D near ones before D far ones; only so many are real as there are objects.

    Attributes:
      classes: int32 [B, 2 * D], 0-based, some of them wrong; padding has 0.
      boxes_cxcywh: float32 [B, 2 * D, 4], in 0..1 of the canvas.
      objects: int32 [B, 2 * D]: the object that a near copy is of; -1 for far ones and padding.
      is_real: bool [B, 2 * D].
      groups: int32 [2 * D].
    """

    classes: tf.Tensor
    boxes_cxcywh: tf.Tensor
    objects: tf.Tensor
    is_real: tf.Tensor
    groups: tf.Tensor

    def attention_mask(self, num_queries: int) -> tf.Tensor:
        """What hides from each query what it must not see, float32 [B, 2 * D + Q, 2 * D + Q], to be added.

        Args:
          num_queries: Q of the decoder's own, behind the copies.
        """
        num_copies = self.groups.shape[0]
        groups = tf.concat([self.groups, tf.fill((num_queries,), -1)], axis=0)  # [T]
        is_own = tf.range(num_copies + num_queries) >= num_copies  # [T]
        is_real = tf.pad(self.is_real, [[0, 0], [0, num_queries]], constant_values=True)  # [B, T]
        # Padding sees itself, so that it sees something.
        itself = tf.eye(num_copies + num_queries, dtype=tf.bool)  # [T, T]
        near = is_own | (groups[:, tf.newaxis] == groups)  # [T, T]
        return tf.where((near & is_real[:, tf.newaxis]) | itself, 0.0, _HIDDEN)  # [B, T, T]


def denoising_queries(truth: GroundTruth, num_classes: int, copies: int, seed: tf.Tensor) -> DenoisingQueries:
    """Draws noisy copies of the objects to learn: each as often as the image with most objects leaves room for.

    Args:
      truth: in the canvas frame, with at least one row.
      num_classes: wrong classes are drawn from.
      copies: D, near ones and far ones each.
      seed: int32 [2]: the same seed and truth give the same copies.
    """
    to_learn = truth.weights > 0.0  # [B, M]
    counts = tf.reduce_sum(tf.cast(to_learn, tf.int32), axis=1)  # [B]
    first = tf.argsort(tf.cast(to_learn, tf.int32), axis=1, direction="DESCENDING", stable=True)  # [B, M]
    # At least 1, of a batch without objects and of one without images.
    most = tf.reduce_max(tf.concat([counts, [1]], axis=0))
    places = tf.range(copies)  # [D]
    number, group = places % most, places // most  # [D], [D]
    # A group is whole, except where it has no room for all.
    is_real = (number < counts[:, tf.newaxis]) & (group < tf.maximum(copies // most, 1))  # [B, D]
    objects = tf.gather(first, tf.minimum(number, tf.shape(first)[1] - 1), axis=1)  # [B, D]
    is_real = tf.tile(is_real, (1, 2))  # [B, 2D]
    of_objects = tf.tile(objects, (1, 2))  # [B, 2D]
    boxes = tf.gather(truth.boxes_yxyx_normalized, of_objects, batch_dims=1)  # [B, 2D, 4]
    classes = tf.maximum(tf.gather(truth.classes, of_objects, batch_dims=1), 0)  # [B, 2D]

    seeds = tf.unstack(tf.random.split(seed, 4))
    is_other = tf.random.stateless_uniform(tf.shape(classes), seeds[0]) < _OTHER_CLASS_SHARE
    others = tf.random.stateless_uniform(tf.shape(classes), seeds[1], 0, num_classes, tf.int32)
    # Each side moves by up to half the object's size, of a far copy by half of it to all of it.
    shares = tf.random.stateless_uniform(tf.shape(boxes), seeds[2])  # [B, 2D, 4]
    is_far = tf.range(2 * copies) >= copies  # [2D]
    shares += tf.cast(is_far, tf.float32)[:, tf.newaxis]
    signs = tf.where(tf.random.stateless_uniform(tf.shape(boxes), seeds[3]) < 0.5, -1.0, 1.0)
    half_sizes = tf.tile(boxes[..., 2:] - boxes[..., :2], (1, 1, 2)) / 2.0  # [B, 2D, 4]
    noisy = tf.clip_by_value(boxes + signs * shares * half_sizes, 0.0, 1.0)  # [B, 2D, 4]
    return DenoisingQueries(
        classes=tf.where(is_other, others, classes),
        # Sides that have passed each other make a size all the same, as in the original.
        boxes_cxcywh=tf.abs(box_ops.yxyx_to_cxcywh(noisy)),
        objects=tf.where(is_real & ~is_far, of_objects, -1),
        is_real=is_real,
        groups=tf.tile(group, (2,)),
    )
