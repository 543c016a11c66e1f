"""What the Trainer exported: what it says of itself, and the detector of it again, which device models are made of."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import posixpath
import tempfile
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.detector.tiling_settings import TilingSettings
from components.detector.weights.checkpoints import CheckpointError, pushed_recipe
from schema.exported_model import DESCRIPTION_FILE, OPERATING_POINTS_FILE, WEIGHTS_FILE
from schema.label_map import LabelMap
from schema.operating_points import OperatingPoints


@dataclasses.dataclass(frozen=True)
class Export:
    """What an export says.

    Attributes:
      recipe: arguments of ``build_detector``.
      label_map: its classes.
      operating_points: of these; None where the export has none.
      tiling: how the export cuts images into tiles for the detector; None where it does not.
      classifier: what classifies boxes in the export in place of the detector's own heads; it is in the SavedModel
        alone. None where nothing does.
    """

    recipe: Mapping[str, Any]
    label_map: LabelMap
    operating_points: OperatingPoints | None
    tiling: TilingSettings | None
    classifier: str | None


def read_export(folder: str) -> Export:
    """Reads the files beside the SavedModel.

    Args:
      folder: of the SavedModel.

    Raises:
      CheckpointError: it has no description.
    """
    recipe, label_map = pushed_recipe(folder)
    description = json.loads(_text(f"{folder}/{DESCRIPTION_FILE}"))
    points = f"{folder}/{OPERATING_POINTS_FILE}"
    tiling = description.get("tiling")
    return Export(
        recipe,
        label_map,
        OperatingPoints.of_json(_text(points)) if tf.io.gfile.exists(points) else None,
        None if tiling is None else TilingSettings.model_validate(tiling),
        description.get("classifier"),
    )


def built_detector(folder: str, export: Export) -> Detector:
    """The detector of an export, with its weights; it computes in float32.

    Args:
      folder: of the SavedModel.
      export: what it says.

    Raises:
      CheckpointError: the weights are not those of the detector that this code builds.
    """
    # The process may be the one that trained in another precision.
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("float32")
    try:
        detector = build_detector(**export.recipe)
        with tempfile.TemporaryDirectory() as local:
            weights = pathlib.Path(local) / posixpath.basename(WEIGHTS_FILE)
            tf.io.gfile.copy(f"{folder}/{WEIGHTS_FILE}", str(weights))
            detector.load_weights(weights)
    except (tf.errors.OpError, TypeError, ValueError, OSError) as error:
        raise CheckpointError(
            f"{folder}: the export cannot be made a detector again: {error}; expected one that this code has written"
        ) from error
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    return detector


def _text(path: str) -> str:
    with tf.io.gfile.GFile(path) as file:
        return str(file.read())
