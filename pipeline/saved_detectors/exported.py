"""An export of this pipeline, whose contract is ``schema.exported_model``."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.saved_detectors.location import SavedModelError
from schema import exported_model
from schema.label_map import LabelMap, LabelMapError, read_label_map

_OUTPUTS: Final = (exported_model.BOXES, exported_model.SCORES, exported_model.CLASSES, exported_model.COUNTS)
EXPECTED: Final = f"{exported_model.IMAGE_BYTES} string [B] -> {', '.join(_OUTPUTS)}"


def is_export(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> bool:
    """Whether the serving signature is that of an export."""
    return list(inputs) == [exported_model.IMAGE_BYTES] and set(_OUTPUTS) <= set(outputs)


class ExportedDetector:
    """An export, loaded; a ``SavedDetector``."""

    def __init__(self, folder: pathlib.Path, model: Any, labels: LabelMap | None) -> None:
        """Reads the names of the classes.

        Raises:
          SavedModelError: it has none, or was given others.
        """
        file = folder / exported_model.LABELS_FILE
        if labels is not None:
            raise SavedModelError(
                f"{folder}: an export of this pipeline has its own names in {file}; leave out --labels"
            )
        try:
            self.label_map = read_label_map(file)
        except LabelMapError as error:
            raise SavedModelError(
                f"{folder}: an export of this pipeline without the names of its classes: {error}"
            ) from error
        self.kind = f"export of this pipeline, {len(self.label_map)} classes"
        self.nameless: collections.Counter[int] = collections.Counter()
        # The model is kept: its variables go with it.
        self._model, self._folder = model, folder

    def detect_encoded(self, encoded: Sequence[bytes]) -> npt.NDArray[np.float32]:
        """See ``SavedDetector``."""
        signature = self._model.signatures[exported_model.SERVING_SIGNATURE]
        return _rows(signature(**{exported_model.IMAGE_BYTES: tf.constant(list(encoded), tf.string)}))

    def detect_images(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See ``SavedDetector``.

        Raises:
          SavedModelError: the export has no signature for decoded images.
        """
        signature = self._model.signatures.get(exported_model.TENSOR_SIGNATURE)
        if signature is None:
            raise SavedModelError(
                f"{self._folder}: has no signature {exported_model.TENSOR_SIGNATURE} for decoded images, which exports "
                "of this pipeline have; export it anew"
            )
        return _rows(signature(**{exported_model.IMAGES: tf.constant(images)}))


def _rows(outputs: Mapping[str, tf.Tensor]) -> npt.NDArray[np.float32]:
    boxes, scores, ids, counts = (outputs[name].numpy() for name in _OUTPUTS)  # [B, N, 4], [B, N], [B, N], [B]
    rows = np.concatenate([boxes, ids[..., np.newaxis], scores[..., np.newaxis]], axis=-1).astype(np.float32)
    rows[np.arange(rows.shape[1]) >= counts[:, np.newaxis]] = -1.0
    return rows
