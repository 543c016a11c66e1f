"""Encoded images -> detections, by a SavedModel in this process."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from schema.exported_model import IMAGE_BYTES, OUTPUTS, SERVING_SIGNATURE
from serving.clients.errors import ImageRefusedError
from serving.models.loaded_model import LoadedModel
from serving.models.runnable import Call
from serving.protocol.detections import Answer, detections_of_image
from serving.protocol.errors import RequestError


class SavedModelDetector:
    """A SavedModel under TensorFlow's C++ loader; safe to use from several threads.

    Attributes:
      version: the number that the model's folder is called; 0: it is called something else.
    """

    def __init__(self, path: pathlib.Path) -> None:
        """Loads the SavedModel in the folder `path`.

        Raises:
          OSError, ValueError, tf.errors.OpError: it is broken or incomplete, or no detector.
        """
        name = path.resolve().name
        self.version = int(name) if name.isascii() and name.isdecimal() else 0
        self._model = LoadedModel(self.version, path)
        definition = self._model.signature_defs.get(SERVING_SIGNATURE)
        missing = [name for name in OUTPUTS if definition is None or name not in definition.outputs]
        if missing:
            raise ValueError(f"is no detector of ours: {SERVING_SIGNATURE} has no output {', '.join(missing)}")

    def detect(self, images: Sequence[bytes], score_threshold: float | None = None) -> Answer:
        """See `DetectorClient.detect`.

        Raises:
          ImageRefusedError: one of the images does not decode.
        """
        if not images:
            return [], self.version
        try:
            outputs = self._model.run(Call(SERVING_SIGNATURE, {IMAGE_BYTES: np.array(images, object)}))
        except RequestError as error:
            raise ImageRefusedError(error.message) from error
        answers = [
            tuple(one for one in detections_of_image(outputs, image) if one.is_believed(score_threshold))
            for image in range(len(images))
        ]
        return answers, self.version
