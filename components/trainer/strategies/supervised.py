"""Learning from annotated images: the losses that strategies share."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from components.detector.detector import Detector
from components.trainer.input.input_pipeline import TrainingBatch, prepare_images


def detection_losses(detector: Detector) -> Callable[[TrainingBatch], dict[str, tf.Tensor]]:
    """The detector's training losses, and the regularisation of its layers, of a batch: scalar float32 [] by name."""

    def losses(batch: TrainingBatch) -> dict[str, tf.Tensor]:
        return with_regularization(
            detector, dict(detector.training_losses(prepare_images(detector, batch), batch.truth))
        )

    return losses


def with_regularization(detector: Detector, parts: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Losses with those of the layers of a detector that has just been run."""
    return parts | ({"regularization": tf.add_n(detector.losses)} if detector.losses else {})
