"""Boxes to fit a classifier to: annotated objects, what looks like them, and what is none."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.detector.detector import Detector
from components.detector.heads.box_pooling import describe_boxes
from components.detector.structures import Features
from components.detector.targets import boxes as box_ops
from components.trainer.input.cached_features import CachedFeatures
from components.trainer.input.input_pipeline import iterate
from components.user_error import UserError

_IMAGES_AT_ONCE: Final = 8
_JITTERED: Final = 2
"""Moved and stretched copies of each object's box."""
_JITTER: Final = 0.12
"""Largest move of a side, as a share of the box's: an overlap of about 0.6 at the least."""
_DETECTED_BACKGROUND: Final = 10
"""Of an image, those that score best: what the classifier will be asked about."""
_RANDOM_BACKGROUND: Final = 5
"""Of an image."""
_OBJECT_IOU: Final = 0.6
"""A detected box that overlaps an object by at least this shows it."""
_FOUND_IOU: Final = 0.5
"""An object that a detected box overlaps by at least this is found."""
_BACKGROUND_IOU: Final = 0.3
"""A box that overlaps every object by less is background (as in R-CNN, Girshick et al. 2014, section 2.3)."""
_MOST_BOXES: Final = 10_000
"""Bounds memory (60 MB at 1400 numbers a box), the time of the fit, and what ``knn`` exports."""


class BoxSamples(NamedTuple):
    """Described boxes.

    Attributes:
      vectors: float32 [N, D] of ``describe_boxes``.
      columns: int64 [N]: 0 for background, 1 + the 0-based class for an object.
      images: int64 [N]: number of the kept image that each is of; a copy of an image is one of its own.
      found: share of the objects that the detector's boxes find.
    """

    vectors: NDArray[np.float32]
    columns: NDArray[np.int64]
    images: NDArray[np.int64]
    found: float


def sample_boxes(detector: Detector, features: CachedFeatures, seed: int) -> BoxSamples:
    """Draws boxes from all kept images and describes them.

    Raises:
      UserError: no image has an object to learn.
    """
    random = np.random.default_rng(seed)
    boxes: list[NDArray[np.float32]] = []  # of each image, [P, 4]
    columns: list[NDArray[np.int64]] = []  # [P]
    found = objects = 0

    @tf.function(reduce_retracing=True, autograph=False, jit_compile=False)
    def detect(kept: Features, shares: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        kept = {level: tf.cast(values, detector.compute_dtype) for level, values in kept.items()}
        detections = detector.postprocess(detector.head_predictions(kept, shares), shares)
        return detections.boxes_yxyx_normalized * tf.tile(shares, (1, 2))[:, tf.newaxis], detections.counts

    for batch in iterate(features.ordered(_IMAGES_AT_ONCE)):
        shares = batch.truth.valid_height_width
        detected, counts = (part.numpy() for part in detect(batch.features, shares))
        truth = [part.numpy() for part in batch.truth]
        for image, count in enumerate(counts):
            there = truth[1][image] >= 0
            objects_here, is_learnt = truth[0][image][there], truth[2][image][there] > 0.0
            classes = truth[1][image][there].astype(np.int64)
            drawn = draw_boxes(objects_here, classes, is_learnt, detected[image, :count], truth[3][image], random)
            boxes.append(drawn[0])
            columns.append(drawn[1])
            overlaps = _overlaps(objects_here[is_learnt], detected[image, :count])  # [M, N]
            found += int((overlaps.max(axis=1, initial=0.0) >= _FOUND_IOU).sum())
            objects += int(is_learnt.sum())
    if not objects:
        raise UserError("transfer.classifier: no training image has an object to learn")
    chosen = _chosen(columns, random)
    return BoxSamples(
        _described(features, [of_image[rows] for of_image, rows in zip(boxes, chosen, strict=True)]),
        np.concatenate([of_image[rows] for of_image, rows in zip(columns, chosen, strict=True)]),
        np.repeat(np.arange(len(chosen)), [len(rows) for rows in chosen]),
        found / objects,
    )


def draw_boxes(
    objects: NDArray[np.float32],
    classes: NDArray[np.int64],
    is_learnt: NDArray[np.bool_],
    detected: NDArray[np.float32],
    share: NDArray[np.float32],
    random: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Boxes of an image, and their columns.

    Args:
      objects: float32 [M, 4] in 0..1 of the canvas.
      classes: int64 [M], 0-based.
      is_learnt: bool [M]: False for crowds and the like, which are neither object nor background.
      detected: float32 [N, 4], best first.
      share: float32 [2]: height and width of the canvas that are image.
      random: draws.

    Returns:
      float32 [P, 4] and int64 [P]: objects, their moved copies, detected boxes that show an object or none, and random
      ones that show none.
    """
    window = np.tile(share, 2)  # [4]
    learnt, learnt_classes = objects[is_learnt], classes[is_learnt]
    sides = np.tile(learnt[:, 2:] - learnt[:, :2], 2)  # [M, 4]
    moved = [learnt + sides * random.uniform(-_JITTER, _JITTER, learnt.shape) for _ in range(_JITTERED)]
    positives = np.concatenate([learnt, *moved])
    positive_classes = np.tile(learnt_classes, 1 + _JITTERED)

    corners = np.sort(random.uniform(size=(4 * _RANDOM_BACKGROUND, 2, 2)), axis=1) * share
    candidates = np.concatenate([detected, corners.reshape(-1, 4)]).astype(np.float32)
    is_detected = np.arange(len(candidates)) < len(detected)
    overlaps = _overlaps(candidates, objects)  # [C, M]
    best = overlaps.max(axis=1, initial=0.0)
    shows = is_detected & (best >= _OBJECT_IOU)
    if shows.any():
        matched = overlaps[shows].argmax(axis=1)
        shown = is_learnt[matched]
        positives = np.concatenate([positives, candidates[shows][shown]])
        positive_classes = np.concatenate([positive_classes, classes[matched][shown]])
    is_background = best < _BACKGROUND_IOU
    background = [
        candidates[is_background & is_detected][:_DETECTED_BACKGROUND],
        candidates[is_background & ~is_detected][:_RANDOM_BACKGROUND],
    ]
    boxes = np.clip(np.concatenate([positives, *background]), 0.0, window).astype(np.float32)
    columns = np.concatenate([1 + positive_classes, np.zeros(sum(map(len, background)), np.int64)])
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return boxes[has_area], columns[has_area]


def _overlaps(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union, float32 [M, N]."""
    overlaps: NDArray[np.float32] = box_ops.pairwise_iou(tf.constant(boxes), tf.constant(others)).numpy()
    return overlaps


def _chosen(columns: list[NDArray[np.int64]], random: np.random.Generator) -> list[NDArray[np.int64]]:
    """Rows of each image to keep, at most ``_MOST_BOXES`` together: of the largest classes some are left out."""
    flat = np.concatenate(columns)
    counts = np.bincount(flat)
    # The largest quota by which all of them together stay below.
    low, high = 1, max(int(counts.max()), 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(counts, middle).sum() <= _MOST_BOXES else (low, middle - 1)
    kept = np.zeros(len(flat), bool)
    for column, count in enumerate(counts):
        rows = np.flatnonzero(flat == column)
        kept[random.choice(rows, min(int(count), low), replace=False)] = True
    ends = np.cumsum([len(of_image) for of_image in columns])
    return [np.flatnonzero(of_image) for of_image in np.split(kept, ends[:-1])]


def _described(features: CachedFeatures, boxes: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """float32 [N, D] of all boxes ([P, 4] of each image), in their order."""
    describe = tf.function(describe_boxes, reduce_retracing=True, autograph=False, jit_compile=False)
    vectors, image = [], 0
    for batch in iterate(features.ordered(_IMAGES_AT_ONCE)):
        of_batch = boxes[image : image + len(batch.truth.classes)]
        image += len(of_batch)
        padded = np.zeros((len(of_batch), max(max(map(len, of_batch)), 1), 4), np.float32)
        for row, of_image in enumerate(of_batch):
            padded[row, : len(of_image)] = of_image
        described = describe(batch.features, tf.constant(padded)).numpy()
        vectors += [described[row, : len(of_image)] for row, of_image in enumerate(of_batch)]
    return np.concatenate(vectors)
