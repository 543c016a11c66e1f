"""Builds the detector of an export again and writes it in formats: the program that the Exporter's executor runs."""

from __future__ import annotations

import functools
import posixpath

from components.export.calibration import calibration_images
from components.export.device_model import metadata_of, write_device_model
from components.export.device_network import CanvasImage
from components.exporter.exported_detector import built_detector, read_export
from components.exporter.format_process import Deed, Request, do_each
from components.exporter.settings import CalibrationSettings
from components.record_reading import record_files
from schema.device_model import DEVICE_FORMATS


def conversion(request: Request) -> Deed:
    """What writes a format.

    Args:
      request: ``model``, folder of the SavedModel; ``records``, folder of the records to calibrate on; ``settings``,
        those of ``CalibrationSettings``; ``output``, in which each format gets a folder of its name.

    Raises:
      CheckpointError: the export cannot be made a detector again.
    """
    export = read_export(request["model"])
    detector = built_detector(request["model"], export)
    metadata = metadata_of(detector, export.label_map, export.operating_points)
    settings = CalibrationSettings.model_validate(request["settings"])

    @functools.cache
    def images() -> list[CanvasImage]:
        return calibration_images(
            record_files(request["records"]), detector, count=settings.calibration_images, seed=settings.seed
        )

    def convert(name: str) -> None:
        calibration = images() if DEVICE_FORMATS[name].is_quantized else ()
        write_device_model(posixpath.join(request["output"], name), name, detector, metadata, calibration)

    return convert


if __name__ == "__main__":
    do_each(conversion)
