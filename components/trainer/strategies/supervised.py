"""Learning from annotated images: the losses that strategies share."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from components.detector.detector import Detector
from components.detector.structures import Features, GroundTruth
from components.trainer.input.input_pipeline import TrainingBatch, prepare_images


def losses_and_features(
    detector: Detector, images: tf.Tensor, truth: GroundTruth
) -> tuple[dict[str, tf.Tensor], Features]:
    """The detector's training losses, with the regularisation of its layers, and the features that they were made of.

    Args:
      detector: what learns.
      images: float32 [B, H, W, 3], normalised.
      truth: what they show, in the canvas frame.

    Returns:
      Scalar float32 [] by name; the backbone's feature maps, in training mode.
    """
    features = detector.features(images, training=True)
    return with_regularization(detector, detector.head_losses(features, truth)), features


def detection_losses(detector: Detector) -> Callable[[TrainingBatch], dict[str, tf.Tensor]]:
    """The detector's training losses, and the regularisation of its layers, of a batch: scalar float32 [] by name."""

    def losses(batch: TrainingBatch) -> dict[str, tf.Tensor]:
        return losses_and_features(detector, prepare_images(detector, batch), batch.truth)[0]

    return losses


def with_regularization(detector: Detector, parts: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Losses with those of the layers of a detector that has just been run."""
    return parts | ({"regularization": tf.add_n(detector.losses)} if detector.losses else {})
