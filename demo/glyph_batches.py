"""Batches of glyph pictures held in memory, in the shape that the trainer takes and evaluates."""

from __future__ import annotations

import concurrent.futures
import functools
import multiprocessing
import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.detector.structures import GroundTruth
from components.trainer.input.input_pipeline import EvaluationBatch, TrainingBatch
from demo.glyphs import GlyphImage, render_glyphs


def render_many(
    count: int, *, first: int = 0, side_pixels: int, seed: int, workers: int | None = None
) -> list[GlyphImage]:
    """Draws pictures `first` to `first + count - 1` in several processes, one a core when `workers` is None."""
    render = functools.partial(render_glyphs, side_pixels=side_pixels, seed=seed)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers or os.cpu_count(), mp_context=context) as pool:
        return list(pool.map(render, range(first, first + count), chunksize=32))


def training_batches(pictures: Sequence[GlyphImage], batch_size: int, seed: int, *, mirror: bool) -> tf.data.Dataset:
    """Endless shuffled `TrainingBatch`es; with `mirror`, half the images mirrored, for another glance at each."""

    def batch_of(step: tf.Tensor, data: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> TrainingBatch:
        images, boxes, classes = data
        if mirror:
            mirrored = tf.random.stateless_uniform([batch_size], [seed, step]) < 0.5  # [B]
            images = tf.where(mirrored[:, None, None, None], tf.reverse(images, [2]), images)  # [B, S, S, 3]
            ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=-1)
            # Padded boxes become something else than 0 by this, so that is set right after.
            flipped = tf.stack([ymin, 1.0 - xmax, ymax, 1.0 - xmin], axis=-1)
            boxes = tf.where(mirrored[:, None, None], flipped, boxes)  # [B, M, 4]
            boxes = tf.where(classes[..., None] >= 0, boxes, 0.0)
        same_colours = tf.concat([tf.eye(3, batch_shape=[batch_size]), tf.zeros([batch_size, 1, 3])], axis=1)
        weights, whole_canvas = tf.cast(classes >= 0, tf.float32), tf.ones([batch_size, 2])
        return TrainingBatch(images, same_colours, GroundTruth(boxes, classes, weights, whole_canvas))

    examples = tf.data.Dataset.from_tensor_slices(_padded(pictures))
    batches = examples.shuffle(len(pictures), seed=seed).repeat().batch(batch_size, drop_remainder=True)
    return batches.enumerate().map(batch_of).prefetch(2)


def evaluation_batches(pictures: Sequence[GlyphImage], batch_size: int) -> tf.data.Dataset:
    """The pictures once, in order, as `EvaluationBatch`es."""
    images, boxes, classes = _padded(pictures)
    side_pixels = images.shape[1]
    sides = boxes[..., 2:] - boxes[..., :2]  # [N, M, 2]
    batch = EvaluationBatch(
        images=images.astype(np.float32),
        valid_height_width=np.ones([len(images), 2], np.float32),
        height_width_pixels=np.full([len(images), 2], side_pixels, np.int64),
        boxes_yxyx_normalized=boxes,
        classes=classes.astype(np.int64),
        is_crowd=np.zeros(classes.shape, bool),
        is_difficult=np.zeros(classes.shape, bool),
        areas_pixels=sides.prod(axis=-1) * side_pixels**2,
    )
    return tf.data.Dataset.from_tensor_slices(batch).batch(batch_size)


def _padded(
    pictures: Sequence[GlyphImage],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Images [N, S, S, 3], boxes [N, M, 4] padded with 0, classes [N, M] padded with -1."""
    most = max(len(picture.classes) for picture in pictures)
    boxes = np.zeros((len(pictures), most, 4), np.float32)
    classes = np.full((len(pictures), most), -1, np.int32)
    for index, picture in enumerate(pictures):
        boxes[index, : len(picture.classes)] = picture.boxes_yxyx_normalized
        classes[index, : len(picture.classes)] = picture.classes
    return np.stack([picture.pixels for picture in pictures]), boxes, classes
