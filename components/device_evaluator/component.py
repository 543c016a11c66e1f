"""DeviceEvaluator: every device model beside the SavedModel that it was made of, on the same images."""

from __future__ import annotations

from typing import Any, ClassVar

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, Channel, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.code_digest import CODE_DIGEST, code_digest
from components.device_evaluator.executor import Executor
from components.device_evaluator.keys import (
    DEVICE_EVALUATION,
    DEVICE_MODELS,
    EVAL_SETTINGS,
    EVALUATION,
    EXAMPLES,
    SETTINGS,
)
from components.device_evaluator.settings import DeviceGateSettings
from components.evaluator.settings import EvalSettings


class DeviceEvaluatorSpec(ComponentSpec):
    """Inputs, parameters and output; both parameters are settings as JSON."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        EVAL_SETTINGS: ExecutionParameter(type=str),
        SETTINGS: ExecutionParameter(type=str),
        CODE_DIGEST: ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {
        EXAMPLES: ChannelParameter(type=standard_artifacts.Examples),
        EVALUATION: ChannelParameter(type=standard_artifacts.ModelEvaluation),
        DEVICE_MODELS: ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {DEVICE_EVALUATION: ChannelParameter(type=standard_artifacts.ModelEvaluation)}


class DeviceEvaluator(base_component.BaseComponent):
    """Measures with the runtime of the format, judges by how far a format falls below the SavedModel.

    Output:
      device_evaluation: ``standard_artifacts.ModelEvaluation``: a folder for each format that answered, named after it,
        with an evaluation and matches as the Evaluator's (the SavedModel is the baseline in them), and
        ``schema.device_model.CARD_FILE``; and ``FAILURES_FILE`` with the formats that did not answer.
    """

    SPEC_CLASS = DeviceEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        evaluation: BaseChannel,
        device_models: BaseChannel,
        eval_settings: EvalSettings,
        settings: DeviceGateSettings,
    ) -> None:
        """Connects the component.

        Args:
          examples: the records.
          evaluation: the Evaluator's, with what the SavedModel found in them.
          device_models: the Exporter's.
          eval_settings: those that the SavedModel was judged by.
          settings: how much a device model may lose.
        """
        super().__init__(
            spec=DeviceEvaluatorSpec(
                **{
                    EXAMPLES: examples,
                    EVALUATION: evaluation,
                    DEVICE_MODELS: device_models,
                    EVAL_SETTINGS: eval_settings.model_dump_json(),
                    SETTINGS: settings.model_dump_json(),
                    CODE_DIGEST: code_digest(__name__),
                    DEVICE_EVALUATION: Channel(type=standard_artifacts.ModelEvaluation),
                }
            )
        )
