"""Executor of the Exporter: has the blessed export written in every format."""

from __future__ import annotations

import json
from typing import Any, Final

from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.export.device_formats import unsupported
from components.exporter.exported_detector import Export, read_export
from components.exporter.failures_file import write_failures
from components.exporter.format_process import done_in_processes
from components.exporter.keys import DEVICE_MODELS, EXAMPLES, FORMATS, MODEL, MODEL_BLESSING, SETTINGS
from components.exporter.settings import CalibrationSettings, DeviceFormatName

PROGRAM: Final = "components.exporter.conversion"
"""What writes them, in a process beside the node's."""
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
          CheckpointError: the export does not say what it is.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        if not model_utils.is_model_blessed(artifact_utils.get_single_instance(input_dict[MODEL_BLESSING])):
            return
        formats: list[DeviceFormatName] = json.loads(exec_properties[FORMATS])
        settings = CalibrationSettings.model_validate_json(exec_properties[SETTINGS])
        model = path_utils.serving_model_path(artifact_utils.get_single_instance(input_dict[MODEL]).uri)
        output = artifact_utils.get_single_uri(output_dict[DEVICE_MODELS])
        export = read_export(model)
        failures: dict[str, str] = {name: reason for name in formats if (reason := _unsupported(name, export))}
        failures |= done_in_processes(
            PROGRAM,
            [name for name in formats if name not in failures],
            {
                "model": model,
                "records": artifact_utils.get_split_uri(input_dict[EXAMPLES], _SPLIT),
                "settings": settings.model_dump(mode="json"),
                "output": output,
            },
            seconds_for_each=settings.timeout_seconds,
            to_raise="push.devices.timeout_seconds",
        )
        write_failures(output, {name: failures[name] for name in formats if name in failures})


def _unsupported(name: DeviceFormatName, export: Export) -> str:
    """Why there is no such device model of an export; empty where there is."""
    return unsupported(name, export.recipe["name"], is_tiled=export.tiling is not None, classifier=export.classifier)
