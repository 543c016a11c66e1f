"""ServingContract: can servers and clients use the model that is to be pushed."""

from __future__ import annotations

from typing import Any, ClassVar

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, Channel, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.code_digest import CODE_DIGEST, code_digest
from components.serving_contract.executor import Executor
from components.serving_contract.keys import EXAMPLES, INFRA_BLESSING, MODEL, MODEL_BLESSING, SETTINGS
from components.serving_contract.settings import ContractSettings


class ServingContractSpec(ComponentSpec):
    """Inputs, parameters and output; ``settings`` is ``ContractSettings`` as JSON."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        SETTINGS: ExecutionParameter(type=str),
        CODE_DIGEST: ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {
        EXAMPLES: ChannelParameter(type=standard_artifacts.Examples),
        MODEL: ChannelParameter(type=standard_artifacts.Model),
        MODEL_BLESSING: ChannelParameter(type=standard_artifacts.ModelBlessing),
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {INFRA_BLESSING: ChannelParameter(type=standard_artifacts.InfraBlessing)}


class ServingContract(base_component.BaseComponent):
    """Stands where TFX has its InfraValidator, which needs a container engine for what a process does here.

    Output:
      infra_blessing: ``standard_artifacts.InfraBlessing``; with it the Pusher pushes a model or leaves it, and later
        runs take the model for their baseline or pass it over. Its folder holds
        ``schema.contract_report.CONTRACT_FILE``, unless the model was not blessed: then nothing is checked.
    """

    SPEC_CLASS = ServingContractSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self, examples: BaseChannel, model: BaseChannel, model_blessing: BaseChannel, settings: ContractSettings
    ) -> None:
        """Connects the component.

        Args:
          examples: records with images of the kind that the model finds something in.
          model: the candidate.
          model_blessing: the Evaluator's; a model that is not blessed is not looked at.
          settings: with which images.
        """
        super().__init__(
            spec=ServingContractSpec(
                **{
                    EXAMPLES: examples,
                    MODEL: model,
                    MODEL_BLESSING: model_blessing,
                    SETTINGS: settings.model_dump_json(),
                    CODE_DIGEST: code_digest(__name__),
                    INFRA_BLESSING: Channel(type=standard_artifacts.InfraBlessing),
                }
            )
        )
