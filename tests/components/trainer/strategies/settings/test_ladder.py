"""The rungs and what they change."""

from __future__ import annotations

import json

import pytest

from components.trainer.config_overrides import OverrideError, with_overrides
from components.trainer.settings import ModelSettings, TrainConfig
from components.trainer.strategies.settings.fine_tune import FineTuneSettings
from components.trainer.strategies.settings.ladder import LADDER, Rung, rungs


@pytest.fixture
def config() -> dict[str, str]:
    return {
        "model": ModelSettings().model_dump_json(),
        "transfer": FineTuneSettings(freeze_batch_norm=True, warm_start_from_blessed=True).model_dump_json(),
        "train": TrainConfig().model_dump_json(),
        "checkpoint_root": "/nowhere",
        "weights_digest": "of imagenet",
    }


@pytest.mark.parametrize("rung", LADDER, ids=lambda rung: rung.name)
def test_every_rung_is_a_config(rung: Rung, config: dict[str, str]) -> None:
    changed = with_overrides(config, rung.overrides(config))
    assert json.loads(changed["transfer"])["strategy"] == rung.transfer["strategy"]
    # From scratch is not from the last blessed model.
    assert json.loads(changed["transfer"])["warm_start_from_blessed"] == (rung.name != "scratch")


def test_the_configs_own_strategy_is_taken_as_configured(config: dict[str, str]) -> None:
    (fine_tune,) = rungs(["fine_tune"])
    assert json.loads(with_overrides(config, fine_tune.overrides(config))["transfer"])["freeze_batch_norm"]


def test_from_scratch_there_are_no_start_weights_and_no_digest_of_them(config: dict[str, str]) -> None:
    (scratch,) = rungs(["scratch"])
    changed = with_overrides(config, scratch.overrides(config))
    assert json.loads(changed["model"])["pretrained"] is None
    assert changed["weights_digest"] == ""
    frozen, _ = rungs(["fine_tune", "frozen"])
    assert "model.pretrained" in str(frozen.reason_to_skip(changed))
    assert scratch.reason_to_skip(changed) is None


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="found 'finetune'; did you mean 'fine_tune'"):
        rungs(["finetune"])


def test_overrides_are_checked(config: dict[str, str]) -> None:
    assert json.loads(with_overrides(config, {"train.optimizer.learning_rate": 0.5})["train"])["optimizer"][
        "learning_rate"
    ] == pytest.approx(0.5)
    with pytest.raises(OverrideError, match=r"train\.optimizer\.learnig_rate"):
        with_overrides(config, {"train.optimizer.learnig_rate": 0.5})
    with pytest.raises(OverrideError, match="expected a key of model, transfer, train"):
        with_overrides(config, {"data.path": "x"})
    with pytest.raises(OverrideError, match="steps is a value"):
        with_overrides(config, {"train.steps.first": 1})
