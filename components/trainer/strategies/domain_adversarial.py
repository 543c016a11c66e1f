"""Adversarial domain adaptation: annotated images teach to detect, discriminators teach features that know no domain.

Ganin and Lempitsky 2015 for detectors (Chen et al. 2018); ``domain_discriminators`` has the losses.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import tensorflow as tf

from components.detector.detector import Detector
from components.trainer.input.input_pipeline import prepare_images
from components.trainer.strategies.adaptation.adaptation_batch import AdaptationBatch, adaptation_batches
from components.trainer.strategies.adaptation.domain_discriminators import DomainDiscriminators, DomainView
from components.trainer.strategies.settings.domain_adversarial import DomainAdversarialSettings
from components.trainer.strategies.strategy import Phase, Strategy, TrainingInputs
from components.trainer.strategies.supervised import losses_and_features


class DomainAdversarial(Strategy):
    """One phase. The target's images go through the backbone in training mode, each batch of one domain by itself: the
    moving statistics of batch normalisation follow both domains.
    """

    def __init__(self, settings: DomainAdversarialSettings) -> None:
        self._settings = settings

    def prepare(self, detector: Detector) -> None:
        """Nothing: all of the detector learns."""

    def phases(self, detector: Detector, inputs: TrainingInputs) -> Iterator[Phase]:
        """All of the training; its last weights are kept, for AP on the annotated domain is not what is wanted."""
        discriminators = DomainDiscriminators(detector, self._settings)
        steps = inputs.settings.steps

        def losses(batch: AdaptationBatch) -> dict[str, tf.Tensor]:
            source, target = batch.source, batch.target
            parts, features = losses_and_features(detector, prepare_images(detector, source), source.truth)
            of_target = detector.features(prepare_images(detector, target), training=True)
            return parts | discriminators.losses(
                DomainView(features, source.truth.valid_height_width),
                DomainView(of_target, target.truth.valid_height_width),
                tf.cast(batch.step, tf.float32) / steps,
            )

        yield Phase(
            name="domain_adversarial",
            steps=steps,
            optimizer=inputs.settings.optimizer,
            make_batches=functools.partial(adaptation_batches, detector, inputs, 0),
            losses=losses,
            variables=[*detector.trainable_variables, *discriminators.variables],
            helpers=discriminators.variables,
            measures=discriminators.measures,
            keeps="last",
        )
