"""The ``transfer`` section for ``domain_adversarial``. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import Literal

from components.trainer.strategies.settings.adversarial import AdversarialSettings
from components.trainer.strategies.settings.strategy import StrategySettings


class DomainAdversarialSettings(StrategySettings, AdversarialSettings):
    """`domain_adversarial` learns features in which annotated images and those of `data.target` look alike."""

    implementation = "components.trainer.strategies.domain_adversarial.DomainAdversarial"
    uses_target = True

    strategy: Literal["domain_adversarial"] = "domain_adversarial"
    """How the weights the training starts from are adapted: `domain_adversarial` learns from the annotated images
    features in which those and the images of `data.target` cannot be told apart."""
