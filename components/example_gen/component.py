"""ExampleGen for object detection: annotation files in, records and findings out."""

from __future__ import annotations

from typing import Any, ClassVar

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import Channel, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import Findings
from components.code_digest import CODE_DIGEST, code_digest
from components.example_gen.driver import Driver
from components.example_gen.executor import Executor
from components.example_gen.keys import EXAMPLES, FINDINGS, SETTINGS
from components.example_gen.settings import DataSettings


class ObjectDetectionExampleGenSpec(ComponentSpec):
    """Parameters and outputs; ``settings`` is ``DataSettings`` as JSON."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        SETTINGS: ExecutionParameter(type=str),
        CODE_DIGEST: ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {}
    OUTPUTS: ClassVar[dict[str, Any]] = {
        EXAMPLES: ChannelParameter(type=standard_artifacts.Examples),
        FINDINGS: ChannelParameter(type=Findings),
    }


class ObjectDetectionExampleGen(base_beam_component.BaseBeamComponent):
    """Reads annotated images in any of the formats of ``DataSettings`` into TFRecord files of ``tf.Example``.

    Outputs:
      examples: ``standard_artifacts.Examples``, one gzip TFRecord folder a split (train, eval and perhaps test).
      findings: ``components.artifacts.Findings``.

    The driver picks the span and takes a fingerprint of the data folder: unchanged data is not read again.
    """

    SPEC_CLASS = ObjectDetectionExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(self, settings: DataSettings) -> None:
        spec = ObjectDetectionExampleGenSpec(
            **{
                SETTINGS: settings.model_dump_json(),
                CODE_DIGEST: code_digest(__name__),
                EXAMPLES: Channel(type=standard_artifacts.Examples),
                FINDINGS: Channel(type=Findings),
            }
        )
        super().__init__(spec=spec)
