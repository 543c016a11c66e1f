"""The interface of a detector out of a SavedModel, and which one a SavedModel is."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.saved_detectors import exported, zoo
from pipeline.saved_detectors.location import SavedModelError
from schema.exported_model import SERVING_SIGNATURE
from schema.label_map import LabelMap

Rows = npt.NDArray[np.float32]
"""float32 [B, N, 6]: (ymin, xmin, ymax, xmax in 0..1 of the upright image, class id, score), -1 in padded rows."""

_BLANK_PIXELS: Final = 64


class SavedDetector(Protocol):
    """A detector that answers for images, encoded or not."""

    @property
    def kind(self) -> str:
        """What it is, in a few words."""

    @property
    def label_map(self) -> LabelMap:
        """What its class ids mean."""

    @property
    def nameless(self) -> collections.Counter[int]:
        """Detections that were left out so far, by the class id that has no name."""

    def detect_encoded(self, encoded: Sequence[bytes]) -> Rows:
        """Detections in image files of any sizes, float32 [B, N, 6]."""

    def detect_images(self, images: npt.NDArray[np.uint8]) -> Rows:
        """Detections in images of one size, uint8 [B, H, W, 3], RGB -> float32 [B, N, 6]."""


def load_saved_detector(folder: pathlib.Path, labels: LabelMap | None = None) -> SavedDetector:
    """Loads a SavedModel as what its signature says it is.

    Args:
      folder: with the SavedModel (``locate_saved_model``).
      labels: what class ids mean, for a model that does not tell; None for COCO's ids.

    Raises:
      SavedModelError: it cannot be loaded, has another signature, its classes have no names, or it fails on an image.
    """
    try:
        model = tf.saved_model.load(str(folder))
    except Exception as error:  # what is wrong with a SavedModel comes as an error of any kind
        first = str(error).strip().partition("\n")[0]
        raise SavedModelError(f"{folder}: cannot be loaded as a SavedModel: {type(error).__name__}: {first}") from error
    signature = model.signatures.get(SERVING_SIGNATURE)
    if signature is None:
        there = ", ".join(model.signatures) or "none"
        raise SavedModelError(f"{folder}: has the signatures {there}; expected {SERVING_SIGNATURE}")
    inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
    if exported.is_export(inputs, outputs):
        return _answering(exported.ExportedDetector(folder, model, labels), folder)
    if zoo.is_of_zoo(inputs, outputs):
        return _answering(zoo.ZooDetector(folder, model, labels), folder)
    raise SavedModelError(
        f"{folder}: the signature {SERVING_SIGNATURE} takes {_described(inputs)} and gives {_described(outputs)}; "
        f"expected an export of this pipeline ({exported.EXPECTED}) or of the TF2 Detection Zoo ({zoo.EXPECTED})"
    )


def _answering(detector: SavedDetector, folder: pathlib.Path) -> SavedDetector:
    """The detector, asked once: what it cannot do is said before there is work."""
    blank = tf.io.encode_png(tf.fill((_BLANK_PIXELS, _BLANK_PIXELS, 3), tf.constant(127, tf.uint8))).numpy()
    try:
        rows = detector.detect_encoded([blank])
    except (tf.errors.OpError, TypeError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise SavedModelError(f"{folder}: fails on an image: {type(error).__name__}: {first}") from error
    if rows.ndim != 3 or rows.shape[0] != 1 or rows.shape[2] != 6:
        raise SavedModelError(f"{folder}: answers one image with rows of shape {rows.shape}, expected [1, N, 6]")
    detector.nameless.clear()
    return detector


def _described(specifications: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {one.dtype.name} {one.shape}" for name, one in specifications.items()) or "nothing"
