"""SavedModels with the signatures of real ones, of which it is known what they find."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.image_decoding import decode_upright
from schema import exported_model

RED_PIXELS_FOR_FULL_SCORE = 400.0


class _RedSquare(tf.Module):  # type: ignore[misc]
    """Finds the red of an image: its box, and a score that grows with how much of it there is."""

    def __init__(self, labels_file: str) -> None:
        super().__init__()
        self.labels = tf.saved_model.Asset(labels_file)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=exported_model.IMAGE_BYTES)], autograph=False)
    def serving_default(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = tf.map_fn(
            lambda one: tuple(part[0] for part in self._find(decode_upright(one)[tf.newaxis])),
            image_bytes,
            fn_output_signature=(
                tf.TensorSpec([2, 4]),
                tf.TensorSpec([2]),
                tf.TensorSpec([2], tf.int64),
                tf.TensorSpec([], tf.int64),
            ),
        )
        return _named(outputs)

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name=exported_model.IMAGES)], autograph=False
    )
    def serving_tensor(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return _named(self._find(images))

    def _find(self, images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        colours = tf.cast(images, tf.float32) / 255.0  # [B, H, W, 3]
        redness = tf.maximum(colours[..., 0] - tf.maximum(colours[..., 1], colours[..., 2]), 0.0)  # [B, H, W]
        is_red = redness > 0.3
        sides = []
        for axis in (2, 1):
            along = tf.cast(tf.reduce_any(is_red, axis=axis), tf.float32)  # [B, side]
            side = tf.shape(along)[1]
            first, last = tf.argmax(along, axis=1), tf.argmax(along[:, ::-1], axis=1)
            length = tf.cast(side, tf.float32)
            sides.append((tf.cast(first, tf.float32) / length, 1.0 - tf.cast(last, tf.float32) / length))
        (ymin, ymax), (xmin, xmax) = sides
        there = tf.cast(tf.reduce_any(is_red, axis=(1, 2)), tf.int64)  # [B]
        box = tf.stack([ymin, xmin, ymax, xmax], axis=-1)  # [B, 4]
        score = tf.minimum(tf.reduce_sum(redness, axis=(1, 2)) / RED_PIXELS_FOR_FULL_SCORE, 0.97)  # [B]
        found = tf.cast(there, tf.float32)
        boxes = tf.stack([box * found[:, tf.newaxis], tf.zeros_like(box)], axis=1)  # [B, 2, 4]
        scores = tf.stack([score * found, tf.zeros_like(score)], axis=1)  # [B, 2]
        classes = tf.stack([there * 2, tf.zeros_like(there)], axis=1)  # [B, 2]
        return boxes, scores, classes, there


def _named(outputs: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
    names = (exported_model.BOXES, exported_model.SCORES, exported_model.CLASSES, exported_model.COUNTS)
    return dict(zip(names, outputs, strict=True))


def write_red_square_export(folder: pathlib.Path) -> pathlib.Path:
    """An export of the classes ``circle`` and ``square``, which finds red squares."""
    labels = folder.with_name(f"{folder.name}-labels") / "labels.txt"
    labels.parent.mkdir(parents=True)
    labels.write_text("circle\nsquare\n")
    module = _RedSquare(str(labels))
    signatures = {
        exported_model.SERVING_SIGNATURE: module.serving_default.get_concrete_function(),
        exported_model.TENSOR_SIGNATURE: module.serving_tensor.get_concrete_function(),
    }
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


class _TableOfZoo(tf.Module):  # type: ignore[misc]
    """Answers image n, known by the first value of its first pixel, with row n of a table."""

    def __init__(
        self, boxes: npt.NDArray[Any], classes: npt.NDArray[Any], scores: npt.NDArray[Any], num_classes: int | None
    ) -> None:
        super().__init__()
        self.boxes, self.classes, self.scores = (
            tf.Variable(table, trainable=False, dtype=tf.float32) for table in (boxes, classes, scores)
        )
        self._num_classes = num_classes

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")], autograph=False)
    def __call__(self, input_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        number = tf.minimum(tf.cast(input_tensor[0, 0, 0, 0], tf.int32), self.boxes.shape[0] - 1)
        scores = self.scores[number][tf.newaxis]  # [1, N]
        outputs = {
            "detection_boxes": self.boxes[number][tf.newaxis],
            "detection_classes": self.classes[number][tf.newaxis],
            "detection_scores": scores,
            "num_detections": tf.fill([1], tf.cast(self.scores.shape[1], tf.float32)),
            "detection_anchor_indices": tf.zeros_like(scores),
        }
        if self._num_classes is not None:
            outputs["detection_multiclass_scores"] = tf.zeros((1, self.scores.shape[1], self._num_classes + 1))
        return outputs


def write_zoo_model(
    folder: pathlib.Path,
    boxes_yxyx_normalized: npt.NDArray[Any],
    classes: npt.NDArray[Any],
    scores: npt.NDArray[Any],
    num_classes: int | None = 90,
) -> pathlib.Path:
    """A folder as an archive of the Detection Zoo holds it.

    Args:
      folder: written.
      boxes_yxyx_normalized: [images, N, 4].
      classes: 1-based, [images, N].
      scores: [images, N].
      num_classes: that it says it scores; None when it does not say.
    """
    module = _TableOfZoo(boxes_yxyx_normalized, classes, scores, num_classes)
    tf.saved_model.save(module, str(folder / "saved_model"), signatures={"serving_default": module.__call__})
    return folder


def square_on_grey(
    height_width: tuple[int, int] = (96, 128), box_yxyx_pixels: tuple[int, int, int, int] = (24, 64, 48, 88)
) -> npt.NDArray[np.uint8]:
    """A red square on grey noise, uint8 [H, W, 3]."""
    image = np.random.default_rng(1).integers(90, 150, (*height_width, 1), dtype=np.uint8).repeat(3, axis=-1)
    ymin, xmin, ymax, xmax = box_yxyx_pixels
    image[ymin:ymax, xmin:xmax] = (230, 20, 20)
    return image
