"""AnnotationValidator: what TFDV cannot say about boxes, classes and copies of images."""

from __future__ import annotations

from typing import Any, ClassVar

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import BaseChannel, Channel, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import AnnotationReport
from components.code_digest import CODE_DIGEST, code_digest
from components.validation.executor import Executor
from components.validation.keys import BASELINE_STATISTICS, EXAMPLES, REPORT, SCHEMA, SETTINGS, STATISTICS
from components.validation.settings import ValidationSettings


class AnnotationValidatorSpec(ComponentSpec):
    """Inputs, parameters and output; ``settings`` is ``ValidationSettings`` as JSON."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        SETTINGS: ExecutionParameter(type=str),
        CODE_DIGEST: ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {
        EXAMPLES: ChannelParameter(type=standard_artifacts.Examples),
        STATISTICS: ChannelParameter(type=standard_artifacts.ExampleStatistics),
        SCHEMA: ChannelParameter(type=standard_artifacts.Schema),
        BASELINE_STATISTICS: ChannelParameter(type=standard_artifacts.ExampleStatistics, optional=True),
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {REPORT: ChannelParameter(type=AnnotationReport)}


class AnnotationValidator(base_beam_component.BaseBeamComponent):
    """Checks boxes, classes, copies of images, skew and drift.

    Output:
      report: ``components.artifacts.AnnotationReport``, see ``components.validation.report_file``.

    The run stops when a check of level ``fail`` objects, after the report has been written.
    """

    SPEC_CLASS = AnnotationValidatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        statistics: BaseChannel,
        schema: BaseChannel,
        settings: ValidationSettings,
        baseline_statistics: BaseChannel | None = None,
    ) -> None:
        """Connects the component.

        Args:
          examples: the records.
          statistics: StatisticsGen's, of the same records.
          schema: the curated schema, whose comparators say how far distributions may be apart.
          settings: levels and limits of the checks.
          baseline_statistics: statistics of an earlier run; drift is measured when the channel holds an artifact.
        """
        inputs = {EXAMPLES: examples, STATISTICS: statistics, SCHEMA: schema}
        if baseline_statistics is not None:
            inputs[BASELINE_STATISTICS] = baseline_statistics
        super().__init__(
            spec=AnnotationValidatorSpec(
                **inputs,
                **{
                    SETTINGS: settings.model_dump_json(),
                    CODE_DIGEST: code_digest(__name__),
                    REPORT: Channel(type=AnnotationReport),
                },
            )
        )
