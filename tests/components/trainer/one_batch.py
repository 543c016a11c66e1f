"""Records that give one batch over and over."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from components.detector.detector import Detector
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.input_pipeline import TrainingBatch
from components.trainer.settings import TrainSettings


@dataclasses.dataclass(frozen=True)
class OneBatch(AnnotatedRecords):
    """The same batch over and over."""

    batch: TrainingBatch = dataclasses.field(kw_only=True)

    def training_batches(self, detector: Detector, settings: TrainSettings, start_step: int = 0) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensors(self.batch).repeat()
