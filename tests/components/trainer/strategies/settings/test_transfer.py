"""What the ``transfer`` section allows; that another strategy is one class and one line."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated, Any, Literal

import pydantic
import pytest

from components.trainer.strategies.fine_tune import FineTune
from components.trainer.strategies.settings.fine_tune import FineTuneSettings
from components.trainer.strategies.settings.strategy import StrategySettings
from components.trainer.strategies.settings.transfer import TransferSettings, strategy_name
from components.trainer.strategies.strategy import build_strategy

SECTION: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(TransferSettings)


class ProbeSettings(StrategySettings):
    """Another strategy."""

    implementation = "components.trainer.strategies.fine_tune.FineTune"
    strategy: Literal["probe"] = "probe"
    head_steps: int = 10


TWO: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(
    Annotated[
        Annotated[FineTuneSettings, pydantic.Tag("fine_tune")] | Annotated[ProbeSettings, pydantic.Tag("probe")],
        pydantic.Discriminator(strategy_name),
    ]
)


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (SECTION, {"strategy": "distill"}, "'distill' .*'fine_tune'"),
        (SECTION, {"trainable": "heds"}, "did you mean 'heads'"),
        (SECTION, "all", "valid dictionary"),
        (TWO, {"strategy": "distill"}, "'fine_tune', 'probe'"),
        (TWO, {"head_steps": 3}, "Extra inputs are not permitted"),
        (TWO, {"strategy": "probe", "trainable": "heads"}, "Extra inputs are not permitted"),
    ],
)
def test_refused(section: pydantic.TypeAdapter[Any], values: Any, message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        section.validate_python(values)


@pytest.mark.parametrize(
    ("section", "values", "settings"),
    [
        (SECTION, {}, FineTuneSettings()),
        (SECTION, {"trainable": 0.25}, FineTuneSettings(trainable=0.25)),
        (TWO, {"trainable": "heads"}, FineTuneSettings(trainable="heads")),
        (
            TWO,
            {"strategy": "probe", "head_steps": 3, "warm_start_from_blessed": True},
            ProbeSettings(head_steps=3, warm_start_from_blessed=True),
        ),
    ],
)
def test_the_strategy_says_which_settings(
    section: pydantic.TypeAdapter[Any], values: Any, settings: StrategySettings
) -> None:
    assert section.validate_python(values) == settings
    assert section.validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize("trainable", ["all", "heads", 0.25, "block_12_expand"])
def test_trainable_keeps_its_type(trainable: str | float) -> None:
    assert FineTuneSettings(trainable=trainable).trainable == trainable


def test_settings_make_their_strategy() -> None:
    assert isinstance(build_strategy(FineTuneSettings()), FineTune)


def test_no_tensorflow_is_loaded() -> None:
    code = "import components.trainer.strategies.settings.transfer, sys; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
