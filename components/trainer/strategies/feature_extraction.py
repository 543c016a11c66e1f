"""Feature extraction: the backbone sees every image once, and only necks and heads learn, from what it made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import tensorflow as tf

from components.detector.detector import Detector
from components.trainer.input.cached_features import CachedFeatures, FeatureBatch, FeatureRequest
from components.trainer.strategies.feature_extraction_settings import FeatureExtractionSettings
from components.trainer.strategies.strategy import Phase, Strategy, TrainingInputs
from components.trainer.strategies.supervised import with_regularization


class FeatureExtraction(Strategy):
    """One phase on kept features.

    Of a backbone in two halves (Faster R-CNN) the first is computed once; the second, which reads crops, is run at
    every step and does not learn either.
    """

    def __init__(self, settings: FeatureExtractionSettings) -> None:
        self._settings = settings
        self._features: CachedFeatures | None = None

    def prepare(self, detector: Detector) -> None:
        """Freezes the backbone."""
        for layer in detector.backbone_layers:
            layer.trainable = False

    def phases(self, detector: Detector, inputs: TrainingInputs) -> Iterator[Phase]:
        """All of the training; the features are made when its first batch is asked for."""

        def batches(start_step: int) -> tf.data.Dataset:
            settings = inputs.settings
            return self._kept(detector, inputs).batches(settings.batch_size, settings.seed, start_step)

        yield Phase(
            name="heads",
            steps=inputs.settings.steps,
            optimizer=inputs.settings.optimizer,
            make_batches=batches,
            losses=feature_losses(detector),
            variables=detector.trainable_variables,
        )

    def finish(self, detector: Detector) -> Detector:
        """Lets go of the features."""
        if self._features is not None:
            self._features.release()
        return detector

    def _kept(self, detector: Detector, inputs: TrainingInputs) -> CachedFeatures:
        if self._features is None:
            request = FeatureRequest(
                self._settings.copies, self._settings.storage, int(self._settings.cache_gigabytes * 1e9)
            )
            self._features = CachedFeatures(
                inputs.features_root or f"{inputs.folder}/features",
                detector,
                inputs.records,
                inputs.settings,
                request,
                inputs.label_map.name_by_index,
            )
        return self._features


def feature_losses(detector: Detector) -> Callable[[FeatureBatch], dict[str, tf.Tensor]]:
    """``detection_losses`` of kept features: scalar float32 [] by name."""

    def losses(batch: FeatureBatch) -> dict[str, tf.Tensor]:
        features = {level: tf.cast(kept, detector.compute_dtype) for level, kept in batch.features.items()}
        return with_regularization(detector, detector.head_losses(features, batch.truth))

    return losses
