"""Thresholds of the answers are those of the file beside the model, or there are neither."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from schema import exported_model as names
from schema.contract_report import Check
from schema.operating_points import OperatingPoints
from serving.contract.loaders import Array, Loader
from serving.contract.probe_images import Files, pixels_of
from serving.contract.problems import Problems

_PADDING = 1.0
"""Above every score: what is padded is not believed."""


def check_thresholds(loaders: Sequence[Loader], images: Files, model: pathlib.Path) -> Check:
    """Does every row of every signature have the threshold that its class has in `OPERATING_POINTS_FILE`.

    Args:
      loaders: all of them.
      images: encoded.
      model: folder of the version.
    """
    expected = "the threshold of each row's class, and 1 in padded rows"
    advice = "export the model again with components.export of this version, and copy the whole folder"
    problems, rows = Problems(), 0
    try:
        thresholds = _thresholds(model)
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        found = f"{names.OPERATING_POINTS_FILE} cannot be read: {type(error).__name__}: {error}"
        return Check("thresholds", False, found, expected, advice)
    inputs: dict[str, Mapping[str, Array]] = {
        names.SERVING_SIGNATURE: {names.IMAGE_BYTES: images},
        names.TOLERANT_SIGNATURE: {names.IMAGE_BYTES: images},
        names.TENSOR_SIGNATURE: {names.IMAGES: pixels_of(images[0])[np.newaxis]},
    }
    for loader in loaders:
        for signature in (name for name in inputs if name in loader.signature_defs):
            with problems.of(loader, signature):
                if (names.THRESHOLDS in loader.signature_defs[signature].outputs) != bool(thresholds):
                    there, missing = names.THRESHOLDS, names.OPERATING_POINTS_FILE
                    if thresholds:
                        there, missing = missing, there
                    problems.note(f"{there}, but no {missing}")
                elif thresholds:
                    outputs = loader.run(signature, inputs[signature])
                    problems.note(_wrong_threshold(outputs, thresholds))
                    rows += int(np.sum(np.asarray(outputs[names.COUNTS], np.int64)))
    none = "none; clients believe what scores 0.5, whatever its class"
    some = f"{rows} detections have those of {len(thresholds)} classes"
    return Check("thresholds", not problems, str(problems) or (some if thresholds else none), expected, advice)


def _thresholds(model: pathlib.Path) -> dict[int, float]:
    """By class id; empty without a file."""
    file = model / names.OPERATING_POINTS_FILE
    return OperatingPoints.of_json(file.read_text(encoding="utf-8")).threshold_by_id if file.exists() else {}


def _wrong_threshold(outputs: Mapping[str, Array], thresholds: Mapping[int, float]) -> str:
    """The first row that has another threshold than it should; empty when there is none."""
    found = np.asarray(outputs[names.THRESHOLDS], np.float32)  # [B, N]
    classes, counts = np.asarray(outputs[names.CLASSES], np.int64), np.asarray(outputs[names.COUNTS], np.int64)
    is_real = np.arange(found.shape[1]) < counts[:, np.newaxis]  # [B, N]
    by_class = np.array([[thresholds.get(class_id, np.nan) for class_id in row] for row in classes.tolist()])
    wanted = np.where(is_real, by_class.reshape(found.shape), _PADDING).astype(np.float32)
    wrong = np.argwhere(found != wanted)
    if not len(wrong):
        return ""
    image, row = map(int, wrong[0])
    what = f"class {classes[image, row]}" if is_real[image, row] else "padding"
    instead = "none" if np.isnan(wanted[image, row]) else f"{wanted[image, row]:g}"
    return f"image {image}, row {row}: {what} has the threshold {found[image, row]:g} instead of {instead}"
