"""Training-loop images/s against a bare gradient step on one batch in memory.

    python -m benchmarks.training_loop [--detector NAME] [--size 320] [--batch 16] [--steps 30]

The bare step is what cannot be avoided: forward, losses, backward and update of the same detector by the same
optimizer on one batch that never changes. The loop reads records, decodes, augments, logs and checkpoints beside it.
Both run in turns, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf

from benchmarks.input_pipeline import generated_jpegs, record
from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.evaluator.coco import COCO_METRICS
from components.trainer.input.input_pipeline import TrainingBatch, prepare_images, training_batches
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.optimizer import make_optimizer
from components.trainer.settings import TrainSettings
from components.trainer.state.checkpoint import CheckpointFolder, Progress
from components.trainer.state.progress_log import ProgressLog
from components.trainer.strategies.fine_tune import FineTune
from components.trainer.strategies.settings.transfer import FineTuneSettings
from components.trainer.strategies.strategy import TrainingInputs
from components.trainer.training_loop import train

ROUNDS = 3


def bare_images_per_second(detector: Detector, batch: TrainingBatch, settings: TrainSettings) -> float:
    """Gradient steps on one batch: the median round."""
    variables = detector.trainable_variables
    optimizer = make_optimizer(
        settings.optimizer, variables, steps=settings.steps, default_name=detector.default_optimizer
    )
    images = prepare_images(detector, batch)

    @tf.function(jit_compile=False)
    def step() -> None:
        with tf.GradientTape() as tape:
            total = tf.add_n([*detector.training_losses(images, batch.truth).values(), *detector.losses])
        optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))

    step()
    start = time.perf_counter()
    for _ in range(settings.steps):
        step()
    return settings.steps * settings.batch_size / (time.perf_counter() - start)


def loop_images_per_second(detector: Detector, records: str, folder: pathlib.Path, settings: TrainSettings) -> float:
    """The whole loop from the end of its first step, which compiles; one evaluation that costs nothing."""
    progress = Progress()
    started: list[float] = []

    class Log(ProgressLog):
        """Notes when the first step is over."""

        def start_clock(self, step: int) -> None:
            super().start_clock(step)
            started.append(time.perf_counter())

    log = Log(str(folder / "run"), steps=settings.steps, batch_size=settings.batch_size, line_every_seconds=5.0,
              history=progress.history)  # fmt: skip
    inputs = TrainingInputs(
        settings,
        lambda step: training_batches([records], parse_clean_records, detector, settings, start_step=step),
    )
    train(
        detector,
        FineTune(FineTuneSettings()).phases(detector, inputs),
        settings,
        evaluate=lambda: dict.fromkeys(COCO_METRICS, 0.0),
        checkpoints=CheckpointFolder(str(folder / "checkpoint"), detector.variables),
        progress=progress,
        log=log,
    )
    return (settings.steps - 1) * settings.batch_size / (time.perf_counter() - started[0])


def main() -> None:
    arguments = argparse.ArgumentParser(description="training loop against a bare gradient step")
    arguments.add_argument("--detector", default="ssd_mobilenet_v2_fpnlite")
    arguments.add_argument("--size", type=int, default=320, help="canvas in pixels")
    arguments.add_argument("--batch", type=int, default=16)
    arguments.add_argument("--steps", type=int, default=15, help="of each measurement")
    options = arguments.parse_args()
    detector = build_detector(options.detector, num_classes=3, image_size=(options.size, options.size))
    settings = TrainSettings(steps=options.steps, batch_size=options.batch, evaluate_every=options.steps)
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        records = str(folder / "train-00000.gz")
        with tf.io.TFRecordWriter(records, "GZIP") as writer:
            for number, encoded in enumerate(generated_jpegs(64, 480, 640)):
                writer.write(record(encoded, number, random))
        batch = next(iter(training_batches([records], parse_clean_records, detector, settings)))
        bare, loop = [], []
        with contextlib.redirect_stdout(sys.stderr):  # the table alone goes to standard output
            for _ in range(ROUNDS):
                bare.append(bare_images_per_second(detector, batch, settings))
                loop.append(loop_images_per_second(detector, records, folder, settings))
    ratios = [one / other for one, other in zip(loop, bare, strict=True)]
    print("| detector | canvas, batch | bare step, images/s | loop, images/s | ratio |")
    print("| --- | --- | ---: | ---: | ---: |")
    print(
        f"| {options.detector} | {options.size} px, {options.batch} | {statistics.median(bare):.1f} | "
        f"{statistics.median(loop):.1f} | {statistics.median(ratios):.2f} |"
    )


if __name__ == "__main__":
    main()
