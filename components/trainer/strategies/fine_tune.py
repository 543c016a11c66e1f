"""Fine-tuning: the detector, or its later part, goes on learning from where its start weights are."""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Iterator

import keras

from components.detector.detector import Detector
from components.trainer.strategies.fine_tune_settings import FineTuneSettings
from components.trainer.strategies.strategy import Phase, Strategy, TrainingInputs
from components.trainer.strategies.supervised import detection_losses


class FineTune(Strategy):
    """One phase: everything that is not frozen learns from the annotated images."""

    def __init__(self, settings: FineTuneSettings) -> None:
        self._settings = settings

    def prepare(self, detector: Detector) -> None:
        """Marks what learns (``trainable`` of the layers).

        Layers that do not learn also leave their batch normalisation's moving statistics alone.

        Raises:
          ValueError: ``trainable`` names no layer of the backbone.
        """
        layers = detector.backbone_layers
        for layer in layers[: _first_trainable(layers, self._settings.trainable)]:
            layer.trainable = False
        if self._settings.freeze_batch_norm:
            for layer in layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.trainable = False

    def phases(self, detector: Detector, inputs: TrainingInputs) -> Iterator[Phase]:
        """All of the training."""
        yield Phase(
            name="fine_tune",
            steps=inputs.settings.steps,
            optimizer=inputs.settings.optimizer,
            make_batches=functools.partial(inputs.records.training_batches, detector, inputs.settings),
            losses=detection_losses(detector),
            variables=detector.trainable_variables,
        )


def _first_trainable(layers: list[keras.layers.Layer], trainable: str | float) -> int:
    """Index of the first backbone layer that learns; the number of layers when none does."""
    if trainable == "all":
        return 0
    if trainable == "heads":
        return len(layers)
    if isinstance(trainable, float | int):
        return len(layers) - math.ceil(trainable * len(layers))
    names = [layer.name for layer in layers]
    if trainable in names:
        return names.index(trainable)
    near = difflib.get_close_matches(trainable, names, n=1)
    raise ValueError(
        f"transfer.trainable: the backbone has no layer {trainable!r}"
        + (f"; did you mean {near[0]!r}?" if near else "")
        + f" (it has {len(names)}, from {names[0]!r} to {names[-1]!r}; `all`, `heads` or a share from 0 to 1 also work)"
    )
