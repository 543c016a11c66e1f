"""Tuner: TFX's, which also leaves what became of every trial."""

from __future__ import annotations

import json
import posixpath
from typing import Any

import tfx.v1 as tfx
from tfx import types
from tfx.components.tuner import executor as tfx_tuner
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils, standard_component_specs

from components.atomic_files import write_atomically
from components.trainer.tuning.trials_file import TRIALS_FILE
from components.user_error import UserError


class NoTrialError(UserError):
    """No trial came to an end; the message has their errors."""


class Executor(tfx_tuner.Executor):
    """Searches; ``tuner_results`` holds ``trials.json`` with the pruned and failed ones, too."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Inputs, outputs and parameters are those of TFX's Tuner.

        Raises:
          NoTrialError: every trial failed.
        """
        tuner = tfx_tuner.search(input_dict, exec_properties, self._get_tmp_dir(), print_tuning_summary=False)
        trials = tuner.trials()
        if not any(trial["metrics"] for trial in trials):
            errors = dict.fromkeys(trial["error"] for trial in trials)
            raise NoTrialError("\n".join([f"tuner: none of {len(trials)} trials came to an end:", *errors]))
        tfx_tuner.write_best_hyperparameters(tuner, output_dict)
        results = artifact_utils.get_single_uri(output_dict[standard_component_specs.TUNER_RESULTS_KEY])
        write_atomically(posixpath.join(results, TRIALS_FILE), json.dumps(trials, indent=1).encode())
        tuner.remove()


class Tuner(tfx.components.Tuner):
    """TFX's Tuner with that executor."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
