"""The trainings of a comparison one after the other: every rung of the ladder, with every size and seed."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import pydantic

from components.trainer.comparison.training import Outcome, Training
from components.trainer.comparison.training_process import run_training
from components.trainer.config_overrides import OverrideError, with_overrides
from components.trainer.settings import TrainConfig
from components.trainer.strategies.settings.ladder import Rung
from components.trainer.strategies.settings.strategy import StrategySettings
from components.trainer.strategies.settings.transfer import TransferSettings

EVALUATIONS: Final = 5
"""Evaluations in each training: from so many the best weights are chosen."""
_PROBE_STEPS: Final = 4 * EVALUATIONS
"""Steps of the short training that tells how long a step takes."""


@dataclasses.dataclass(frozen=True)
class TrainingSet:
    """A part of the records that a training learns from.

    Attributes:
      images: how many.
      seed: decides which, and everything random in the training.
      files: globs of record files.
    """

    images: int
    seed: int
    files: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Row:
    """One training of the comparison.

    Attributes:
      rung: its name.
      images: labelled images that it learnt from.
      seed: its seed.
      outcome: what came of it.
    """

    rung: str
    images: int
    seed: int
    outcome: Outcome


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
      base: a training on all images; its config is what rungs change.
      training_sets: all sizes and seeds.
      rungs: those to try.
      folder: of the results.
      steps: of each training; None for those of the config.
      seconds: of each training, in place of the same number of steps.
      target_files: globs of the record files of the target domain, without annotations; empty where there is none.
      say: shows a line of progress.
    """

    base: Training
    training_sets: Sequence[TrainingSet]
    rungs: Sequence[Rung]
    folder: pathlib.Path
    steps: int | None = None
    seconds: float | None = None
    target_files: tuple[str, ...] = ()
    say: Callable[[str], None] = print

    def skipped(self) -> dict[str, str]:
        """Why a rung does not fit, by name."""
        reasons = {}
        for rung in self.rungs:
            reason = rung.reason_to_skip(self.base.config)
            try:
                if reason is None and self._uses_target(self._config(rung, 0, 1)) and not self.target_files:
                    reason = "it learns from images of a target domain, and there are none"
            except OverrideError as error:
                reason = str(error)
            if reason is not None:
                reasons[rung.name] = reason
        return reasons

    def rows(self) -> Iterator[Row]:
        """Every training, small sets first; those that are known already cost nothing."""
        skipped = self.skipped()
        fitting = [rung for rung in self.rungs if rung.name not in skipped]
        ordered = sorted(self.training_sets, key=lambda one: (one.images, one.seed))
        left = [(part, rung) for part in ordered for rung in fitting]
        took: dict[str, list[float]] = {}
        for number, (part, rung) in enumerate(left, start=1):
            start = time.monotonic()
            outcome = self._outcome(rung, part)
            seconds = time.monotonic() - start
            if seconds > 1.0:  # one that was known says nothing about the others
                took.setdefault(rung.name, []).append(seconds)
            self.say(
                f"[{number:{len(str(len(left)))}}/{len(left)}] {rung.name}, {part.images} images, seed {part.seed}: "
                f"{outcome.said}{_time_left(took, [later.name for _, later in left[number:]])}"
            )
            yield Row(rung.name, part.images, part.seed, outcome)

    def _outcome(self, rung: Rung, part: TrainingSet) -> Outcome:
        steps = self.steps
        if self.seconds is not None:
            probe = self.probe(rung)
            if probe.error:
                return probe
            steps = steps_within(self.seconds, probe, self.batch_size(rung))
        return self.train(rung, part, steps)

    def train(self, rung: Rung, part: TrainingSet, steps: int | None, limit_seconds: float | None = None) -> Outcome:
        """One training; its process is stopped after ``limit_seconds``."""
        return run_training(self._training(rung, part, steps), self.folder, limit_seconds=limit_seconds)

    def probe(self, rung: Rung, limit_seconds: float | None = None) -> Outcome:
        """A short training on the largest set: it tells what steps cost, and all that is beside them."""
        largest = max(self.training_sets, key=lambda one: one.images)
        return self.train(rung, largest, _PROBE_STEPS, limit_seconds)

    def _training(self, rung: Rung, part: TrainingSet, steps: int | None) -> Training:
        config = self._config(rung, part.seed, steps)
        files = part.files + (self.target_files if self._uses_target(config) else ())
        return dataclasses.replace(self.base.with_config(config), train_files=files)

    def _uses_target(self, config: Mapping[str, str]) -> bool:
        transfer: StrategySettings = pydantic.TypeAdapter(TransferSettings).validate_json(config["transfer"])
        return transfer.uses_target

    def batch_size(self, rung: Rung) -> int:
        """Images in a step of a rung."""
        return TrainConfig.model_validate_json(self._config(rung, 0, 1)["train"]).batch_size

    def _config(self, rung: Rung, seed: int, steps: int | None) -> dict[str, str]:
        overrides = {**rung.overrides(self.base.config), "train.seed": seed}
        if steps is not None:
            overrides |= {"train.steps": steps, "train.evaluate_every": -(-steps // EVALUATIONS)}
        return with_overrides(self.base.config, overrides)


def steps_within(seconds: float, probe: Outcome, batch_size: int) -> int:
    """How many steps a training may have to take so long.

    Args:
      seconds: from its start weights to its export.
      probe: a short training of the same kind, with as many evaluations.
      batch_size: images in a step.

    Returns:
      At least ``EVALUATIONS``; those of the probe where it learnt in no steps.
    """
    if probe.images_per_second == 0.0:
        return max(EVALUATIONS, probe.steps)
    step_seconds = batch_size / probe.images_per_second
    beside = probe.seconds - probe.steps * step_seconds
    return max(EVALUATIONS, int((seconds - beside) / step_seconds))


def _time_left(took: Mapping[str, Sequence[float]], left: Sequence[str]) -> str:
    """In words, from what trainings of the same rung took; nothing while there is nothing to go by."""
    known = [seconds for of_rung in took.values() for seconds in of_rung]
    if not known or not left:
        return ""
    usual = statistics.fmean(known)
    seconds = sum(statistics.fmean(took[name]) if name in took else usual for name in left)
    return f"; {duration(seconds)} left"


def duration(seconds: float) -> str:
    """``75 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
