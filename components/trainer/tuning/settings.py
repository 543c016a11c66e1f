"""What the ``tuner`` section of the config holds. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

import pydantic

from components.settings import Settings

SECTIONS: Final = ("model", "transfer", "train")
"""Of the config, whose keys can be searched: those that decide about a training."""
_SHARE_OF_STEPS: Final = 4


class Range(Settings):
    """Numbers from one to another; whole ones where both ends are."""

    min: int | float
    """The lowest."""
    max: int | float
    """The highest."""
    scale: Literal["linear", "log"] = "linear"
    """`log` tries 0.001 to 0.01 as often as 0.01 to 0.1: learning rates, weight decays."""

    @pydantic.model_validator(mode="after")
    def _rises(self) -> Range:
        if self.min >= self.max:
            raise ValueError(f"min must be below max, found {self.min} and {self.max}")
        if self.scale == "log" and self.min <= 0:
            raise ValueError(f"on a log scale min must be above 0, found {self.min}")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether numbers are whole ones."""
        return isinstance(self.min, int) and isinstance(self.max, int)


class Choices(Settings):
    """Some values, of any kind."""

    choices: tuple[Any, ...] = pydantic.Field(min_length=2)
    """The values to try."""


class TunerSettings(Settings):
    """A search before the training. Each trial is a short training judged on `eval`; the training takes the best."""

    search: dict[str, Range | Choices] = pydantic.Field(min_length=1)
    """What to try, by dotted key of `model`, `transfer` or `train`: `{min: 1.0e-4, max: 1.0e-2, scale: log}` or
    `{choices: [...]}`."""
    trials: pydantic.PositiveInt = 12
    """How many trainings."""
    steps: pydantic.PositiveInt | None = None
    """Of each. None: a quarter of `train.steps`."""
    algorithm: Literal["bayesian", "random"] = "bayesian"
    """How values are found: `bayesian` looks where trials so far were good or few, `random` anywhere."""
    prune_after: pydantic.PositiveInt | None = 3
    """Once so many trials are finished, one whose best AP is below the median of theirs at the same step is stopped
    (median stopping rule). None: every trial runs to its end."""
    budget_minutes: pydantic.PositiveFloat | None = None
    """No trial begins when trials have taken so long. None: all of `trials` run."""
    seed: pydantic.NonNegativeInt = 0
    """Of the search; trials train with `train.seed`."""

    @pydantic.field_validator("search")
    @classmethod
    def _of_a_training(cls, search: dict[str, Range | Choices]) -> dict[str, Range | Choices]:
        for key in search:
            if key.partition(".")[0] not in SECTIONS or "." not in key:
                raise ValueError(f"found {key!r}; expected dotted keys of {', '.join(SECTIONS)}")
            if key in ("train.steps", "train.evaluate_every"):
                raise ValueError(f"found {key!r}: trials all have the steps of tuner.steps, so that they compare")
        return search

    def trial_steps(self, steps: int) -> int:
        """Of each trial, where the training that is searched for has so many."""
        return self.steps or -(-steps // _SHARE_OF_STEPS)


def as_hyperparameter(value: Any) -> int | float | str:
    """A value as hyper-parameters can be: a number as it is, anything else as JSON text."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else json.dumps(value)


def overrides_of(values: Mapping[str, int | float | str]) -> dict[str, Any]:
    """Hyper-parameters as values by dotted key, see ``as_hyperparameter``."""
    return {key: json.loads(value) if isinstance(value, str) else value for key, value in values.items()}
