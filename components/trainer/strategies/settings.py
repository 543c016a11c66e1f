"""What the ``transfer`` section of the config holds: the settings of one strategy, the one that its ``strategy`` names.

Imports neither TensorFlow nor TFX. A new strategy is a class here, its line in ``TransferSettings`` and the file that
``implementation`` names.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import pydantic

from components.settings import Settings
from components.trainer.settings import Share

_DEFAULT: Final = "fine_tune"


class StrategySettings(Settings):
    """What every strategy is told."""

    implementation: ClassVar[str]
    """Dotted path of the ``Strategy``, which is made with these settings."""

    strategy: str
    """How the weights the training starts from are adapted."""
    warm_start_from_blessed: bool = False
    """Start from the last blessed model, when there is one, instead of from `model.pretrained`. Classes are matched by
    name."""


class FineTuneSettings(StrategySettings):
    """`fine_tune` trains the detector, or a part of it, by gradient descent."""

    implementation = "components.trainer.strategies.fine_tune.FineTune"

    strategy: Literal["fine_tune"] = "fine_tune"
    """How the weights the training starts from are adapted: `fine_tune` trains the detector, or a part of it, by
    gradient descent."""
    trainable: Literal["all", "heads"] | Share | str = "all"
    """Which part learns: `all`; `heads` (everything but the backbone); a number from 0 to 1, the share of the
    backbone's layers, counted from its output, that learns; or the name of the first backbone layer that learns."""
    freeze_batch_norm: bool = False
    """Keep the backbone's batch normalisation as the pretrained weights have it. Use it for small batches."""

    @pydantic.field_validator("trainable")
    @classmethod
    def _no_misspelt_word(cls, trainable: str | float) -> str | float:
        # Layers have other names than these words; whether the backbone has such a layer only the detector can say.
        words = ("all", "heads")
        if isinstance(trainable, str) and trainable not in words:
            near = difflib.get_close_matches(trainable, words, n=1, cutoff=0.75)
            if near:
                raise ValueError(f"found {trainable!r}; did you mean {near[0]!r}?")
        return trainable


def strategy_name(section: Any) -> str:
    """The strategy of a ``transfer`` section: of settings, or of what they are to be made of."""
    if isinstance(section, StrategySettings):
        return section.strategy
    return str(section.get("strategy", _DEFAULT)) if isinstance(section, Mapping) else _DEFAULT


TransferSettings = Annotated[
    Annotated[FineTuneSettings, pydantic.Tag("fine_tune")],
    pydantic.Discriminator(strategy_name),
]
"""The settings of one strategy."""
