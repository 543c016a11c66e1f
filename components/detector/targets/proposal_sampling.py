"""Choosing the anchors and proposals that take part in a training step (Faster R-CNN, section 3.1.3)."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Sample(NamedTuple):
    """Chosen columns of each image.

    Attributes:
      indices: int32 [B, S]; where there are fewer candidates than S, the rest are arbitrary columns of weight 0.
      weights: float32 [B, S]: 1 for a chosen column, 0 for filling.
    """

    indices: tf.Tensor
    weights: tf.Tensor


def balanced_sample(
    is_candidate: tf.Tensor,
    is_positive: tf.Tensor,
    *,
    sample_size: int,
    positive_fraction: float,
    seed: tf.Tensor,
) -> Sample:
    """Draws at random at most a fraction of positives and fills up with negatives.

    Like the zoo's ``balanced_positive_negative_sampler``: positives beyond the fraction are left out even where
    negatives are too few to fill the sample.

    Args:
      is_candidate: bool [B, N]: what may be drawn.
      is_positive: bool [B, N].
      sample_size: S; at most N are returned.
      positive_fraction: 0..1; ``int(sample_size * positive_fraction)`` positives at most.
      seed: int32 [2]: the same seed and input give the same sample.

    Returns:
      The sample, S = min(sample_size, N).

    Raises:
      ValueError: positive_fraction outside 0..1.
    """
    if not 0.0 <= positive_fraction <= 1.0:
        raise ValueError(f"positive_fraction must be in 0..1, found {positive_fraction}")
    max_positives = int(sample_size * positive_fraction)
    size = min(sample_size, is_candidate.shape[1])
    # In a random order "the first k of a kind" is "k of a kind drawn at random".
    shuffle = tf.argsort(tf.random.stateless_uniform(tf.shape(is_candidate), seed), axis=1)  # [B, N]
    candidate = tf.gather(is_candidate, shuffle, batch_dims=1)  # [B, N]
    positive = tf.gather(is_positive, shuffle, batch_dims=1) & candidate  # [B, N]
    kept_positive = _first(positive, tf.constant(max_positives))  # [B, N]
    num_positives = tf.math.count_nonzero(kept_positive, axis=1, keepdims=True, dtype=tf.int32)  # [B, 1]
    kept_negative = _first(candidate & ~positive, sample_size - num_positives)  # [B, N]
    # Equal values keep their order in top_k, so the kept columns come first.
    chosen = tf.math.top_k(tf.cast(kept_positive | kept_negative, tf.int32), k=size)  # [B, S]
    return Sample(tf.gather(shuffle, chosen.indices, batch_dims=1), tf.cast(chosen.values, tf.float32))


def _first(mask: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """bool [B, N]: the first ``count`` (int32 [] or [B, 1]) true columns of ``mask``."""
    return mask & (tf.cumsum(tf.cast(mask, tf.int32), axis=1) <= count)
