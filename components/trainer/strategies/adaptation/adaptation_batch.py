"""What one step of a domain adaptation takes: annotated images of one domain and images of another."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from components.detector.detector import Detector
from components.trainer.input.input_pipeline import TrainingBatch
from components.trainer.settings import TrainSettings
from components.trainer.strategies.strategy import TrainingInputs


class AdaptationBatch(NamedTuple):
    """A pair of batches.

    Attributes:
      step: int64 scalar []: the step of the phase, counted from 0.
      source: with its annotations.
      target: the records have none, so that its ground truth is empty.
    """

    step: tf.Tensor
    source: TrainingBatch
    target: TrainingBatch


def adaptation_batches(detector: Detector, inputs: TrainingInputs, first_step: int, start_step: int) -> tf.data.Dataset:
    """Endless ``AdaptationBatch``es of a phase; the batch of a step depends on the settings and the step alone.

    Images of both domains are shown alike (``train.augmentation``): by how it was cropped or coloured, nobody shall
    tell where an image comes from.

    Args:
      detector: gives the canvas.
      inputs: settings and records of both domains.
      first_step: steps of the training before the phase.
      start_step: of the phase, where to begin.

    Raises:
      ValueError: ``inputs`` has no target.
      NoRecordsError: there are no records.
    """
    if inputs.target_records is None:
        raise ValueError("a domain adaptation needs inputs with target_records: the config has no data.target")
    settings, start = inputs.settings, first_step + start_step
    pairs = tf.data.Dataset.zip(
        (
            inputs.records.training_batches(detector, settings, start),
            inputs.target_records.training_batches(detector, _without_objects(settings), start),
        )
    )
    return pairs.enumerate(start_step).map(lambda step, pair: AdaptationBatch(step, *pair))


def _without_objects(settings: TrainSettings) -> TrainSettings:
    """The settings without what only annotated images have: objects to paste, rare classes, a share for old spans."""
    augmentation = settings.augmentation and settings.augmentation.model_copy(update={"copy_paste": 0.0})
    return settings.with_images_alike().model_copy(update={"augmentation": augmentation})
