"""A small training on kept features as a program, for tests that kill it.

resumable_features.py RECORDS FOLDER [KILL_AT_ROW [KILL_AT_STEP]]
"""

from __future__ import annotations

import os
import pathlib
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from components.detector.registry import build_detector
from components.evaluator.coco import COCO_METRICS
from components.trainer.input import cached_features
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.feature_store import FeatureWriter
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.settings import OptimizerSettings, TrainSettings
from components.trainer.state.checkpoint import CheckpointFolder, Progress
from components.trainer.state.progress_log import ProgressLog
from components.trainer.strategies.feature_extraction import FeatureExtraction
from components.trainer.strategies.settings.feature_extraction import FeatureExtractionSettings
from components.trainer.strategies.strategy import TrainingInputs
from components.trainer.training_loop import train
from schema.label_map import LabelMap
from tests.tiny_detectors import TINY_DETECTORS

SETTINGS = TrainSettings(
    steps=6, batch_size=4, optimizer=OptimizerSettings(learning_rate=1e-2), evaluate_every=3, checkpoint_every_seconds=0
)


def main(records: str, folder: str, kill_at_row: int, kill_at_step: int) -> None:
    keras.utils.set_random_seed(1)
    detector = build_detector(
        "ssd_mobilenet_v2", num_classes=2, image_size=(64, 64), **TINY_DETECTORS["ssd_mobilenet_v2"]
    )
    strategy = FeatureExtraction(FeatureExtractionSettings(copies=1))
    strategy.prepare(detector)
    checkpoints = CheckpointFolder(f"{folder}/checkpoint", detector.variables)
    progress = checkpoints.restore() or Progress()
    cached_features._COMMIT_EVERY_SECONDS = 0.0
    append = FeatureWriter.append

    def killed(self: FeatureWriter, *rows: Any) -> None:
        """Between what was written and its commit."""
        append(self, *rows)
        if self.rows >= kill_at_row:
            os.kill(os.getpid(), signal.SIGKILL)

    if kill_at_row:
        FeatureWriter.append = killed

    class Log(ProgressLog):
        """Kills the process after a step and before its checkpoint."""

        def losses(
            self, step: int, losses: Mapping[str, float], learning_rate: float, measures: Sequence[str] = ()
        ) -> None:
            super().losses(step, losses, learning_rate, measures)
            if step == kill_at_step:
                os.kill(os.getpid(), signal.SIGKILL)

    log = Log(f"{folder}/run", steps=SETTINGS.steps, batch_size=4, line_every_seconds=1e9, history=progress.history)
    inputs = TrainingInputs(
        SETTINGS,
        LabelMap.of_names("ab"),
        AnnotatedRecords([records], parse_clean_records),
        f"{folder}/kept",
        features_root=f"{folder}/features",
    )
    train(
        detector,
        strategy.phases(detector, inputs),
        SETTINGS,
        evaluate=lambda: dict.fromkeys(COCO_METRICS, progress.step / 10),
        checkpoints=checkpoints,
        progress=progress,
        log=log,
    )
    strategy.finish(detector).save_weights(pathlib.Path(folder) / "final.weights.h5")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *(int(argument) for argument in (*sys.argv[3:], "0", "0")[:2]))
