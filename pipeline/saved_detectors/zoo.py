"""A SavedModel as the TF Object Detection API exports it: the TF2 Detection Zoo's, and those trained from them.

``serving_default`` takes one decoded image, ``input_tensor`` uint8 [1, H, W, 3]; classes are 1-based ids as floats.
"""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.detector.weights.coco_classes import COCO_LABEL_MAP, NUM_IDS
from components.image_decoding import decode_upright
from pipeline.saved_detectors.location import SavedModelError
from schema.exported_model import SERVING_SIGNATURE
from schema.label_map import LabelMap

_INPUT: Final = "input_tensor"
_BOXES, _SCORES, _CLASSES, _COUNT = "detection_boxes", "detection_scores", "detection_classes", "num_detections"
_OF_EVERY_CLASS: Final = ("detection_multiclass_scores", "raw_detection_scores")
"""Outputs [1, N, K + 1] that most of them have, with the background first."""
EXPECTED: Final = f"{_INPUT} uint8 [1, H, W, 3] -> {_BOXES}, {_CLASSES}, {_SCORES}, {_COUNT}"


def is_of_zoo(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> bool:
    """Whether the serving signature is that of the zoo, with decoded images."""
    taken = list(inputs) == [_INPUT] and inputs[_INPUT].dtype == tf.uint8
    return taken and {_BOXES, _SCORES, _CLASSES, _COUNT} <= set(outputs)


class ZooDetector:
    """A SavedModel of the zoo, loaded; a ``SavedDetector``.

    Attributes:
      kind: see ``SavedDetector``.
      label_map: what its class ids mean.
      nameless: detections that were left out, by the id that has no name. COCO numbers 80 classes up to 90, and the
        networks score all 90.
    """

    def __init__(self, folder: pathlib.Path, model: Any, labels: LabelMap | None) -> None:
        """Finds out what its classes are called.

        Raises:
          SavedModelError: it has other classes than COCO's, and was given no names, or was given too many.
        """
        self._signature = model.signatures[SERVING_SIGNATURE]
        # The model is kept: its variables go with it.
        self._model = model
        classes = _num_classes(self._signature.structured_outputs)
        if labels is None and classes not in (None, NUM_IDS):
            raise SavedModelError(
                f"{folder}: scores {classes} classes and does not say what they are called (COCO's are {NUM_IDS}); "
                "give their names with --labels: a .pbtxt, or a labels.txt with one name a line"
            )
        if labels is not None and classes is not None and labels.ids[-1] > classes:
            raise SavedModelError(
                f"{folder}: scores {classes} classes, but --labels names ids up to {labels.ids[-1]}; give the label "
                "map that it was trained with"
            )
        self.label_map = labels or COCO_LABEL_MAP
        names = f"COCO's {len(COCO_LABEL_MAP)} names" if labels is None else f"{len(labels)} names of --labels"
        self.kind = f"SavedModel of the TF Object Detection API, {names}"
        self.nameless: collections.Counter[int] = collections.Counter()

    def detect_encoded(self, encoded: Sequence[bytes]) -> npt.NDArray[np.float32]:
        """See ``SavedDetector``; an image at a time."""
        return _padded([self._detect(decode_upright(tf.constant(one))) for one in encoded])

    def detect_images(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See ``SavedDetector``; an image at a time."""
        return _padded([self._detect(tf.constant(one)) for one in images])

    def _detect(self, image: tf.Tensor) -> npt.NDArray[np.float32]:
        """uint8 [H, W, 3] -> float32 [N, 6], without padding."""
        outputs = self._signature(**{_INPUT: image[tf.newaxis]})
        count = int(outputs[_COUNT].numpy().reshape(-1)[0])
        boxes, ids, scores = (outputs[name].numpy()[0, :count] for name in (_BOXES, _CLASSES, _SCORES))
        rows = np.concatenate([boxes, ids[:, np.newaxis], scores[:, np.newaxis]], axis=-1).astype(np.float32)  # [N, 6]
        ids = ids.astype(np.int64)
        has_name = np.isin(ids, self.label_map.ids)  # [N]
        self.nameless.update(ids[~has_name].tolist())
        named: npt.NDArray[np.float32] = rows[has_name]
        return named


def _num_classes(outputs: Mapping[str, Any]) -> int | None:
    """Classes that the network scores, without the background; None where it does not tell."""
    widths = [outputs[name].shape[-1] for name in _OF_EVERY_CLASS if name in outputs and outputs[name].shape.rank == 3]
    return next((int(width) - 1 for width in widths if width is not None), None)


def _padded(images: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """[n, 6] each -> [B, N, 6], padded with -1."""
    rows = np.full((len(images), max(map(len, images), default=0), 6), -1.0, np.float32)
    for number, found in enumerate(images):
        rows[number, : len(found)] = found
    return rows
