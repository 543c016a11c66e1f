"""Fine-tuning: the detector, or its later part, goes on learning from where its start weights are."""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from components.detector.detector import Detector
from components.trainer.strategies.keeping.keeping_losses import keeping_losses
from components.trainer.strategies.settings.fine_tune import FineTuneSettings, Stage
from components.trainer.strategies.strategy import Phase, Strategy, TrainingInputs
from components.trainer.strategies.trainable_layers import learning_rate_factors, set_trainable


class FineTune(Strategy):
    """A phase for each stage, in which what is not frozen learns from the annotated images."""

    def __init__(self, settings: FineTuneSettings) -> None:
        self._settings = settings
        self._stages = settings.stages or (
            Stage(trainable=settings.trainable, learn=settings.learn, freeze=settings.freeze),
        )

    def prepare(self, detector: Detector) -> None:
        """Marks what learns first (``trainable`` of the layers), having tried all the stages.

        Raises:
          ValueError: a layer or an expression that fits none, or a stage in which nothing learns.
        """
        for stage in reversed(self._stages):
            self._begin(detector, stage)
            self._factors(detector)

    def phases(self, detector: Detector, inputs: TrainingInputs) -> Iterator[Phase]:
        """One for each stage, over the batches of one and the same stream."""
        settings = inputs.settings
        losses = keeping_losses(detector, inputs, self._settings.keep)
        start = 0
        for number, (stage, steps) in enumerate(
            zip(self._stages, self._settings.stage_steps(settings.steps), strict=True), start=1
        ):
            self._begin(detector, stage)
            optimizer = settings.optimizer
            if stage.learning_rate is not None:
                optimizer = optimizer.model_copy(update={"learning_rate": stage.learning_rate})

            def make_batches(step: int, start: int = start) -> tf.data.Dataset:
                return inputs.records.training_batches(detector, settings, start + step)

            yield Phase(
                name="fine_tune" if len(self._stages) == 1 else f"fine_tune {number}/{len(self._stages)}",
                steps=steps,
                optimizer=optimizer,
                make_batches=make_batches,
                losses=losses,
                variables=detector.trainable_variables,
                learning_rate_factors=self._factors(detector),
                early_stopping_patience=stage.early_stopping_patience,
            )
            start += steps

    def _begin(self, detector: Detector, stage: Stage) -> None:
        set_trainable(detector, stage, freeze_batch_norm=self._settings.freeze_batch_norm)

    def _factors(self, detector: Detector) -> list[float]:
        return learning_rate_factors(detector, self._settings.learning_rates, self._settings.backbone_input_rate)
