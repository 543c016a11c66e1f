"""One gradient step, compiled once."""

from __future__ import annotations

import keras
import tensorflow as tf

from components.detector.detector import Detector
from components.trainer.input.input_pipeline import TrainingBatch, prepare_images


class TrainStep:
    """Forward, losses, backward and update in one graph; sums up losses on the device.

    The sums are only fetched when somebody looks (``mean_losses``), so a step does not wait for its own result.

    Args:
      detector: what learns: its ``trainable_variables``.
      optimizer: built for them.
      element_spec: of the dataset of ``TrainingBatch``es.
    """

    def __init__(self, detector: Detector, optimizer: keras.optimizers.Optimizer, element_spec: TrainingBatch) -> None:
        self._detector = detector
        self._optimizer = optimizer
        self._names: tuple[str, ...] = ()
        self._sums: tf.Tensor | None = None
        self._steps = 0
        # Nothing here is Python control flow over tensors: AutoGraph would only cost seconds.
        self._run = tf.function(self._step, input_signature=[element_spec], autograph=False, jit_compile=False)

    def __call__(self, batch: TrainingBatch) -> None:
        """Takes one step."""
        losses = self._run(batch)  # [parts]
        self._sums = losses if self._sums is None else self._sums + losses
        self._steps += 1

    def losses_are_finite(self) -> bool:
        """Whether no step since the last ``mean_losses`` had a loss that is infinite or not a number."""
        return self._sums is None or bool(tf.reduce_all(tf.math.is_finite(self._sums)))

    def mean_losses(self) -> dict[str, float]:
        """Mean of each loss part, and of their ``total``, over the steps since the last call. Empty without any."""
        if self._sums is None:
            return {}
        means = (self._sums.numpy() / self._steps).tolist()
        self._sums, self._steps = None, 0
        return dict(zip(self._names, means, strict=True))

    def _step(self, batch: TrainingBatch) -> tf.Tensor:
        """One update; float32 [parts], the losses in the order of ``_names``."""
        detector = self._detector
        images = prepare_images(detector, batch)
        with tf.GradientTape() as tape:
            losses = dict(detector.training_losses(images, batch.truth))
            if detector.losses:
                losses["regularization"] = tf.add_n(detector.losses)
            total = tf.add_n(list(losses.values()))
            scaled = self._optimizer.scale_loss(total)
        variables = detector.trainable_variables
        gradients = tape.gradient(scaled, variables)
        self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
        losses["total"] = total
        # Tracing tells the names. A variable to sum up in, made here, would have everything traced a second time.
        self._names = tuple(losses)
        return tf.stack([tf.cast(part, tf.float32) for part in losses.values()])
