"""Evaluator: COCO metrics by slice of the candidate and of the last blessed model, and the gate between them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, ClassVar

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import BaseChannel, Channel, standard_artifacts, standard_component_specs
from tfx.types.component_spec import ExecutionParameter

from components.clusters import Clusters
from components.code_digest import CODE_DIGEST, code_digest
from components.evaluator.executor import Executor
from components.evaluator.keys import CLUSTERS, SETTINGS
from components.evaluator.settings import EvalSettings


class EvaluatorSpec(standard_component_specs.EvaluatorSpec):
    """Inputs and outputs of TFX's Evaluator; ``settings`` is ``EvalSettings``, ``clusters`` ``Clusters`` as JSON."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        SETTINGS: ExecutionParameter(type=str),
        CLUSTERS: ExecutionParameter(type=str),
        CODE_DIGEST: ExecutionParameter(type=str),
    }


class Evaluator(base_beam_component.BaseBeamComponent):
    """Inputs and outputs of TFX's Evaluator, configured by ``EvalSettings``; measured by TFMA, judged by ``judge``.

    Outputs:
      evaluation: ``standard_artifacts.ModelEvaluation``, read by ``components.evaluator.evaluation``; its property
        ``split`` is the split that was judged.
      blessing: ``standard_artifacts.ModelBlessing``.
    """

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        model: BaseChannel,
        baseline_model: BaseChannel,
        settings: EvalSettings,
        clusters: Clusters,
    ) -> None:
        """Connects the component.

        Args:
          examples: the records.
          model: the candidate.
          baseline_model: the last blessed model; the channel may hold none.
          settings: split, slices and gates.
          clusters: which images are no independent witnesses.
        """
        super().__init__(
            spec=EvaluatorSpec(
                **{
                    standard_component_specs.EXAMPLES_KEY: examples,
                    standard_component_specs.MODEL_KEY: model,
                    standard_component_specs.BASELINE_MODEL_KEY: baseline_model,
                    standard_component_specs.EVALUATION_KEY: Channel(type=standard_artifacts.ModelEvaluation),
                    standard_component_specs.BLESSING_KEY: Channel(type=standard_artifacts.ModelBlessing),
                    SETTINGS: settings.model_dump_json(),
                    CLUSTERS: json.dumps(dataclasses.asdict(clusters)),
                    CODE_DIGEST: code_digest(__name__),
                }
            )
        )
