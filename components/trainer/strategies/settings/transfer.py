"""What the ``transfer`` section of the config holds: the settings of the strategy that it names.

Imports neither TensorFlow nor TFX. A new strategy is its settings in a file of their own, a line in
``TransferSettings`` and the file that ``implementation`` names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import pydantic

from components.trainer.strategies.settings.auto import AutoSettings
from components.trainer.strategies.settings.domain_adversarial import DomainAdversarialSettings
from components.trainer.strategies.settings.feature_extraction import FeatureExtractionSettings
from components.trainer.strategies.settings.few_shot import FewShotSettings
from components.trainer.strategies.settings.fine_tune import FineTuneSettings
from components.trainer.strategies.settings.mean_teacher import MeanTeacherSettings
from components.trainer.strategies.settings.strategy import StrategySettings

_DEFAULT: Final = "fine_tune"


def strategy_name(section: Any) -> str:
    """The strategy of a ``transfer`` section: of settings, or of what they are to be made of."""
    if isinstance(section, StrategySettings):
        return section.strategy
    return str(section.get("strategy", _DEFAULT)) if isinstance(section, Mapping) else _DEFAULT


TransferSettings = Annotated[
    Annotated[FineTuneSettings, pydantic.Tag("fine_tune")]
    | Annotated[FeatureExtractionSettings, pydantic.Tag("feature_extraction")]
    | Annotated[DomainAdversarialSettings, pydantic.Tag("domain_adversarial")]
    | Annotated[MeanTeacherSettings, pydantic.Tag("mean_teacher")]
    | Annotated[FewShotSettings, pydantic.Tag("few_shot")]
    | Annotated[AutoSettings, pydantic.Tag("auto")],
    pydantic.Discriminator(strategy_name),
]
"""The settings of one strategy."""
