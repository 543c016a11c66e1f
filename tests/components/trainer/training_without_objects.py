"""Batches, steps and an evaluation without an object, as a program.

training_without_objects.py RECORDS BATCH_SIZE [RECORDS BATCH_SIZE ...]

A program, because what went wrong here ended the process.
"""

from __future__ import annotations

import math
import sys

import tensorflow as tf

from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.evaluation import Evaluation
from components.trainer.input.input_pipeline import evaluation_batches, training_batches
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.optimizer import make_optimizer
from components.trainer.settings import TrainSettings
from components.trainer.strategies.supervised import detection_losses
from components.trainer.train_step import TrainStep
from tests.components.trainer.tiny_detector import TinyDetector

STEPS = 3


def main(records: str, batch_size: int) -> None:
    print("records", records, flush=True)
    detector = TinyDetector()
    for augmentation in (None, AugmentationSettings()):
        settings = TrainSettings(steps=STEPS, batch_size=batch_size, augmentation=augmentation)
        batches = training_batches([records], parse_clean_records, detector, settings)
        variables = detector.trainable_variables
        optimizer = make_optimizer(settings.optimizer, variables, steps=STEPS, default_name="adam")
        step = TrainStep(detection_losses(detector), variables, optimizer, batches.element_spec)
        for batch in batches.take(STEPS):
            step(batch)
        assert step.non_finite() is None
        print("losses", step.mean_losses(), flush=True)

    def batches_to_judge() -> tf.data.Dataset:
        return evaluation_batches([records], parse_clean_records, detector, batch_size)

    metrics = Evaluation(detector, batches_to_judge, ("red", "green"))()
    print("an object was seen:", not math.isnan(metrics["AP"]), flush=True)


if __name__ == "__main__":
    for path, size in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        main(path, int(size))
