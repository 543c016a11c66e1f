"""Records of one split with what reads them: what a strategy makes its batches of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from components.detector.detector import Detector
from components.detector.tiling_settings import TilingSettings
from components.trainer.input.input_pipeline import Parser, training_batches
from components.trainer.settings import TrainSettings


@dataclass(frozen=True)
class AnnotatedRecords:
    """A split.

    Attributes:
      patterns: globs of gzipped TFRecord files of records.
      parse: makes features of records, see ``record_parser``.
      tiling: train on parts of images of a tile's size. None: on images.
      share: the worker's number and how many there are; batches are this worker's part of those of the training.
    """

    patterns: Sequence[str]
    parse: Parser
    tiling: TilingSettings | None = None
    share: tuple[int, int] = (0, 1)

    def training_batches(self, detector: Detector, settings: TrainSettings, start_step: int = 0) -> tf.data.Dataset:
        """Endless ``TrainingBatch``es from a step on, see ``input_pipeline.training_batches``."""
        return training_batches(
            self.patterns,
            self.parse,
            detector,
            settings,
            tiling=self.tiling,
            start_step=start_step,
            share=self.share,
        )
