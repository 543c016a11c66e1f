"""The last blessed model as a teacher: what it predicts, and finds, in the images of a training batch."""

from __future__ import annotations

import pathlib
import tempfile
from dataclasses import dataclass
from typing import Final, NamedTuple

import tensorflow as tf

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.detector.structures import Detections, GroundTruth, Preprocessed
from components.detector.targets import boxes as box_ops
from components.detector.weights.checkpoints import CheckpointError, pushed_recipe
from components.trainer.strategies.settings.keep import KeepSettings
from schema.exported_model import WEIGHTS_FILE
from schema.label_map import LabelMap

_MOST_FOUND: Final = 50
"""Objects an image that are looked at, best score first."""
_COVERED_IOU: Final = 0.5
"""What overlaps an annotated object by this is that object, whatever the teacher calls it."""


def with_classes_of(label_map: LabelMap, blessed_model: str) -> LabelMap:
    """A label map that also has the blessed model's classes, with ids behind its own.

    Raises:
      CheckpointError: the blessed model cannot be read.
    """
    _, known = pushed_recipe(blessed_model)
    return label_map.extended_by(known.names)


class Seen(NamedTuple):
    """What the teacher makes of a batch.

    Attributes:
      predictions: its raw predictions.
      found: its detections, boxes normalised to the student's canvas, classes the student's (-1 where it has none).
    """

    predictions: dict[str, tf.Tensor]
    found: Detections


@dataclass(frozen=True)
class BlessedTeacher:
    """A detector that stays as it is.

    Attributes:
      detector: of the blessed model's recipe and weights; none of its variables is in checkpoints or in the export.
      classes: (0-based class of the teacher, of the student) for every class that both have, matched by name.
      lines_up: whether its raw predictions can be compared with the student's.
    """

    detector: Detector
    classes: tuple[tuple[int, int], ...]
    lines_up: bool

    @classmethod
    def of(
        cls, blessed_model: str, student: Detector, label_map: LabelMap, lowest_score: float | None
    ) -> BlessedTeacher:
        """The teacher in a SavedModel folder.

        Args:
          blessed_model: the folder.
          student: the detector that is trained.
          label_map: the student's.
          lowest_score: what it finds with a lower one is of no interest, and costs time; None: nothing is.

        Raises:
          CheckpointError: the folder is no pushed version that this code can build again.
        """
        recipe, known = pushed_recipe(blessed_model)
        try:
            detector = build_detector(**recipe | {"score_threshold": 1.0 if lowest_score is None else lowest_score})
            with tempfile.TemporaryDirectory() as folder:
                weights = pathlib.Path(folder) / pathlib.PurePosixPath(WEIGHTS_FILE).name
                tf.io.gfile.copy(f"{blessed_model}/{WEIGHTS_FILE}", str(weights))
                detector.load_weights(weights)
        except (tf.errors.OpError, TypeError, ValueError, OSError) as error:
            raise CheckpointError(
                f"transfer.keep: the last blessed model {blessed_model} cannot be made again as a teacher: {error}; "
                "train without it (transfer.keep: null), or with the code that made it"
            ) from error
        detector.trainable = False
        classes = tuple(
            (class_id - 1, student_id - 1)
            for class_id, name in known
            if (student_id := label_map.id_of(name)) is not None
        )
        return cls(detector, classes, student.lines_up_with(detector))

    def __call__(self, images: tf.Tensor, valid_height_width: tf.Tensor) -> Seen:
        """Looks at a batch.

        A teacher with another canvas is shown the student's whole, padding and all, as an image of its own.

        Args:
          images: float32 [B, H, W, 3] in 0..255, on the student's canvas.
          valid_height_width: float32 [B, 2], the share of it that is image.
        """
        teacher = self.detector
        if self.lines_up:
            frame = Preprocessed(teacher.normalize(images), valid_height_width)
            shown = valid_height_width
        else:
            frame = teacher.preprocess(images)
            shown = tf.ones_like(valid_height_width)
        shares = frame.valid_height_width
        predictions = teacher.head_predictions(teacher.features(frame.images, training=False), shares)
        found = teacher.postprocess(predictions, shares)
        student_classes = [-1] * teacher.num_classes
        for old, new in self.classes:
            student_classes[old] = new
        classes = tf.gather([-1, *student_classes], found.classes + 1)  # [B, D]
        on_canvas = found.boxes_yxyx_normalized * tf.tile(shown, [1, 2])[:, tf.newaxis]  # [B, D, 4]
        return Seen(predictions, found._replace(boxes_yxyx_normalized=on_canvas, classes=classes))


def with_unannotated(truth: GroundTruth, found: Detections, settings: KeepSettings) -> GroundTruth:
    """Ground truth with what the teacher found and nobody annotated: to learn, or (weight 0) to leave out.

    Args:
      truth: as annotated, in the canvas frame.
      found: detections in the same frame, best first, with the classes of ``truth`` (-1: none).
      settings: from which scores on.

    Returns:
      ``truth`` with a row more for each of the (at most 50) best detections of an image; those that are nothing are
      padding.
    """
    boxes, scores, classes = (
        part[:, :_MOST_FOUND] for part in (found.boxes_yxyx_normalized, found.scores, found.classes)
    )  # [B, D, 4], [B, D], [B, D]
    overlaps = box_ops.pairwise_iou(boxes, truth.boxes_yxyx_normalized)  # [B, D, M]
    is_covered = tf.reduce_any(overlaps >= _COVERED_IOU, axis=-1)  # [B, D]
    is_annotated = tf.reduce_any(classes[..., tf.newaxis] == truth.classes[:, tf.newaxis], axis=-1)  # [B, D]
    nothing = 2.0  # no score is as high
    learn = nothing if settings.learn_from_score is None else settings.learn_from_score
    ignore = learn if settings.ignore_from_score is None else settings.ignore_from_score
    is_object = (classes >= 0) & (scores > 0.0) & (scores >= ignore) & ~is_covered & ~is_annotated  # [B, D]
    return truth._replace(
        boxes_yxyx_normalized=tf.concat(
            [truth.boxes_yxyx_normalized, tf.where(is_object[..., tf.newaxis], boxes, 0.0)], axis=1
        ),
        classes=tf.concat([truth.classes, tf.where(is_object, classes, -1)], axis=1),
        weights=tf.concat([truth.weights, tf.cast(is_object & (scores >= learn), tf.float32)], axis=1),
    )
