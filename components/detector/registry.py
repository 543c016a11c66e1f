"""From a detector's name to the detector."""

from __future__ import annotations

import importlib
from typing import Any, Final

import keras

from components.detector.detector import Detector
from components.detector.names import DFINE, DINOV3, EFFICIENTDET, FASTER_RCNN, RETINANET, check_detector_name

_CLASSES: Final = {
    "ssd_mobilenet_v2": "components.detector.ssd_mobilenet_v2.SsdMobileNetV2",
    "ssd_mobilenet_v2_fpnlite": "components.detector.ssd_mobilenet_v2_fpnlite.SsdMobileNetV2FpnLite",
    **dict.fromkeys(EFFICIENTDET, "components.detector.efficientdet.EfficientDet"),
    **dict.fromkeys(FASTER_RCNN, "components.detector.faster_rcnn.FasterRcnn"),
    **dict.fromkeys(RETINANET, "components.detector.retinanet.RetinaNetResnet"),
    **dict.fromkeys(DINOV3, "components.detector.retinanet_dinov3.RetinaNetDinoV3"),
    **dict.fromkeys(DFINE, "components.detector.dfine.DFine"),
}
"""Dotted path of each detector's class; its options are in ``options.OPTIONS``."""


def build_detector(
    name: str, *, num_classes: int, image_size: tuple[int, int] | None = None, **options: Any
) -> Detector:
    """Makes a detector with freshly initialised, already built variables.

    Args:
      name: one of ``names.DETECTORS``.
      num_classes: classes to detect, background not counted.
      image_size: (height, width) in pixels of the canvas; None is the size the architecture was published with.
      **options: fields of the detector's class in ``options.OPTIONS``.

    Raises:
      ValueError: unknown name or option, a class count below 1, or an image size that the architecture refuses.
    """
    recipe = {"name": name, "num_classes": num_classes, "image_size": image_size, **options}
    return detector_class(name).from_config(recipe)


def detector_class(name: str) -> type[Detector]:
    """The class of a detector.

    Raises:
      ValueError: unknown name.
    """
    check_detector_name(name)
    module, _, class_name = _CLASSES[name].rpartition(".")
    architecture: type[Detector] = getattr(importlib.import_module(module), class_name)
    return architecture


def as_float32(detector: Detector) -> Detector:
    """The same detector without mixed precision, which CPUs compute in more slowly, and each in its own way."""
    if detector.compute_dtype == "float32":
        return detector
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("float32")
    try:
        computes_in_float32 = build_detector(**detector.recipe)
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    computes_in_float32.set_weights(detector.get_weights())
    return computes_in_float32
