"""``transfer.strategy: auto``: the ladder within a budget, and the winner in its place."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping
from typing import Final

import pydantic

from components.trainer.comparison.comparison import Comparison, Row, TrainingSet, duration, steps_within
from components.trainer.comparison.summary import Summary
from components.trainer.comparison.training import Outcome, Training
from components.trainer.config_overrides import with_overrides
from components.trainer.strategies.settings.auto import AutoSettings
from components.trainer.strategies.settings.ladder import Rung, rungs
from components.trainer.strategies.settings.strategy import StrategySettings
from components.trainer.strategies.settings.transfer import TransferSettings
from components.trainer.training_profile import training_profile
from components.user_error import UserError

CHOICE_FILE: Final = "transfer_choice.json"
"""In the model run's folder: the ``Summary`` of what was tried."""


class NothingChosenError(UserError):
    """No way of transfer could be tried."""


def asked_to_choose(config: Mapping[str, str]) -> AutoSettings | None:
    """The settings of ``auto``; None where the config names a strategy."""
    transfer: StrategySettings = pydantic.TypeAdapter(TransferSettings).validate_json(config["transfer"])
    return transfer if isinstance(transfer, AutoSettings) else None


def choose_strategy(settings: AutoSettings, training: Training, folder: pathlib.Path) -> tuple[dict[str, str], Summary]:
    """Tries the ladder within the budget.

    Args:
      settings: of ``auto``.
      training: the one to come; it is judged on the images that choose its best weights.
      folder: of the results; a later call finds those that there are.

    Returns:
      The config with the winner's settings, and what was tried.

    Raises:
      NothingChosenError: every training failed, or there was no time for one.
    """
    images = training_profile(training.train_files).images
    seeds = [TrainingSet(images, seed, training.train_files) for seed in range(settings.seeds)]
    comparison = Comparison(training, seeds, rungs(settings.ladder), folder, say=lambda line: print(line, flush=True))
    rows = tuple(_tried(comparison, settings.budget_minutes * 60))
    terms = f"All ways were given the same part of {duration(settings.budget_minutes * 60)}."
    summary = Summary(rows, comparison.skipped(), "eval", terms)
    if summary.choice is None:
        raise NothingChosenError("\n".join(["transfer.strategy auto: nothing could be tried.", *summary.remarks()]))
    print(f"transfer: {summary.choice.name}. {summary.choice.reason}", flush=True)
    (winner,) = rungs([summary.choice.name])
    return with_overrides(training.config, winner.overrides(training.config)), summary


def _tried(comparison: Comparison, budget_seconds: float) -> Iterator[Row]:
    """Every rung that fits, with the same part of the time that is left when it begins."""
    skipped = comparison.skipped()
    fitting = [rung for rung in comparison.rungs if rung.name not in skipped]
    left = budget_seconds
    for number, rung in enumerate(fitting):
        probe, *outcomes = _within(comparison, rung, left / (len(fitting) - number))
        # What was spent is in the results: steps come out the same for the next attempt of a training that was killed.
        left -= sum(outcome.process_seconds for outcome in (probe, *outcomes))
        for seed, outcome in enumerate(outcomes):
            comparison.say(f"{rung.name}, seed {seed}: {outcome.said}; {duration(max(left, 0.0))} of the budget left")
            yield Row(rung.name, comparison.training_sets[0].images, seed, outcome)


def _within(comparison: Comparison, rung: Rung, share_seconds: float) -> list[Outcome]:
    """A short training of a rung, which tells what steps cost, and those that it has time for then, at least one."""
    probe = comparison.probe(rung, limit_seconds=share_seconds)
    if probe.error:
        return [probe, Outcome(error=probe.error)]
    sets = comparison.training_sets
    starting = max(0.0, probe.process_seconds - probe.seconds)
    seconds = (share_seconds - probe.process_seconds) / len(sets) - starting
    if seconds < probe.seconds:
        error = f"{duration(share_seconds)} of the budget are too few for it; raise transfer.budget_minutes"
        return [probe, Outcome(error=error)]
    steps = min(steps_within(seconds, probe, comparison.batch_size(rung)), comparison.base.steps)
    # Half as long again is no misjudgement of what a step costs.
    limit = 1.5 * (seconds + starting)
    return [probe, *(comparison.train(rung, part, steps, limit_seconds=limit) for part in sets)]
