"""From a detector's name to the detector."""

from __future__ import annotations

import importlib
from typing import Any

from components.detector.detector import Detector
from components.detector.names import EFFICIENTDET, FASTER_RCNN, check_detector_name

_MODULES = {
    "ssd_mobilenet_v2": "components.detector.ssd_mobilenet_v2",
    "ssd_mobilenet_v2_fpnlite": "components.detector.ssd_mobilenet_v2_fpnlite",
    **dict.fromkeys(EFFICIENTDET, "components.detector.efficientdet"),
    **dict.fromkeys(FASTER_RCNN, "components.detector.faster_rcnn"),
}
"""Module of each detector; it has ``build(name, *, num_classes, image_size, **options) -> Detector``."""


def build_detector(
    name: str, *, num_classes: int, image_size: tuple[int, int] | None = None, **options: Any
) -> Detector:
    """Makes a detector with freshly initialised, already built variables.

    Args:
      name: one of ``names.DETECTORS``.
      num_classes: classes to detect, background not counted.
      image_size: (height, width) in pixels of the canvas; None is the size the architecture was published with.
      **options: what the architecture takes further, e.g. ``batch_norm_momentum``, ``score_threshold``,
        ``iou_threshold`` and ``max_detections`` (every detector), ``alpha`` (the SSDs).

    Raises:
      ValueError: unknown name or option, a class count below 1, or an image size that the architecture refuses.
    """
    check_detector_name(name)
    if num_classes < 1:
        raise ValueError(f"{name}: num_classes must be at least 1, found {num_classes}")
    module = importlib.import_module(_MODULES[name])
    # Lists come from JSON.
    size = None if image_size is None else (int(image_size[0]), int(image_size[1]))
    detector: Detector = module.build(name, num_classes=num_classes, image_size=size, **options)
    detector.recipe = {"name": name, "num_classes": num_classes, "image_size": list(detector.image_size), **options}
    return detector
