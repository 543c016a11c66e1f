"""Feature extraction: the backbone sees every image once, and only what stands on it learns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import tensorflow as tf

from components.detector.detector import Detector, FinishedDetector
from components.detector.reclassified import ReclassifiedDetector
from components.detector.registry import as_float32
from components.trainer.box_classifier.fitting import ClassifierName, as_layer, fit_pipeline
from components.trainer.box_classifier.samples import sample_boxes
from components.trainer.input.cached_features import CachedFeatures, FeatureBatch, FeatureRequest
from components.trainer.strategies.settings.feature_extraction import FeatureExtractionSettings
from components.trainer.strategies.strategy import Phase, Strategy, TrainingInputs
from components.trainer.strategies.supervised import with_regularization
from components.user_error import UserError

_FEW_FOUND: Final = 0.5
"""Share of the training's objects in the detector's boxes below which it is told."""


class FeatureExtraction(Strategy):
    """One phase on kept features; then, where one is asked for, a classifier of boxes.

    Of a backbone in two halves (Faster R-CNN) the first is computed once; the second, which reads crops, is run at
    every step and does not learn either.
    """

    def __init__(self, settings: FeatureExtractionSettings) -> None:
        self._settings = settings
        self._features: CachedFeatures | None = None
        self._inputs: TrainingInputs | None = None

    def prepare(self, detector: Detector) -> None:
        """Freezes the backbone."""
        for layer in detector.backbone_layers:
            layer.trainable = False

    def check_start(self, fresh: Sequence[str]) -> None:
        """A classifier of boxes needs a detector that finds some.

        Raises:
          UserError: heads begin at random and do not learn.
        """
        if fresh and not self._settings.train_heads:
            raise UserError(
                f"transfer.train_heads is false, but the start weights leave {len(fresh)} variables of the detector "
                f"at random (first: {fresh[0]}), so that its boxes show nothing: leave train_heads out, or start from "
                "a detector of these very classes (a pushed version, transfer.warm_start_from_blessed)"
            )

    def phases(self, detector: Detector, inputs: TrainingInputs) -> Iterator[Phase]:
        """All of the gradient steps; the features are made when the first batch is asked for."""
        self._inputs = inputs

        def batches(start_step: int) -> tf.data.Dataset:
            settings = inputs.settings
            return self._kept(detector, inputs).batches(settings.batch_size, settings.seed, start_step)

        yield Phase(
            name="heads",
            steps=inputs.settings.steps if self._settings.train_heads else 0,
            optimizer=inputs.settings.optimizer,
            make_batches=batches,
            losses=feature_losses(detector),
            variables=detector.trainable_variables,
        )

    def finish(self, detector: Detector) -> FinishedDetector:
        """Fits the classifier, where one is asked for. Lets go of the features.

        Raises:
          UserError: there is nothing to fit it to.
        """
        finished: FinishedDetector = detector
        name, inputs = self._settings.classifier, self._inputs
        if name is not None and inputs is not None:
            finished = self._reclassified(as_float32(detector), name, inputs)
        if self._features is not None:
            self._features.release()
        return finished

    def _reclassified(self, detector: Detector, name: ClassifierName, inputs: TrainingInputs) -> ReclassifiedDetector:
        start = time.monotonic()
        samples = sample_boxes(detector, self._kept(detector, inputs), inputs.settings.seed)
        if samples.found < _FEW_FOUND:
            print(
                f"WARNING: the detector's boxes show {samples.found:.0%} of the training's objects, and {name} looks "
                "at no others: train the heads (transfer.train_heads) or train them longer (train.steps)",
                flush=True,
            )
        pipeline = fit_pipeline(name, samples.vectors, samples.columns, samples.images, inputs.settings.seed)
        layer = as_layer(pipeline, detector.num_classes + 1)
        print(
            f"{name} fitted to {len(samples.columns)} boxes, of which {int((samples.columns == 0).sum())} show no "
            f"object, in {time.monotonic() - start:.0f} s; the detector's boxes show {samples.found:.0%} of the "
            "training's objects",
            flush=True,
        )
        return ReclassifiedDetector(detector, layer)

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
