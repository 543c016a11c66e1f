"""Executor of the Exporter: builds the detector of the export again, and writes it in every format."""

from __future__ import annotations

import contextlib
import io
import json
import posixpath
from typing import Any, Final

from absl import logging
from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.export.calibration import calibration_images
from components.export.device_formats import unsupported
from components.export.device_model import metadata_of, write_device_model
from components.export.device_network import CanvasImage
from components.exporter.exported_detector import ExportedDetector, read_exported_detector
from components.exporter.failures_file import write_failures
from components.exporter.keys import DEVICE_MODELS, EXAMPLES, FORMATS, MODEL, MODEL_BLESSING, SETTINGS
from components.exporter.settings import CalibrationSettings, DeviceFormatName
from components.record_reading import record_files
from components.user_error import failure_reason
from schema.device_model import DEVICE_FORMATS

_SPLIT: Final = "train"
"""Images to calibrate on come from what the detector has learnt from, never from what it is judged on."""


class Executor(base_executor.BaseExecutor):
    """See ``Exporter``."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See ``ExporterSpec`` for inputs and output. A format that cannot be made is a line in a file and no error.

        Raises:
          CheckpointError: the export cannot be made a detector again.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        if not model_utils.is_model_blessed(artifact_utils.get_single_instance(input_dict[MODEL_BLESSING])):
            return
        formats: list[DeviceFormatName] = json.loads(exec_properties[FORMATS])
        settings = CalibrationSettings.model_validate_json(exec_properties[SETTINGS])
        model = artifact_utils.get_single_instance(input_dict[MODEL])
        output = artifact_utils.get_single_uri(output_dict[DEVICE_MODELS])
        exported = read_exported_detector(path_utils.serving_model_path(model.uri))
        failures: dict[str, str] = {name: reason for name in formats if (reason := _unsupported(name, exported))}
        possible = [name for name in formats if name not in failures]
        if possible:
            metadata = metadata_of(exported.detector, exported.label_map, exported.operating_points)
            images: list[CanvasImage] = []
            if any(DEVICE_FORMATS[name].is_quantized for name in possible):
                images = calibration_images(
                    record_files(artifact_utils.get_split_uri(input_dict[EXAMPLES], _SPLIT)),
                    exported.detector,
                    count=settings.calibration_images,
                    seed=settings.seed,
                )
        for name in possible:
            said = io.StringIO()
            try:
                # Converters talk and draw bars; between the nodes' lines nobody could make anything of it.
                with contextlib.redirect_stdout(said):
                    write_device_model(posixpath.join(output, name), name, exported.detector, metadata, images)
            except Exception as error:  # each converter has kinds of its own; the other formats may be sound
                logging.exception("%s cannot be made", name)
                failures[name] = failure_reason(error)
            logging.info("%s: the converter said:\n%s", name, said.getvalue())
        write_failures(output, failures)


def _unsupported(name: DeviceFormatName, exported: ExportedDetector) -> str:
    """Why there is no such device model of an export; empty where there is."""
    return unsupported(
        name, exported.detector.name, is_tiled=exported.tiling is not None, classifier=exported.classifier
    )
