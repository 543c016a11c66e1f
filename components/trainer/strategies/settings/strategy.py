"""What the ``transfer`` section tells every strategy. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import ClassVar

from components.settings import Settings


class StrategySettings(Settings):
    """What every strategy is told."""

    implementation: ClassVar[str]
    """Dotted path of the ``Strategy``, which is made with these settings. (`auto` has none.)"""
    uses_target: ClassVar[bool] = False
    """Whether it learns from the images of ``data.target``."""
    replays: ClassVar[bool] = True
    """Whether its batches keep to ``train.input.replay_share`` and ``train.sampling``."""

    strategy: str
    """How the weights the training starts from are adapted."""
    warm_start_from_blessed: bool = False
    """Start from the last blessed model, when there is one, instead of from `model.pretrained`. Classes are matched by
    name."""

    def check_steps(self, steps: int | None) -> None:
        """Whether the strategy can divide ``train.steps`` among its phases; None: a number that the data will decide.

        Raises:
          ValueError: it cannot; the message says what would help.
        """
