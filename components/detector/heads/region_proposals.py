"""The region proposal network (Ren et al. 2015, "Faster R-CNN", section 3.1): where an object of any class may be."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.detector.heads.postprocess import batch_non_max_suppression
from components.detector.layers.dense_convolution import DenseConv2D
from components.detector.structures import Proposals
from components.detector.targets import anchors as anchor_ops
from components.detector.targets import boxes as box_ops

STRIDE_PIXELS = 16
"""Of the feature map that regions are proposed on."""
SCALES = (0.25, 0.5, 1.0, 2.0)
ASPECT_RATIOS = (0.5, 1.0, 2.0)

_SCORE_STEPS = 2.0**20
"""Objectness is rounded to these: a step is a few times the rounding error of a forward pass."""


def anchor_level(
    feature_size: tuple[int, int], smallest_anchor_pixels: float, aspect_ratios: Sequence[float] = ASPECT_RATIOS
) -> anchor_ops.AnchorLevel:
    """Anchors of the proposal network.

    Args:
      feature_size: (rows, columns).
      smallest_anchor_pixels: side of the smallest square anchor; the others are 2, 4 and 8 times as large.
      aspect_ratios: width / height, three of them.
    """
    return anchor_ops.grid_level(
        feature_size,
        stride_pixels=STRIDE_PIXELS,
        base_size_pixels=smallest_anchor_pixels / SCALES[0],
        scales=SCALES,
        aspect_ratios=aspect_ratios,
    )


def clipped_anchors_pixels(level: anchor_ops.AnchorLevel, image_size: tuple[int, int]) -> NDArray[np.float32]:
    """Anchors clipped to the canvas in training and inference (``clip_anchors_to_image``).

    Args:
      level: of ``anchor_level``.
      image_size: (height, width) in pixels of the canvas.

    Returns:
      float32 [rows * columns * 12, 4] (ymin, xmin, ymax, xmax) in pixels.
    """
    height, width = image_size
    return np.clip(level.boxes(), 0.0, np.array([height, width, height, width])).astype(np.float32)


class RegionProposalHead(keras.layers.Layer):
    """A 3x3 convolution, then boxes and objectness of every anchor by 1x1 convolutions."""

    def __init__(self, depth: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        anchors_per_location = len(SCALES) * len(ASPECT_RATIOS)

        def convolution(filters: int, kernel: int, name: str) -> DenseConv2D:
            initializer = keras.initializers.TruncatedNormal(stddev=0.01)
            return DenseConv2D(filters, kernel, padding="same", kernel_initializer=initializer, name=name)

        self.shared = convolution(depth, 3, "shared")
        self.boxes = convolution(4 * anchors_per_location, 1, "boxes")
        self.objectness = convolution(2 * anchors_per_location, 1, "objectness")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.shared.build(input_shape)
        inner = (*input_shape[:-1], self.shared.filters)
        self.boxes.build(inner)
        self.objectness.build(inner)
        self.built = True

    def call(self, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """[B, h, w, C] -> box encodings [B, N, 4] and logits (background, object) [B, N, 2], in its precision."""
        x = tf.nn.relu6(self.shared(features))  # [B, h, w, depth]
        batch = tf.shape(features)[0]
        count = features.shape[1] * features.shape[2] * len(SCALES) * len(ASPECT_RATIOS)
        return tf.reshape(self.boxes(x), (batch, count, 4)), tf.reshape(self.objectness(x), (batch, count, 2))


def propose(
    box_encodings: tf.Tensor,
    objectness_logits: tf.Tensor,
    anchors_yxyx_pixels: tf.Tensor,
    window_yxyx_pixels: tf.Tensor,
    *,
    max_proposals: int,
    iou_threshold: float,
) -> Proposals:
    """Decodes the head's predictions and keeps the best that do not overlap.

    No gradient flows through proposals: the second stage learns from them as if they were given.

    Args:
      box_encodings: float32 [B, N, 4].
      objectness_logits: float32 [B, N, 2]: background, object.
      anchors_yxyx_pixels: float32 [N, 4].
      window_yxyx_pixels: float32 [4] or [B, 4]: where proposals are clipped to, the image on the canvas.
      max_proposals: P.
      iou_threshold: of the suppression.

    Returns:
      The proposals. Fewer than P are found where boxes lie outside the window or everything overlaps.
    """
    boxes = box_ops.decode(tf.stop_gradient(box_encodings), anchors_yxyx_pixels)  # [B, N, 4]
    objectness = tf.nn.softmax(tf.stop_gradient(objectness_logits))[..., 1]  # [B, N]
    # Flat parts of an image (padding above all) give long rows of anchors that score the same but for rounding errors,
    # which differ with the machine, the number of threads and the batch. Without rounding, so would the proposals.
    scores = tf.round(objectness * _SCORE_STEPS)  # [B, N]
    found = batch_non_max_suppression(
        boxes[:, :, tf.newaxis],
        scores[..., tf.newaxis],
        score_threshold=-1.0,
        iou_threshold=iou_threshold,
        max_per_class=max_proposals,
        max_total=max_proposals,
        window_yxyx=window_yxyx_pixels,
    )
    # Suppression works in whatever unit its input has; here pixels.
    return Proposals(found.boxes_yxyx_normalized, found.counts)
