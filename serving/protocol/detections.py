"""One object found in an image, and the detections that the outputs of a serving signature hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import numpy.typing as npt

from schema import exported_model

PixelBox = tuple[int, int, int, int]

DEFAULT_THRESHOLD: Final = 0.5
"""Where neither the caller nor the model says one."""


@dataclasses.dataclass(frozen=True)
class Detection:
    """One object found.

    Attributes:
      class_id: 1-based id of the model's label map.
      class_name: name of the class.
      score: 0..1.
      box_yxyx_normalized: (ymin, xmin, ymax, xmax), 0..1 of the upright image.
      threshold: score from which on the model says to believe detections of the class; None: it does not say.
    """

    class_id: int
    class_name: str
    score: float
    box_yxyx_normalized: tuple[float, float, float, float]
    threshold: float | None = None

    def box_xyxy_pixels(self, width: int, height: int) -> PixelBox:
        """(xmin, ymin, xmax, ymax) in whole pixels of an upright image of this size."""
        ymin, xmin, ymax, xmax = self.box_yxyx_normalized
        return round(xmin * width), round(ymin * height), round(xmax * width), round(ymax * height)

    def is_believed(self, score_threshold: float | None) -> bool:
        """Whether it scores enough; None: by the model's own threshold of the class, or ``DEFAULT_THRESHOLD``."""
        if score_threshold is None:
            score_threshold = DEFAULT_THRESHOLD if self.threshold is None else self.threshold
        return self.score >= score_threshold


Answer = tuple[list[tuple[Detection, ...]], int]
"""Detections by image, best score first, and the version of the model that answered (0: it is not known)."""


def detections_of_image(outputs: Mapping[str, npt.NDArray[Any]], image: int) -> tuple[Detection, ...]:
    """What the outputs hold for one image of the batch, in their order; padded rows are left out.

    Args:
      outputs: `exported_model.OUTPUTS` by name, each [B, ...], and `THRESHOLDS` where there are any.
      image: index in the batch.

    Raises:
      KeyError: an output is missing.
    """
    count = int(outputs[exported_model.COUNTS][image])
    thresholds = outputs[exported_model.THRESHOLDS][image] if exported_model.THRESHOLDS in outputs else None
    rows = zip(
        outputs[exported_model.CLASSES][image][:count].tolist(),
        outputs[exported_model.CLASS_NAMES][image][:count],
        outputs[exported_model.SCORES][image][:count].tolist(),
        outputs[exported_model.BOXES][image][:count].tolist(),
        [None] * count if thresholds is None else thresholds[:count].tolist(),
        strict=True,
    )
    return tuple(
        Detection(class_id, name.decode("utf-8", "replace"), score, tuple(box), threshold)
        for class_id, name, score, box, threshold in rows
    )
