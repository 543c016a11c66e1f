"""Exporter: the blessed model as models for devices, a format each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, Channel, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.code_digest import CODE_DIGEST, code_digest
from components.exporter.executor import Executor
from components.exporter.keys import DEVICE_MODELS, EXAMPLES, FORMATS, MODEL, MODEL_BLESSING, SETTINGS
from components.exporter.settings import CalibrationSettings, DeviceFormatName


class ExporterSpec(ComponentSpec):
    """Inputs, parameters and output; ``settings`` is ``CalibrationSettings`` as JSON."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        FORMATS: ExecutionParameter(type=str),
        SETTINGS: ExecutionParameter(type=str),
        CODE_DIGEST: ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {
        EXAMPLES: ChannelParameter(type=standard_artifacts.Examples),
        MODEL: ChannelParameter(type=standard_artifacts.Model),
        MODEL_BLESSING: ChannelParameter(type=standard_artifacts.ModelBlessing),
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {DEVICE_MODELS: ChannelParameter(type=standard_artifacts.Model)}


class Exporter(base_component.BaseComponent):
    """Makes device models of what the Trainer exported.

    Output:
      device_models: ``standard_artifacts.Model``: a folder for each format that could be made, named after it, with the
        files that ``schema.device_model.DEVICE_FORMATS`` says; and ``FAILURES_FILE`` with the others. Empty when the
        model is not blessed.
    """

    SPEC_CLASS = ExporterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        model: BaseChannel,
        model_blessing: BaseChannel,
        formats: Sequence[DeviceFormatName],
        settings: CalibrationSettings,
    ) -> None:
        """Connects the component.

        Args:
          examples: records, of which formats in 8-bit integers are calibrated on some.
          model: what the Trainer exported.
          model_blessing: the Evaluator's; of a model that is not blessed nothing is made.
          formats: those to make.
          settings: of calibration.
        """
        super().__init__(
            spec=ExporterSpec(
                **{
                    EXAMPLES: examples,
                    MODEL: model,
                    MODEL_BLESSING: model_blessing,
                    FORMATS: json.dumps(formats),
                    SETTINGS: settings.model_dump_json(),
                    CODE_DIGEST: code_digest(__name__),
                    DEVICE_MODELS: Channel(type=standard_artifacts.Model),
                }
            )
        )
