"""The ``transfer`` section for ``auto``. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import Literal

import pydantic

from components.trainer.strategies.settings.ladder import rungs
from components.trainer.strategies.settings.strategy import StrategySettings


class AutoSettings(StrategySettings):
    """`auto` tries the ways of transfer one after the other and trains in the one that reaches most on `eval`.

    It is no strategy itself: ``comparison.auto`` puts the winner's settings in its place before anything is built.
    """

    strategy: Literal["auto"] = "auto"
    """How the weights the training starts from are adapted: `auto` tries several ways and takes the one that reaches
    most on `eval`. (Not those that learn from `data.target`: whether they help only its annotations could tell, which
    are kept from the training. `python -m pipeline compare` can judge them.)"""
    budget_minutes: pydantic.PositiveFloat = 60.0
    """Time for trying, divided among the ways alike; the training itself comes on top."""
    ladder: tuple[str, ...] = ()
    """Names of the ways to try, those of `python -m pipeline compare --strategies`. Empty: all that fit."""
    seeds: pydantic.PositiveInt = 1
    """Trainings of each way, each with a part of its time. From two on there are intervals, and the cheapest whose
    interval reaches the best one's is taken; of one each, the best."""

    @pydantic.field_validator("ladder")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        rungs(names)
        return names
