"""Assigning ground truth to anchors: the argmax matcher of the zoo's configurations, for a whole batch at once."""

from __future__ import annotations

from typing import Final, NamedTuple

import tensorflow as tf

UNMATCHED: Final = -1
"""The anchor (or proposal) is background."""
IGNORED: Final = -2
"""The anchor lies between the thresholds: neither background nor object."""


class Targets(NamedTuple):
    """Per-anchor training targets.

    Attributes:
      matches: int32 [B, N]: row of the ground truth, or ``UNMATCHED``, or ``IGNORED``.
      boxes_yxyx: float32 [B, N, 4]: the matched box; 0 where nothing is matched.
      classes: int32 [B, N]: the matched 0-based class; -1 where nothing is matched.
      class_weights: float32 [B, N]: the matched row's weight, 1 for background, 0 for ignored anchors.
      box_weights: float32 [B, N]: the matched row's weight, 0 elsewhere.
    """

    matches: tf.Tensor
    boxes_yxyx: tf.Tensor
    classes: tf.Tensor
    class_weights: tf.Tensor
    box_weights: tf.Tensor


def argmax_match(
    similarity: tf.Tensor,
    row_weights: tf.Tensor,
    *,
    matched_threshold: float,
    unmatched_threshold: float,
    force_match: bool,
    row_is_real: tf.Tensor | None = None,
) -> tf.Tensor:
    """Matches every column (anchor) to the row (ground truth) that is most similar to it.

    Similarity at or above ``matched_threshold`` is a match, below ``unmatched_threshold`` background, in between
    ignored. With ``force_match`` each row of positive weight also gets its most similar column, whatever the
    thresholds say, unless nothing is similar to it at all; where rows compete for one column the first row has it.

    Args:
      similarity: float32 [B, M, N], e.g. intersection over union.
      row_weights: float32 [B, M]; rows of weight 0 (crowd, padding) are not forced.
      matched_threshold: lower bound of a match.
      unmatched_threshold: upper bound of background, at most ``matched_threshold``.
      force_match: see above.
      row_is_real: bool [B, M]: False for padding, which is then never matched. Without it padding must have
        similarity 0 (boxes of area 0 have).

    Returns:
      int32 [B, N]: row index, ``UNMATCHED`` or ``IGNORED``. With M = 0 everything is ``UNMATCHED``.

    Raises:
      ValueError: thresholds in the wrong order.
    """
    if unmatched_threshold > matched_threshold:
        raise ValueError(f"unmatched_threshold {unmatched_threshold} exceeds matched_threshold {matched_threshold}")
    if row_is_real is not None:
        similarity = tf.where(row_is_real[:, :, tf.newaxis], similarity, 0.0)  # [B, M, N]
    # One row that nothing resembles lets M be 0, and is never first where a real row is as similar.
    padded = tf.pad(similarity, [[0, 0], [0, 1], [0, 0]])  # [B, M + 1, N]
    best = tf.reduce_max(padded, axis=1)  # [B, N]
    matches = tf.argmax(padded, axis=1, output_type=tf.int32)  # [B, N]
    matches = tf.where(best >= matched_threshold, matches, IGNORED)  # [B, N]
    matches = tf.where(best < unmatched_threshold, UNMATCHED, matches)  # [B, N]
    if not force_match:
        return matches
    shape = tf.shape(similarity)
    batch, rows, columns = shape[0], shape[1], shape[2]
    # [B, M]: the column each row wants. A zero column keeps argmax defined when there are no columns.
    wanted = tf.argmax(similarity, axis=2, output_type=tf.int32)
    row_numbers = tf.broadcast_to(tf.range(rows)[tf.newaxis], (batch, rows))  # [B, M]
    batch_numbers = tf.broadcast_to(tf.range(batch)[:, tf.newaxis], (batch, rows))  # [B, M]
    # An object between small anchors is none of the first anchor's, which may lie at the other end of the image.
    claim = (row_weights > 0.0) & (tf.gather(similarity, wanted, batch_dims=2) > 0.0)  # [B, M]
    claims = tf.boolean_mask(tf.stack([batch_numbers, wanted], axis=-1), claim)  # [K, 2]
    claimed_by = tf.boolean_mask(row_numbers, claim)  # [K]
    forced = tf.tensor_scatter_nd_min(tf.fill((batch, columns), rows), claims, claimed_by)  # [B, N]
    return tf.where(forced < rows, forced, matches)  # [B, N]


def gather_targets(matches: tf.Tensor, boxes_yxyx: tf.Tensor, classes: tf.Tensor, row_weights: tf.Tensor) -> Targets:
    """What each anchor has to learn.

    Args:
      matches: int32 [B, N] of :func:`argmax_match`.
      boxes_yxyx: float32 [B, M, 4].
      classes: int32 [B, M], 0-based.
      row_weights: float32 [B, M].

    Returns:
      The targets; see :class:`Targets`.
    """
    # Two rows are put before the ground truth so that matches + 2 is an index: IGNORED -> 0, UNMATCHED -> 1.
    rows = matches - IGNORED  # [B, N]
    table = tf.concat(
        [
            tf.pad(boxes_yxyx, [[0, 0], [2, 0], [0, 0]]),
            tf.pad(tf.cast(classes, tf.float32), [[0, 0], [2, 0]], constant_values=-1.0)[..., tf.newaxis],
            tf.pad(row_weights, [[0, 0], [2, 0]])[..., tf.newaxis],
        ],
        axis=-1,
    )  # [B, M + 2, 6]
    gathered = tf.gather(table, rows, batch_dims=1)  # [B, N, 6]
    box_weights = gathered[..., 5]  # [B, N]
    return Targets(
        matches=matches,
        boxes_yxyx=gathered[..., :4],
        classes=tf.cast(gathered[..., 4], tf.int32),
        class_weights=tf.where(tf.equal(matches, UNMATCHED), 1.0, box_weights),
        box_weights=box_weights,
    )
