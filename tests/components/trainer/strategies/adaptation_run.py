"""A small domain adaptation as a program, for tests that run it, kill it, or take something from it.

adaptation_run.py STRATEGY_JSON SOURCE_RECORDS TARGET_RECORDS FOLDER [KILL_AT_STEP]
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import sys
from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np
import pydantic

from components.evaluator.coco import COCO_METRICS
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.settings import OptimizerSettings, TrainSettings
from components.trainer.state.checkpoint import CheckpointFolder, Progress
from components.trainer.state.progress_log import ProgressLog
from components.trainer.strategies.settings.transfer import TransferSettings
from components.trainer.strategies.strategy import TrainingInputs, build_strategy
from components.trainer.training_loop import train
from schema.label_map import LabelMap
from tests.components.trainer.tiny_detector import TinyDetector

SETTINGS = TrainSettings(
    steps=8,
    batch_size=4,
    # Without clipping: it would make of the discriminators' gradient something for the detector.
    optimizer=OptimizerSettings(learning_rate=1e-2, clip_norm=None, warmup_share=0.0),
    evaluate_every=4,
    checkpoint_every_seconds=0,
)


def main(
    strategy: Mapping[str, Any],
    source: str,
    target: str | None,
    folder: str,
    kill_at_step: int | None = None,
) -> TinyDetector:
    keras.utils.set_random_seed(1)
    detector = TinyDetector()
    settings = pydantic.TypeAdapter(TransferSettings).validate_python(strategy)
    chosen = build_strategy(settings)
    chosen.prepare(detector)
    checkpoints = CheckpointFolder(f"{folder}/checkpoint", detector.variables)
    progress = checkpoints.restore() or Progress()
    print(f"starting at step {progress.step}, step {progress.phase_step} of phase {progress.phase}", flush=True)

    class Log(ProgressLog):
        """Kills the process after a step and before its checkpoint."""

        def losses(
            self, step: int, means: Mapping[str, float], learning_rate: float, measures: Collection[str] = ()
        ) -> None:
            super().losses(step, means, learning_rate, measures)
            if step == kill_at_step:
                os.kill(os.getpid(), signal.SIGKILL)

    inputs = TrainingInputs(
        SETTINGS,
        LabelMap.of_names(["green", "red"]),
        AnnotatedRecords([source], parse_clean_records),
        f"{folder}/kept",
        target_records=AnnotatedRecords([target], parse_clean_records) if target else None,
    )
    train(
        detector,
        chosen.phases(detector, inputs),
        SETTINGS,
        evaluate=lambda: dict.fromkeys(COCO_METRICS, 1.0 - progress.step / 10),
        checkpoints=checkpoints,
        progress=progress,
        log=Log(f"{folder}/run", steps=SETTINGS.steps, batch_size=4, line_every_seconds=1e9, history=progress.history),
    )
    np.savez(pathlib.Path(folder) / "final.npz", *(variable.numpy() for variable in detector.variables))
    return detector


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), *sys.argv[2:5], kill_at_step=int(sys.argv[5]) if len(sys.argv) > 5 else None)
