"""Reading presets of KerasHub: downloaded by it where it knows the name, or folders that its ``save_to_preset`` wrote.

Imports KerasHub, which takes seconds; only what opens a preset imports this.
"""

from __future__ import annotations

import json
import pathlib
from typing import Protocol, runtime_checkable

import keras
import keras_hub
import numpy as np

from components.detector.weights.coco_classes import COCO_LABEL_MAP
from components.path_settings import is_preset_folder
from schema.label_map import LabelMap

_TORCHVISION_COLUMNS = 91
"""torchvision's detectors have a column for each id of COCO from 0, which is background and never learnt."""


@runtime_checkable
class PresetReader(Protocol):
    """What a detector must know to start from presets."""

    @property
    def name(self) -> str:
        """Of the detector."""

    @property
    def preset_scale_and_offset(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """What images (0..255) are multiplied with, and what is added then, by channel."""

    def preset_classes(self, model: keras.Model) -> int | None:
        """How many classes a model of KerasHub's tells apart; None for a backbone alone."""

    def preset_variables(self, model: keras.Model) -> dict[str, keras.Variable]:
        """Variables of a model of KerasHub's by the detector's own keys; a ValueError for one that does not fit."""


def load_preset(preset: str) -> keras.Model:
    """The detector of a preset, or its backbone where it has no heads.

    Args:
      preset: a name that KerasHub knows, a handle (``kaggle://``, ``hf://``) or a folder.

    Raises:
      ValueError: it cannot be loaded.
    """
    # What a preset lacks, what cannot be reached and what is broken are errors of many kinds there.
    errors = (ValueError, OSError, RuntimeError, KeyError, TypeError, ImportError)
    task, backbone = keras_hub.models.ObjectDetector, keras_hub.models.Backbone
    try:
        if is_preset_folder(preset):
            return (task if _is_of_detector(pathlib.Path(preset)) else backbone).from_preset(preset)
        try:
            return task.from_preset(preset)
        except errors:
            return backbone.from_preset(preset)
    except errors as error:
        raise ValueError(f"KerasHub cannot load it: {str(error).strip().splitlines()[0]}") from error


def _is_of_detector(folder: pathlib.Path) -> bool:
    """Whether a preset folder holds a whole detector."""
    file = folder / "task.json"
    return file.is_file() and json.loads(file.read_text())["class_name"].endswith("ObjectDetector")


def check_images(preset: str, reader: PresetReader) -> None:
    """Passes where the preset's image converter, if it has one, scales values as the detector does.

    Raises:
      ValueError: it scales them otherwise; the message has both.
    """
    try:
        converter = keras_hub.layers.ImageConverter.from_preset(preset)
    except (ValueError, OSError, KeyError):
        return
    found = [
        np.broadcast_to(value, (3,)).astype(float)
        for value in (
            1.0 if converter.scale is None else converter.scale,
            0.0 if converter.offset is None else converter.offset,
        )
    ]
    if not np.allclose(found, reader.preset_scale_and_offset, rtol=1e-3, atol=1e-5):
        raise ValueError(
            f"its images are scaled by {found[0].tolist()} and shifted by {found[1].tolist()}, those of {reader.name} "
            f"by {list(reader.preset_scale_and_offset[0])} and {list(reader.preset_scale_and_offset[1])}"
        )


def coco_label_map(num_classes: int) -> LabelMap | None:
    """The classes of a preset trained on COCO, by how many columns it has; None for another number."""
    if num_classes == _TORCHVISION_COLUMNS:
        return LabelMap(tuple(number + 1 for number in COCO_LABEL_MAP.ids), COCO_LABEL_MAP.names)
    if num_classes == len(COCO_LABEL_MAP.names):
        return LabelMap.of_names(COCO_LABEL_MAP.names)
    return None


def describe(preset: str) -> str:
    """What a preset holds, in words.

    Raises:
      ValueError: it cannot be loaded.
    """
    if is_preset_folder(preset):
        folder = pathlib.Path(preset)
        parts = [file for file in ("config.json", "task.json", "preprocessor.json") if (folder / file).is_file()]
        classes = [json.loads((folder / file).read_text()).get("class_name", "?") for file in parts]
        return f"preset folder of KerasHub with {', '.join(classes)}"
    model = load_preset(preset)
    numbers = sum(int(np.prod(variable.shape)) for variable in model.weights)
    return f"KerasHub's {type(model).__name__}, {len(model.weights)} variables, {numbers:,} values"
