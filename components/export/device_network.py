"""A detector as the function that every device model computes: canvas in, all boxes with their scores out.

See ``schema.device_model``. What other runtimes have no kernel for is not in it: images come decoded and resized, boxes
leave before suppression, there is one image and so no free dimension.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.detector.detector import Detector
from components.detector.layers.in_float import in_float
from components.detector.layers.other_runtimes import for_other_runtimes
from components.detector.registry import as_float32
from schema import device_model


class CanvasImage(NamedTuple):
    """An image on the canvas, as ``Detector.resize`` gives it.

    Attributes:
      pixels: float32 [H, W, 3], RGB, 0..255.
      valid_height_width: float32 [2]: the share of the canvas that is image.
    """

    pixels: NDArray[np.float32]
    valid_height_width: NDArray[np.float32]


class DeviceNetwork(tf.Module):
    """See the module.

    Args:
      detector: trained, in whatever precision; the network computes in float32.

    Attributes:
      image_size: (height, width) in pixels of the canvas.
      run: the function, ``IMAGES`` and perhaps ``VALID_SHARE`` -> ``BOXES`` and ``SCORES``, by these names.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__(name="device_network")
        detector = as_float32(detector)
        # The plain variables and not the detector, as in ``saved_model.ServingModule``.
        self._weights = [variable.value for variable in detector.weights]
        self.image_size: tuple[int, int] = detector.image_size

        # Arguments have the names of the inputs.
        def of_image_on_canvas(images: tf.Tensor, valid_height_width: tf.Tensor) -> dict[str, tf.Tensor]:
            with for_other_runtimes():
                predictions = detector.head_predictions(
                    detector.features(detector.normalize(images), training=False), valid_height_width
                )
            with in_float():
                boxes, scores = detector.scored_boxes(predictions)
                return {
                    device_model.BOXES: tf.identity(boxes, name=device_model.BOXES),
                    device_model.SCORES: tf.identity(scores, name=device_model.SCORES),
                }

        def of_whole_canvas(images: tf.Tensor) -> dict[str, tf.Tensor]:
            return of_image_on_canvas(images, tf.ones((1, 2)))

        self.signature = [tf.TensorSpec((1, *self.image_size, 3), tf.float32, name=device_model.IMAGES)]
        if detector.reads_valid_share:
            self.signature.append(tf.TensorSpec((1, 2), tf.float32, name=device_model.VALID_SHARE))
        # Nothing in a detector is Python control flow over tensors.
        self.run: Any = tf.function(
            of_image_on_canvas if detector.reads_valid_share else of_whole_canvas,
            input_signature=self.signature,
            autograph=False,
        )

    @property
    def concrete(self) -> Any:
        """``run`` traced."""
        return self.run.get_concrete_function()

    def feed(self, image: CanvasImage) -> dict[str, NDArray[np.float32]]:
        """The network's inputs by their names."""
        inputs = {device_model.IMAGES: image.pixels[np.newaxis]}
        if len(self.signature) > 1:
            inputs[device_model.VALID_SHARE] = image.valid_height_width[np.newaxis]
        return inputs
