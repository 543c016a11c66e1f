"""A small few-shot training, both phases, as a program, for a test that kills it.

resumable_few_shot.py RECORDS FOLDER [KILL_AT_STEP]
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Final

import keras
import tensorflow as tf

from components.detector.layers.cosine_similarity import CosineDense
from components.detector.structures import ClassRows, Features, GroundTruth
from components.evaluator.coco import COCO_METRICS, class_metric
from components.trainer.strategies.few_shot import FewShot
from components.trainer.strategies.settings.few_shot import FewShotSettings
from tests.components.trainer import resumable_training
from tests.components.trainer.tiny_detector import TinyDetector

SETTINGS: Final = FewShotSettings(strategy="few_shot", novel_classes=["b"], shots=2, base_share=0.4, learning_rate=1e-2)
"""Four steps of the base phase, then six on the shots."""
_HEAD: Final = "model/_class_predictor_layers/0"


class TinyCosineDetector(TinyDetector):
    """With what few-shot training asks of a detector: a head by cosines, and where its classes are."""

    def __init__(self) -> None:
        super().__init__(CosineDense(2, scale=5.0))
        self.options = SimpleNamespace(class_head="cosine", may_be_cosine=True)

    @property
    def prediction_layers(self) -> list[keras.layers.Layer]:
        return [self.head]

    def zoo_variables(self) -> dict[str, keras.Variable]:
        return {f"{_HEAD}/kernel": self.head.kernel, f"{_HEAD}/bias": self.head.bias}

    def class_rows(self) -> dict[str, ClassRows]:
        return dict.fromkeys(self.zoo_variables(), ClassRows(1, 0, 1))

    def head_losses(self, features: Features, truth: GroundTruth) -> dict[str, tf.Tensor]:
        logits = self.head(tf.reduce_mean(features["level_4"], axis=(1, 2)))  # [B, 2]
        learnt = tf.one_hot(truth.classes, 2) * truth.weights[..., tf.newaxis]  # [B, M, 2]
        shown = tf.minimum(tf.reduce_sum(learnt, axis=1), 1.0)  # [B, 2]
        errors = tf.nn.sigmoid_cross_entropy_with_logits(labels=shown, logits=logits)  # [B, 2]
        return {"classification": tf.reduce_mean(errors)}


def main(records: str, folder: str, kill_at_step: int | None) -> None:
    keras.utils.set_random_seed(1)
    metrics = [*COCO_METRICS, *(class_metric(metric, name) for metric in ("AP", "AP50") for name in "ab")]
    resumable_training.run(TinyCosineDetector(), FewShot(SETTINGS), records, folder, kill_at_step, metrics)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None)
