"""Executor of the Evaluator: TFX's, on the split that the records have."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.evaluator import executor as tfx_evaluator
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import json_utils, proto_utils

from components.data_profile import DataProfile
from components.evaluator.eval_config import EXTRACTORS_MODULE, build_eval_config
from components.evaluator.keys import SETTINGS, SPLIT_PROPERTY
from components.evaluator.settings import EvalSettings, Split
from components.user_error import UserError


def judged_split(wanted: Split | None, profile: DataProfile) -> Split:
    """The split a model is judged on: the wanted one, or ``test`` where it has objects to find, else ``eval``.

    The test images of many public data sets come without annotations: nothing can be judged on them.

    Raises:
      UserError: the records have no such split.
    """
    there = profile.splits
    chosen: Split = wanted or ("test" if "test" in there and there["test"].objects else "eval")
    if chosen not in there:
        raise UserError(f"eval.split is {chosen!r}, but the records have the splits {', '.join(there)}; name one")
    return chosen


class Executor(tfx_evaluator.Executor):
    """Measures and judges; the artifact ``evaluation`` says on which split."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Inputs and outputs are those of TFX's Evaluator; the parameter ``settings`` is ``EvalSettings`` as JSON.

        Raises:
          UserError: the records do not have the split to judge on.
        """
        settings = EvalSettings.model_validate_json(exec_properties[SETTINGS])
        examples = artifact_utils.get_single_instance(input_dict[standard_component_specs.EXAMPLES_KEY])
        split = judged_split(settings.split, DataProfile.read(examples.uri))
        evaluation = artifact_utils.get_single_instance(output_dict[standard_component_specs.EVALUATION_KEY])
        evaluation.set_string_custom_property(SPLIT_PROPERTY, split)
        super().Do(
            input_dict,
            output_dict,
            {
                **exec_properties,
                standard_component_specs.EVAL_CONFIG_KEY: proto_utils.proto_to_json(build_eval_config(settings)),
                standard_component_specs.EXAMPLE_SPLITS_KEY: json_utils.dumps([split]),
                standard_component_specs.MODULE_PATH_KEY: EXTRACTORS_MODULE,
            },
        )
