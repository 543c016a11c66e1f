"""DevicePusher: blessed device models to where applications take them from."""

from __future__ import annotations

from typing import Any, ClassVar

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, Channel, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import PushedDeviceModels
from components.code_digest import CODE_DIGEST, code_digest
from components.device_pusher.executor import Executor
from components.device_pusher.keys import DEVICE_EVALUATION, DEVICE_MODELS, DIRECTORY, PUSHED_DEVICES, PUSHED_MODEL


class DevicePusherSpec(ComponentSpec):
    """Inputs, parameters and output."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        DIRECTORY: ExecutionParameter(type=str),
        CODE_DIGEST: ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {
        DEVICE_MODELS: ChannelParameter(type=standard_artifacts.Model),
        DEVICE_EVALUATION: ChannelParameter(type=standard_artifacts.ModelEvaluation),
        PUSHED_MODEL: ChannelParameter(type=standard_artifacts.PushedModel),
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {PUSHED_DEVICES: ChannelParameter(type=PushedDeviceModels)}


class DevicePusher(base_component.BaseComponent):
    """Copies what the DeviceEvaluator blessed to ``<directory>/<format>/<version>/``, card and all.

    The version is that of the SavedModel, so that both are found by one number. Where the SavedModel was not pushed,
    because the gate or the serving contract refused it, no device model is.

    Output:
      pushed_devices: ``PushedDeviceModels``.
    """

    SPEC_CLASS = DevicePusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self, device_models: BaseChannel, device_evaluation: BaseChannel, pushed_model: BaseChannel, directory: str
    ) -> None:
        """Connects the component.

        Args:
          device_models: the Exporter's.
          device_evaluation: the DeviceEvaluator's.
          pushed_model: the Pusher's.
          directory: receives a folder a format, and in it the versions.
        """
        super().__init__(
            spec=DevicePusherSpec(
                **{
                    DEVICE_MODELS: device_models,
                    DEVICE_EVALUATION: device_evaluation,
                    PUSHED_MODEL: pushed_model,
                    DIRECTORY: directory,
                    CODE_DIGEST: code_digest(__name__),
                    PUSHED_DEVICES: Channel(type=PushedDeviceModels),
                }
            )
        )
