"""The ``transfer`` section for ``fine_tune``. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import difflib
from typing import Literal

import pydantic

from components.trainer.settings import Share
from components.trainer.strategies.strategy_settings import StrategySettings


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
