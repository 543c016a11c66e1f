"""``tuner_fn`` of the TFX Tuner: the search of the settings, its trials in processes of their own."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, Final

import keras_tuner
from keras_tuner.engine import base_tuner, oracle, trial
from keras_tuner.errors import FailedTrialError
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from components.trainer.comparison.comparison import EVALUATIONS
from components.trainer.comparison.training import Outcome, Training
from components.trainer.comparison.training_process import Evaluations, curve, known_outcome, run_training
from components.trainer.config_overrides import with_overrides
from components.trainer.tuning.median_rule import is_below_median
from components.trainer.tuning.settings import Choices, Range, TunerSettings, as_hyperparameter, overrides_of

TUNER_KEY: Final = "tuner"
"""Of the Tuner's config: the settings as JSON, beside what the Trainer is told."""
OBJECTIVE: Final = "AP"
_PRUNED: Final = "below the median of finished trials at step"


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """A tuner that has taken up the trials of an attempt that was killed."""
    config = dict(fn_args.custom_config)
    patterns = tuple(fn_args.eval_files)
    search = Training(
        config, tuple(fn_args.train_files), patterns, patterns, fn_args.transform_graph_path, fn_args.base_model
    )
    folder = pathlib.Path(config["checkpoint_root"]) / f"tuner-{search.identity}"
    settings = TunerSettings.model_validate_json(config.pop(TUNER_KEY))
    return TunerFnResult(SearchTuner(settings, search.with_config(config), folder), {})


def search_space(search: Mapping[str, Range | Choices]) -> keras_tuner.HyperParameters:
    """The ranges as Keras Tuner takes them; hyper-parameters are called by the dotted keys."""
    space = keras_tuner.HyperParameters()
    for key, values in search.items():
        if isinstance(values, Choices):
            # Numbers are in order, but Keras Tuner takes no whole ones among others.
            options = [as_hyperparameter(value) for value in values.choices]
            if len({type(option) for option in options}) > 1:
                options = [json.dumps(value) for value in values.choices]
            space.Choice(key, options)
        elif values.is_whole:
            space.Int(key, int(values.min), int(values.max), sampling=values.scale)
        else:
            space.Float(key, float(values.min), float(values.max), sampling=values.scale)
    return space


class SearchTuner(base_tuner.BaseTuner):
    """Trials one after the other, until there are enough or time is up.

    Args:
      settings: of the search.
      training: that trials change; judged on the images that choose its best weights.
      folder: of the search's state and the trials' results; the next attempt goes on with them.
    """

    def __init__(self, settings: TunerSettings, training: Training, folder: pathlib.Path) -> None:
        self._settings = settings
        self._training = training
        self._folder = folder
        self._steps = settings.trial_steps(training.steps)
        super().__init__(oracle=_oracle(settings), directory=str(folder), project_name="search")
        self.oracle.verbose = 0

    def pre_create_trial(self) -> None:
        """Begins no further one when time is up."""
        budget = self._settings.budget_minutes
        if budget is not None and sum(outcome.process_seconds for outcome in self._outcomes()) > 60 * budget:
            self.oracle.max_trials = len(self.oracle.trials)

    def run_trial(self, trial: trial.Trial) -> float:
        """AP of a short training with the trial's values.

        Raises:
          FailedTrialError: it failed.
        """
        finished = [outcome.evaluations for outcome in self._outcomes() if not outcome.error]
        fewest = self._settings.prune_after

        def stop_at(evaluations: Evaluations) -> str | None:
            reached = curve(evaluations)
            if fewest is None or not is_below_median(reached, finished, fewest):
                return None
            return f"{_PRUNED} {reached[-1][0]}"

        outcome = run_training(self._trained(trial), self._trainings, stop_at=stop_at)
        number, values = len(self.oracle.end_order) + 1, ", ".join(_said(trial.hyperparameters.values))
        reached = f"{OBJECTIVE} {outcome.metrics[OBJECTIVE]:.3f}" if OBJECTIVE in outcome.metrics else "failed"
        print(f"[{number}/{self.oracle.max_trials}] {values}: {reached} {outcome.error}".rstrip(), flush=True)
        if OBJECTIVE not in outcome.metrics:
            raise FailedTrialError(outcome.error)
        return outcome.metrics[OBJECTIVE]

    def trials(self) -> list[dict[str, Any]]:
        """Every trial with its values and outcome, best first; what failed is last."""
        rows = []
        for one in self.oracle.trials.values():
            outcome = known_outcome(self._trained(one), self._trainings) or Outcome(error=_last_line(one.message))
            rows.append({"trial": one.trial_id, "values": _overrides(one), **outcome.fields()})
        return sorted(rows, key=lambda row: -(row["metrics"].get(OBJECTIVE) or -1.0))

    def remove(self) -> None:
        """Deletes state and results: the search is over."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _trainings(self) -> pathlib.Path:
        return self._folder / "trainings"

    def _trained(self, one: trial.Trial) -> Training:
        steps = {"train.steps": self._steps, "train.evaluate_every": -(-self._steps // EVALUATIONS)}
        config = with_overrides(self._training.config, {**_overrides(one), **steps})
        return dataclasses.replace(self._training, config=config)

    def _outcomes(self) -> Sequence[Outcome]:
        known = (known_outcome(self._trained(one), self._trainings) for one in self.oracle.trials.values())
        return [outcome for outcome in known if outcome is not None]


def _oracle(settings: TunerSettings) -> oracle.Oracle:
    kinds = {
        "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
        "random": keras_tuner.oracles.RandomSearchOracle,
    }
    return kinds[settings.algorithm](
        objective=keras_tuner.Objective(OBJECTIVE, "max"),
        max_trials=settings.trials,
        hyperparameters=search_space(settings.search),
        tune_new_entries=False,
        seed=settings.seed,
        # A range may have an end that does not train; the trials on the page say so.
        max_consecutive_failed_trials=settings.trials + 1,
    )


def _overrides(one: trial.Trial) -> dict[str, Any]:
    return overrides_of(one.hyperparameters.values)


def _said(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()]


def _last_line(message: str | None) -> str:
    return (message or "not finished").strip().splitlines()[-1]
