"""A small training as a program, for tests that kill it: ``resumable_training.py RECORDS FOLDER [KILL_AT_STEP]``."""

from __future__ import annotations

import os
import pathlib
import signal
import sys
from collections.abc import Mapping

import keras

from components.detector.registry import build_detector
from components.evaluator.coco import COCO_METRICS
from components.trainer.input.input_pipeline import training_batches
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.optimizer import make_optimizer
from components.trainer.settings import OptimizerSettings, TrainSettings
from components.trainer.state.checkpoint import CheckpointFolder, Progress
from components.trainer.state.progress_log import ProgressLog
from components.trainer.training_loop import train

SETTINGS = TrainSettings(
    steps=8,
    batch_size=4,
    optimizer=OptimizerSettings(learning_rate=1e-3),
    evaluate_every=4,
    checkpoint_every_seconds=0,
)


def main(records: str, folder: str, kill_at_step: int | None) -> None:
    keras.utils.set_random_seed(0)
    detector = build_detector(
        "ssd_mobilenet_v2_fpnlite", num_classes=2, image_size=(64, 64), alpha=0.35, fpn_depth=16, num_head_layers=1
    )
    optimizer = make_optimizer(SETTINGS, detector)
    variables = [*detector.variables, *optimizer.variables]
    checkpoints = CheckpointFolder(f"{folder}/checkpoint", variables, detector.variables)
    progress = checkpoints.restore() or Progress()
    print(f"starting at step {progress.step}", flush=True)

    class Log(ProgressLog):
        """Kills the process after a step and before its checkpoint."""

        def losses(self, step: int, losses: Mapping[str, float], learning_rate: float) -> None:
            super().losses(step, losses, learning_rate)
            if step == kill_at_step:
                os.kill(os.getpid(), signal.SIGKILL)

    log = Log(f"{folder}/run", steps=SETTINGS.steps, batch_size=4, line_every_seconds=1e9, history=progress.history)
    train(
        detector,
        optimizer,
        SETTINGS,
        make_batches=lambda start_step: training_batches(
            [records], parse_clean_records, detector, SETTINGS, start_step=start_step
        ),
        repair=lambda: False,
        evaluate=lambda: dict.fromkeys(COCO_METRICS, progress.step / 10),
        checkpoints=checkpoints,
        progress=progress,
        log=log,
    )
    detector.save_weights(pathlib.Path(folder) / "final.weights.h5")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None)
