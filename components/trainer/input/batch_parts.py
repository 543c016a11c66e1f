"""A batch cut along its first axis, for devices, workers and gradients that are added up."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def part_of_batch(batch: Any, number: int | tf.Tensor, parts: int) -> Any:
    """One of ``parts`` equal pieces of a batch.

    Args:
      batch: tensors in any nesting, each [B, ...]; a scalar belongs to every part.
      number: which piece, from 0.
      parts: how many there are.

    Returns:
      The same nesting, tensors [B / parts, ...].

    Raises:
      ValueError: a batch has a size that does not divide evenly.
    """

    def piece(tensor: tf.Tensor) -> tf.Tensor:
        if tensor.shape.rank == 0:
            return tensor
        images = tensor.shape[0]
        if images is None:
            size = tf.shape(tensor)[0] // parts
            return tensor[number * size : (number + 1) * size]
        if images % parts:
            raise ValueError(f"a batch of {images} cannot be divided into {parts} equal parts")
        size = images // parts
        return tf.ensure_shape(tensor[number * size : (number + 1) * size], [size, *tensor.shape[1:]])

    return tf.nest.map_structure(piece, batch)
