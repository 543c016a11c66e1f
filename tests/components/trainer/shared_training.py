"""A small training as a program whose batches several devices or, with TF_CONFIG, several workers share.

shared_training.py RECORDS FOLDER DEVICES BATCH_PARTS [KILL_AT_STEP]

DEVICES is `auto` or names with commas between; the machine's CPU is then as many. Every worker has a folder of its own,
FOLDER-NUMBER, and reads the chief's checkpoints.
"""

from __future__ import annotations

import os
import pathlib
import signal
import sys
from collections.abc import Collection, Mapping

import keras
import tensorflow as tf

from components.evaluator.coco import COCO_METRICS
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.replicas import make_replicas
from components.trainer.settings import OptimizerSettings, TrainSettings
from components.trainer.state.checkpoint import CheckpointFolder, Progress
from components.trainer.state.progress_log import ProgressLog
from components.trainer.strategies.fine_tune import FineTune
from components.trainer.strategies.settings.fine_tune import FineTuneSettings
from components.trainer.strategies.strategy import TrainingInputs
from components.trainer.training_loop import train
from components.user_error import UserError
from schema.label_map import LabelMap
from tests.components.trainer.tiny_detector import TinyDetector

STEPS = 6


def main(records: str, folder: str, devices: str, batch_parts: int, kill_at_step: int | None) -> None:
    settings = TrainSettings(
        steps=STEPS,
        batch_size=4,
        batch_parts=batch_parts,
        devices="auto" if devices == "auto" else tuple(devices.split(",")),
        optimizer=OptimizerSettings(learning_rate=1e-2, ema_momentum=0.9),
        evaluate_every=3,
        checkpoint_every_seconds=0,
    )
    replicas = make_replicas(settings.devices)
    keras.utils.set_random_seed(1)
    detector = TinyDetector()
    # Batch normalisation sees a part of the batch only: frozen, there is no difference to look for.
    strategy = FineTune(FineTuneSettings(freeze_batch_norm=True))
    strategy.prepare(detector)
    checkpoints = CheckpointFolder(f"{folder}/checkpoint", detector.variables, read_only=not replicas.is_chief)
    progress = checkpoints.restore() or Progress()
    replicas.check_same("steps done", progress.step)
    print(f"worker {replicas.worker} of {replicas.workers} starts at step {progress.step}", flush=True)

    class Log(ProgressLog):
        """Kills the process after a step."""

        def losses(
            self, step: int, losses: Mapping[str, float], learning_rate: float, measures: Collection[str] = ()
        ) -> None:
            super().losses(step, losses, learning_rate, measures)
            if step == kill_at_step:
                os.kill(os.getpid(), signal.SIGKILL)

    own = f"{folder}-{replicas.worker}"
    log = Log(own, steps=STEPS, batch_size=4, line_every_seconds=1e9, history=progress.history)
    share = AnnotatedRecords([records], parse_clean_records, share=(replicas.worker, replicas.workers))
    train(
        detector,
        strategy.phases(detector, TrainingInputs(settings, LabelMap.of_names("ab"), share, f"{own}/kept")),
        settings,
        evaluate=lambda: dict.fromkeys(COCO_METRICS, progress.step / 10),
        checkpoints=checkpoints,
        progress=progress,
        log=log,
        replicas=replicas,
    )
    detector.save_weights(pathlib.Path(own) / "final.weights.h5")


if __name__ == "__main__":
    if sys.argv[3] != "auto":
        cpu = tf.config.list_physical_devices("CPU")[0]
        count = len(sys.argv[3].split(","))
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    try:
        main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]) if len(sys.argv) > 5 else None)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
