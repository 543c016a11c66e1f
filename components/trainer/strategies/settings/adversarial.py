"""How an adversary makes domains alike: settings of the strategies with one. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import Literal

import pydantic

from components.settings import Settings


class AdversarialSettings(Settings):
    """Discriminators that tell the domains apart, and features that are learnt against them."""

    reversal_weight: pydantic.NonNegativeFloat = 0.1
    """How much of the discriminators' gradient, reversed, reaches the detector. 0: none, as without an adversary."""
    reversal_schedule: Literal["ganin", "constant"] = "ganin"
    """`ganin`: the weight grows with the progress p of the phase as 2 / (1 + exp(-10 p)) - 1 (Ganin and Lempitsky
    2015), so that discriminators that know nothing yet teach nothing. `constant`: it is the same at every step."""
    image_weight: pydantic.NonNegativeFloat = 1.0
    """Weight of the loss of the discriminators that look at the backbone's feature maps, location by location."""
    proposal_weight: pydantic.NonNegativeFloat = 1.0
    """Weight of the loss of the discriminator that looks at proposed regions. Detectors of one stage have none."""
    consistency_weight: pydantic.NonNegativeFloat = 0.1
    """Weight of the difference between what the discriminators say about an image and about its proposals. Detectors of
    one stage have none."""
    discriminator_channels: pydantic.PositiveInt = 256
    """Width of the discriminators' hidden layers."""
