"""The trained detector as a file for a runtime without TensorFlow: see ``schema.device_model``."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Sequence

import tensorflow as tf

from components.atomic_files import write_folder_atomically
from components.detector.detector import Detector, FinishedDetector
from components.export.device_formats import unsupported, writer_of
from components.export.device_network import CanvasImage, DeviceNetwork
from schema.device_model import DEVICE_FORMATS, DeviceMetadata
from schema.label_map import LabelMap
from schema.operating_points import OperatingPoints


def metadata_of(
    detector: Detector, label_map: LabelMap, operating_points: OperatingPoints | None = None
) -> DeviceMetadata:
    """All that an application has to know of a detector.

    Args:
      detector: trained.
      label_map: names of the classes.
      operating_points: their score thresholds. None: none were chosen.

    Raises:
      ValueError: the label map has more or fewer classes, or one of them has no operating point.
    """
    names = label_map.name_by_index
    if len(names) != detector.num_classes:
        raise ValueError(f"{detector.name} detects {detector.num_classes} classes, the label map has {len(names)}")
    return DeviceMetadata(
        detector=detector.name,
        class_ids=tuple(range(1, len(names) + 1)),
        # An id without a class is a class without a name.
        class_names=tuple(names),
        thresholds=None if operating_points is None else tuple(operating_points.by_index(label_map)),
        resizing=detector.resizing,
        suppression=detector.suppression,
        takes_valid_share=detector.reads_valid_share,
    )


def write_device_model(
    folder: str,
    format_name: str,
    detector: FinishedDetector,
    metadata: DeviceMetadata,
    calibration: Sequence[CanvasImage] = (),
) -> None:
    """Writes a device model; ``folder`` appears complete or not at all, and holds nothing else.

    Args:
      folder: replaced when it exists.
      format_name: one of ``DEVICE_FORMATS``.
      detector: trained, in whatever precision.
      metadata: of ``metadata_of``.
      calibration: images for a format in 8-bit integers, see ``calibration``; others leave them alone.

    Raises:
      ValueError: there is no such format, it is not to be had of this detector, or there are no calibration images.
      ModuleNotFoundError: a package is missing; it names the extra to install.
    """
    write = writer_of(format_name)
    network = _network(format_name, detector)
    if DEVICE_FORMATS[format_name].is_quantized and not calibration:
        raise ValueError(f"{format_name} needs images to calibrate on, found none")
    with tempfile.TemporaryDirectory() as local:
        write(pathlib.Path(local), network, metadata, calibration)

        def fill(partial: str) -> None:
            for file in (DEVICE_FORMATS[format_name].file, *DEVICE_FORMATS[format_name].beside):
                tf.io.gfile.copy(f"{local}/{file}", f"{partial}/{file}")

        write_folder_atomically(folder, fill)


def _network(format_name: str, detector: FinishedDetector) -> DeviceNetwork:
    reason = unsupported(format_name, detector.recipe["name"], classifier=detector.classifier)
    if reason or not isinstance(detector, Detector):
        raise ValueError(f"{detector.recipe['name']}: {reason or f'{type(detector).__name__} has no scored boxes'}")
    return DeviceNetwork(detector)
