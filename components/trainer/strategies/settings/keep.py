"""Keeping what the last blessed model knew: ``transfer.keep``. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import pydantic

from components.settings import Settings
from components.trainer.settings import Share
from components.trainer.strategies.settings.strategy import StrategySettings


class KeepSettings(Settings):
    """The last blessed model is the teacher of its classes.

    An image that shows no annotated object of a class may show objects of it that nobody annotated: where only new
    classes were annotated, all old ones. Taught as background, they would be unlearnt. What the teacher finds of such
    classes, and no annotated object covers, is therefore learnt or left out; an image with an annotated object of a
    class is taken to have all of its objects annotated.
    """

    distillation_weight: pydantic.NonNegativeFloat = 1.0
    """Weight of the loss that holds raw predictions for old classes, where the teacher sees something, to the teacher's
    (Learning without Forgetting). It needs a teacher of the same detector, canvas and anchors; of another one only what
    it finds is learnt. 0: none."""
    learn_from_score: Share | None = 0.5
    """What the teacher finds with at least this score is learnt like an annotated object. None: nothing is."""
    ignore_from_score: Share | None = 0.2
    """What the teacher finds with a lower score, but at least this one, is neither learnt nor taught as background.
    None: nothing is left out. Set this and ``learn_from_score`` to null where all classes are annotated in all
    images."""

    @pydantic.model_validator(mode="after")
    def _says_something(self) -> KeepSettings:
        learn, ignore = self.learn_from_score, self.ignore_from_score
        if learn is not None and ignore is not None and ignore > learn:
            raise ValueError(
                f"ignore_from_score must be at most learn_from_score, found {ignore} and {learn}: what is found with a "
                "higher score is learnt"
            )
        if self.distillation_weight == 0.0 and learn is None and ignore is None:
            raise ValueError("keeps nothing: distillation_weight is 0 and both scores are null; leave `keep` out")
        return self

    @property
    def lowest_score(self) -> float | None:
        """Of what the teacher finds, from which it makes a difference; None where it never does."""
        return min(
            (score for score in (self.learn_from_score, self.ignore_from_score) if score is not None), default=None
        )


class KeepingSettings(StrategySettings):
    """What strategies are told that learn from annotated images and can keep what was known."""

    keep: KeepSettings | None = None
    """Keep what the last blessed model knew, its classes included that the data no longer names. Needs
    ``warm_start_from_blessed``; does nothing while no model is blessed. None: what the new data does not show is
    forgotten."""

    @pydantic.model_validator(mode="after")
    def _has_a_teacher(self) -> KeepingSettings:
        if self.keep is not None and not self.warm_start_from_blessed:
            raise ValueError("keep needs the last blessed model: set transfer.warm_start_from_blessed to true")
        return self
