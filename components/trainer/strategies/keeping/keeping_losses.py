"""Losses of a training that keeps what the last blessed model knew (``transfer.keep``)."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from components.detector.detector import Detector
from components.detector.structures import Teaching
from components.trainer.input.input_pipeline import TrainingBatch, prepare_images
from components.trainer.strategies.keeping.blessed_teacher import BlessedTeacher, with_unannotated
from components.trainer.strategies.settings.keep import KeepSettings
from components.trainer.strategies.strategy import TrainingInputs
from components.trainer.strategies.supervised import detection_losses, with_regularization


def keeping_losses(
    detector: Detector, inputs: TrainingInputs, settings: KeepSettings | None
) -> Callable[[TrainingBatch], dict[str, tf.Tensor]]:
    """``detection_losses``, and what keeps the old classes: scalar float32 [] by name of a batch.

    The teacher sees the images without their change of colour; the student has to say the same whatever the light.

    Args:
      detector: the student.
      inputs: with the blessed model; without one these are ``detection_losses``.
      settings: what is kept; None: nothing.

    Raises:
      CheckpointError: the blessed model cannot be a teacher.
    """
    if settings is None or inputs.blessed_model is None:
        return detection_losses(detector)
    teacher = BlessedTeacher.of(inputs.blessed_model, detector, inputs.label_map, settings.lowest_score)
    print(_in_words(teacher, settings, inputs.label_map.name_by_index), flush=True)
    if not teacher.classes:
        return detection_losses(detector)
    distils = teacher.lines_up and settings.distillation_weight > 0.0

    def losses(batch: TrainingBatch) -> dict[str, tf.Tensor]:
        truth = batch.truth
        seen = teacher(tf.cast(batch.images, tf.float32), truth.valid_height_width)
        teaching = Teaching(seen.predictions, teacher.classes, truth) if distils else None
        if settings.lowest_score is not None:
            truth = with_unannotated(truth, seen.found, settings)
        parts = dict(detector.training_losses(prepare_images(detector, batch), truth, teaching))
        if distils:
            parts["distillation"] *= settings.distillation_weight
        return with_regularization(detector, parts)

    return losses


def _in_words(teacher: BlessedTeacher, settings: KeepSettings, class_names: list[str]) -> str:
    """What is kept, for the log."""
    kept = ", ".join(class_names[new] for _, new in teacher.classes)
    if not kept:
        return "nothing to keep: the last blessed model knows no class of this training"
    ways = []
    if settings.lowest_score is not None:
        ways.append("what it finds and nobody annotated is not taught as background")
    if settings.distillation_weight > 0.0:
        ways.append(
            "raw predictions are held to its own"
            if teacher.lines_up
            else f"no distillation: it is {teacher.detector.name} with another canvas or other anchors"
        )
    return f"kept from the last blessed model: {kept}; {'; '.join(ways)}"
