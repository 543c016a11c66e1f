"""What goes into a detector, from one of its parts to another, and out of it, as named tuples of tensors."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

Features = dict[str, tf.Tensor]
"""Feature maps of a backbone: ``level_N`` is [B, ceil(H / 2**N), ceil(W / 2**N), C]."""


class GroundTruth(NamedTuple):
    """Padded ground truth of a batch, in the frame of the *preprocessed* image.

    Attributes:
      boxes_yxyx_normalized: float32 [B, M, 4], 0..1 of the model's input canvas (padding included); padded rows are 0.
      classes: int32 [B, M], 0-based; padded rows are -1.
      weights: float32 [B, M]: 1 for an object to learn, 0 for padding and for crowd or difficult objects, whose
        anchors are ignored instead of being taught as background.
      valid_height_width: float32 [B, 2]: see :class:`Preprocessed`.
    """

    boxes_yxyx_normalized: tf.Tensor
    classes: tf.Tensor
    weights: tf.Tensor
    valid_height_width: tf.Tensor


class Preprocessed(NamedTuple):
    """A batch in the model's input frame.

    Attributes:
      images: float32 [B, H, W, 3], resized, padded and scaled as the backbone expects.
      valid_height_width: float32 [B, 2]: the share of the canvas (0..1) that holds image, the rest is padding; boxes
        normalised to the original image times this share are boxes normalised to the canvas.
    """

    images: tf.Tensor
    valid_height_width: tf.Tensor


class Detections(NamedTuple):
    """Padded detections of a batch, best score first.

    Attributes:
      boxes_yxyx_normalized: float32 [B, N, 4], 0..1 of the original image; padded rows are 0.
      scores: float32 [B, N]; padded rows are 0.
      classes: int32 [B, N], 0-based; padded rows are -1.
      counts: int32 [B]: how many rows are detections.
    """

    boxes_yxyx_normalized: tf.Tensor
    scores: tf.Tensor
    classes: tf.Tensor
    counts: tf.Tensor


class ScoredBoxes(NamedTuple):
    """Every box of a batch before suppression.

    Attributes:
      boxes_yxyx_normalized: float32 [B, N, Q, 4], 0..1 of the canvas, not clipped; Q is 1 where classes share their
        boxes, else the number of classes.
      scores: float32 [B, N, C], without background; padded rows are 0.
    """

    boxes_yxyx_normalized: tf.Tensor
    scores: tf.Tensor


class ClassRows(NamedTuple):
    """How the last axis of a variable depends on the classes: as if it were [groups, background + classes, values]."""

    groups: int
    """Anchors of a location, for a convolution that predicts all of them."""
    background: int
    """Columns before the first class: 0 or 1."""
    values: int
    """Numbers for each class: 1 for a logit, 4 for a box."""


class Proposals(NamedTuple):
    """Proposed regions, best first.

    Attributes:
      boxes_yxyx_pixels: float32 [B, P, 4], within the canvas; padded rows are 0.
      counts: int32 [B]: how many rows are proposals.
    """

    boxes_yxyx_pixels: tf.Tensor
    counts: tf.Tensor

    @property
    def is_real(self) -> tf.Tensor:
        """bool [B, P]: False for padded rows."""
        return tf.range(tf.shape(self.boxes_yxyx_pixels)[1])[tf.newaxis] < self.counts[:, tf.newaxis]


class Teaching(NamedTuple):
    """A teacher's raw predictions of a batch of images.

    Attributes:
      predictions: ``Detector.head_predictions`` of the teacher in inference mode, on the same canvas.
      classes: (0-based class of the teacher, of the student) for every class that both have.
      annotated: what the images are annotated with, without what the teacher found.
    """

    predictions: dict[str, tf.Tensor]
    classes: tuple[tuple[int, int], ...]
    annotated: GroundTruth

    def of_teacher(self, values: tf.Tensor, background: int) -> tf.Tensor:
        """Columns [..., background + C] of the common classes, of the teacher's [..., background + classes]."""
        return tf.gather(values, [*range(background), *(background + old for old, _ in self.classes)], axis=-1)

    def of_student(self, values: tf.Tensor, background: int) -> tf.Tensor:
        """The same of the student's, in the same order."""
        return tf.gather(values, [*range(background), *(background + new for _, new in self.classes)], axis=-1)


class DescribedProposals(NamedTuple):
    """Proposed regions as the second stage sees them.

    Attributes:
      descriptions: float32 [B, P, D]: the pooled features that classes and boxes are predicted from.
      is_real: bool [B, P]: False for padded rows.
    """

    descriptions: tf.Tensor
    is_real: tf.Tensor
