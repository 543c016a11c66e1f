"""A small training in two phases as a program, for tests that kill it.

resumable_training.py STRATEGY RECORDS FOLDER [KILL_AT_STEP]
"""

from __future__ import annotations

import functools
import os
import pathlib
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from components.detector.detector import Detector
from components.evaluator.coco import COCO_METRICS
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.input_pipeline import TrainingBatch
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.settings import OptimizerSettings, TrainSettings
from components.trainer.state.checkpoint import CheckpointFolder, Progress
from components.trainer.state.progress_log import ProgressLog
from components.trainer.strategies.fine_tune import FineTune
from components.trainer.strategies.settings.fine_tune import FineTuneSettings, Stage
from components.trainer.strategies.strategy import Phase, Strategy, TrainingInputs
from components.trainer.strategies.supervised import detection_losses
from components.trainer.training_loop import train
from schema.label_map import LabelMap
from tests.components.trainer.tiny_detector import TinyDetector

HEADS_STEPS = 4
SETTINGS = TrainSettings(
    steps=10,
    batch_size=4,
    optimizer=OptimizerSettings(learning_rate=1e-2, ema_momentum=0.9),
    evaluate_every=4,
    checkpoint_every_seconds=0,
)


class HeadsFirst(Strategy):
    """The heads, then everything, held to a slow average of what the first phase has learnt: the helpers."""

    helpers: tuple[keras.Variable, ...]

    def prepare(self, detector: Detector) -> None:
        for layer in detector.backbone_layers:
            layer.trainable = False

    def phases(self, detector: Detector, inputs: TrainingInputs) -> Iterator[Phase]:
        losses = detection_losses(detector)
        heads = detector.trainable_variables
        optimizer = inputs.settings.optimizer
        make_batches = functools.partial(inputs.records.training_batches, detector, inputs.settings)
        yield Phase("heads", HEADS_STEPS, optimizer, make_batches, losses, heads)

        for layer in detector.backbone_layers:
            layer.trainable = True
        self.helpers = tuple(keras.Variable(head, trainable=False) for head in heads)

        def held(batch: TrainingBatch) -> dict[str, tf.Tensor]:
            distances = []
            for helper, head in zip(self.helpers, heads, strict=True):
                helper.assign(0.9 * helper + 0.1 * head)
                distances.append(tf.reduce_sum(tf.square(head - tf.stop_gradient(helper))))
            return losses(batch) | {"distance": 10.0 * tf.add_n(distances)}

        yield Phase(
            "all",
            inputs.settings.steps - HEADS_STEPS,
            optimizer,
            lambda step: make_batches(HEADS_STEPS + step),
            held,
            detector.trainable_variables,
            self.helpers,
        )


def stages() -> FineTune:
    """Fine-tuning in stages, the second with an average of the weights and with learning rates by depth."""
    return FineTune(
        FineTuneSettings(
            stages=(Stage(trainable="heads", steps=HEADS_STEPS), Stage(learning_rate=5e-3)),
            learning_rates={"heads": 0.5},
            backbone_input_rate=0.1,
        )
    )


STRATEGIES: dict[str, Callable[[], Strategy]] = {"helpers": HeadsFirst, "stages": stages}


def run(
    detector: Detector, strategy: Strategy, records: str, folder: str, kill_at_step: int | None, metrics: Sequence[str]
) -> None:
    """Trains as ``run_fn`` does, on classes `a` and `b`; every metric rises with the steps."""
    strategy.prepare(detector)
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

    log = Log(f"{folder}/run", steps=SETTINGS.steps, batch_size=4, line_every_seconds=1e9, history=progress.history)

    inputs = TrainingInputs(
        SETTINGS, LabelMap.of_names("ab"), AnnotatedRecords([records], parse_clean_records), f"{folder}/kept"
    )
    train(
        detector,
        strategy.phases(detector, inputs),
        SETTINGS,
        evaluate=lambda: dict.fromkeys(metrics, progress.step / 10),
        checkpoints=checkpoints,
        progress=progress,
        log=log,
    )
    detector.save_weights(pathlib.Path(folder) / "final.weights.h5")


def main(name: str, records: str, folder: str, kill_at_step: int | None) -> None:
    keras.utils.set_random_seed(1)
    strategy = STRATEGIES[name]()
    run(TinyDetector(), strategy, records, folder, kill_at_step, COCO_METRICS)
    if isinstance(strategy, HeadsFirst):
        np.savez(pathlib.Path(folder) / "helpers.npz", *(helper.numpy() for helper in strategy.helpers))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else None)
