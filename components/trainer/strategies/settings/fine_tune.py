"""The ``transfer`` section for ``fine_tune``. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import difflib
import itertools
import re
from typing import Annotated, Literal

import pydantic

from components.settings import Settings
from components.trainer.settings import Share
from components.trainer.strategies.settings.keep import KeepingSettings


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"found {text!r}, which is no regular expression: {error}") from error
    return text


LayerPattern = Annotated[str, pydantic.AfterValidator(_expression)]
"""A regular expression that is looked for in the paths of layers, such as ``region_proposal_head/boxes``."""


class LearningLayers(Settings):
    """Which layers learn."""

    trainable: Literal["all", "heads"] | Share | str = "all"
    """Which part learns: `all`; `heads` (everything but the backbone); a number from 0 to 1, the share of the
    backbone's layers, counted from its output, that learns; or the name of the first backbone layer that learns."""
    learn: tuple[LayerPattern, ...] = ()
    """Regular expressions, looked for in the layers' paths anywhere in the detector: what matches learns although
    `trainable` has frozen it."""
    freeze: tuple[LayerPattern, ...] = ()
    """Regular expressions as in `learn`: what matches does not learn, whatever the other two say."""

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


class Stage(LearningLayers):
    """What learns for how many steps."""

    steps: pydantic.PositiveInt | Annotated[float, pydantic.Field(gt=0.0, lt=1.0)] | None = None
    """How long it lasts: a number of steps, or a share of `train.steps` below 1. None, in one stage at most: the steps
    that the others leave."""
    learning_rate: pydantic.PositiveFloat | None = None
    """The peak in this stage. None: that of `train.optimizer`. Schedule and warm-up run over the steps of the stage."""
    early_stopping_patience: pydantic.PositiveInt | None = None
    """The next stage begins after this many evaluations in a row without a better AP than before in this stage. None:
    what `train.early_stopping_patience` says."""


class FineTuneSettings(LearningLayers, KeepingSettings):
    """`fine_tune` trains the detector, or a part of it, by gradient descent."""

    implementation = "components.trainer.strategies.fine_tune.FineTune"

    strategy: Literal["fine_tune"] = "fine_tune"
    """How the weights the training starts from are adapted: `fine_tune` trains the detector, or a part of it, by
    gradient descent."""
    freeze_batch_norm: bool = False
    """Keep the backbone's batch normalisation as the pretrained weights have it. Use it for small batches."""
    stages: tuple[Stage, ...] = ()
    """Stages one after the other, each with layers of its own that learn: first the new heads, say, then all. Each goes
    on from the last weights of the one before. Empty: one stage, all of `train.steps`, with what stands here."""
    learning_rates: dict[str, pydantic.PositiveFloat] = {}
    """Factors on the learning rate by part: `backbone`, `heads`, or a regular expression as in `learn`. The first that
    fits a layer counts; what none fits has factor 1. Weight decay goes with the learning rate."""
    backbone_input_rate: Annotated[float, pydantic.Field(gt=0.0, le=1.0)] = 1.0
    """Learning rate at the backbone's input as a share of that at its output; in between it grows by the same factor
    from layer to layer (layer-wise decay). Below 1, early layers, which suit any image, keep more of what they know."""

    @pydantic.field_validator("learning_rates")
    @classmethod
    def _parts(cls, rates: dict[str, float]) -> dict[str, float]:
        for part in rates:
            _expression(part)
        return rates

    @pydantic.model_validator(mode="after")
    def _stages_say_what_learns(self) -> FineTuneSettings:
        said = self.model_fields_set & LearningLayers.model_fields.keys()
        if self.stages and any(getattr(self, name) != type(self).model_fields[name].default for name in said):
            raise ValueError(
                f"what learns stands in every one of `stages`; found {', '.join(sorted(said))} beside them"
            )
        if sum(stage.steps is None for stage in self.stages) > 1:
            raise ValueError("stages: only one may take the steps that the others leave; give the others `steps`")
        return self

    def check_steps(self, steps: int | None) -> None:
        if steps is not None:
            self.stage_steps(steps)
        elif any(isinstance(stage.steps, int) for stage in self.stages) and all(stage.steps for stage in self.stages):
            raise ValueError(
                "transfer.stages: train.steps is auto, found a number of steps in stages that leave none open; give "
                "shares, or leave out `steps` in one stage"
            )

    def stage_steps(self, steps: int) -> list[int]:
        """Steps of each stage of a training of ``steps``; all of them where there are no stages.

        Raises:
          ValueError: they do not add up.
        """
        if not self.stages:
            return [steps]
        parts = [stage.steps or 0 for stage in self.stages]
        exact = [part * steps if isinstance(part, float) else float(part) for part in parts]
        left = steps - sum(exact)
        exact = [left if stage.steps is None else part for stage, part in zip(self.stages, exact, strict=True)]
        # Rounding the ends, not the lengths, keeps the sum.
        ends = [round(end) for end in itertools.accumulate(exact)]
        lengths = [end - start for start, end in itertools.pairwise([0, *ends])]
        if ends[-1] != steps or min(lengths) < 1:
            raise ValueError(
                f"transfer.stages: expected stages of at least one step each that add up to train.steps = {steps}, "
                f"found {' + '.join(map(str, lengths))} = {ends[-1]}; change train.steps, give shares of it, or leave "
                "out `steps` in one stage"
            )
        return lengths
