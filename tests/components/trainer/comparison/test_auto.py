"""The ladder within a budget, with processes that stand for trainings: each says that it took 10 s."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import pytest

from components.trainer.comparison import training_process
from components.trainer.comparison.auto import NothingChosenError, asked_to_choose, choose_strategy
from components.trainer.comparison.subsets import write_subsets
from components.trainer.comparison.training import Training
from components.trainer.settings import ModelSettings, TrainConfig
from components.trainer.strategies.settings.auto import AutoSettings
from components.trainer.strategies.settings.fine_tune import FineTuneSettings


@pytest.fixture
def make_training(
    tmp_path: pathlib.Path, squares: Callable[[str, int], str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[AutoSettings], Training]:
    monkeypatch.setattr(training_process, "PROGRAM", "tests.components.trainer.comparison.stand_in_training")
    examples = write_subsets([squares("train", 4)], [4], 1, tmp_path / "examples")[0, 4]
    files = (f"{examples}/Split-train/*",)

    def make(settings: AutoSettings) -> Training:
        config = {
            "model": ModelSettings().model_dump_json(),
            "transfer": settings.model_dump_json(),
            "train": TrainConfig(steps=50, batch_size=4).model_dump_json(),
            "checkpoint_root": str(tmp_path),
            "weights_digest": "",
        }
        return Training(config, files, files, files, "graph")

    return make


def test_the_winner_takes_the_place_of_auto(
    make_training: Callable[[AutoSettings], Training], tmp_path: pathlib.Path
) -> None:
    settings = AutoSettings(ladder=("scratch", "frozen", "fine_tune"), budget_minutes=2, warm_start_from_blessed=True)
    training = make_training(settings)
    assert asked_to_choose(training.config) == settings
    chosen, summary = choose_strategy(settings, training, tmp_path / "tried")
    transfer = json.loads(chosen["transfer"])
    assert (transfer["strategy"], transfer["trainable"]) == ("fine_tune", "heads")
    assert transfer["warm_start_from_blessed"]
    assert json.loads(chosen["train"]) == json.loads(training.config["train"])
    assert summary.rungs == ["scratch", "frozen", "fine_tune"]
    assert summary.judged_split == "eval"
    # A third of 120 s: 40 s and 2 images a second, but no more steps than the training itself has.
    assert [row.outcome.steps for row in summary.rows] == [50, 50, 50]
    assert asked_to_choose(chosen) is None


def test_what_was_tried_is_not_tried_again(
    make_training: Callable[[AutoSettings], Training], tmp_path: pathlib.Path
) -> None:
    settings = AutoSettings(ladder=("frozen",), budget_minutes=1)
    training = make_training(settings)
    first = choose_strategy(settings, training, tmp_path / "tried")[1].json()
    started = (tmp_path / "tried" / "started.txt").read_text()
    assert choose_strategy(settings, training, tmp_path / "tried")[1].json() == first
    assert (tmp_path / "tried" / "started.txt").read_text() == started


def test_too_little_time(make_training: Callable[[AutoSettings], Training], tmp_path: pathlib.Path) -> None:
    settings = AutoSettings(ladder=("frozen",), budget_minutes=0.1)
    with pytest.raises(NothingChosenError, match=r"raise transfer\.budget_minutes"):
        choose_strategy(settings, make_training(settings), tmp_path / "tried")


def test_a_config_that_names_a_strategy_chooses_nothing() -> None:
    assert asked_to_choose({"transfer": FineTuneSettings().model_dump_json()}) is None


def test_names_are_checked() -> None:
    with pytest.raises(ValueError, match="did you mean 'frozen'"):
        AutoSettings(ladder=("frosen",))
