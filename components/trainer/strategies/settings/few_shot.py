"""The ``transfer`` section for ``few_shot``. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from components.trainer.settings import Share
from components.trainer.strategies.settings.strategy import StrategySettings


class FewShotSettings(StrategySettings):
    """`few_shot` learns classes of which there are only some annotated objects, and keeps the others."""

    implementation = "components.trainer.strategies.few_shot.FewShot"

    strategy: Literal["few_shot"]
    """How the weights the training starts from are adapted: `few_shot` learns the classes with many objects first, with
    all of the detector, then tunes its last layers alone on a few objects of every class (Wang et al. 2020). Needs
    `model.options.class_head: cosine`."""
    novel_classes: Annotated[list[str], pydantic.Field(min_length=1)]
    """The classes with few objects; all others of the data are base classes."""
    shots: pydantic.PositiveInt = 10
    """Objects of every class, base classes among them, that the last layers are tuned on. Further objects of the same
    images are ignored."""
    draw: pydantic.NonNegativeInt = 0
    """Seed of which objects these are."""
    base_share: Annotated[float, pydantic.Field(ge=0.0, lt=1.0)] = 0.8
    """Share of `train.steps` in which base classes are learnt, while novel objects are ignored. 0: the start weights
    know them (`warm_start_from_blessed`, or `model.pretrained_classes: map`)."""
    base_rate: Share = 0.0
    """Learning rate, while the last layers are tuned, of what base classes stand on (their own weights, boxes) as a
    share of the novel classes'. 0: it stays as it is, and so do the base classes."""
    learning_rate: pydantic.PositiveFloat = 0.01
    """The peak while the last layers are tuned; schedule and warm-up are those of `train.optimizer`. High for Adam: so
    few weights learn, in a few hundred steps, and classes that must not be lost do not."""

    @pydantic.field_validator("novel_classes")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"names a class more than once: {', '.join(repeated)}")
        return names
