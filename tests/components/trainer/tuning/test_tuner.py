"""The search as TFX's Tuner runs it, with processes that stand for trainings."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from components.trainer.comparison import training_process
from components.trainer.settings import ModelSettings, TrainConfig
from components.trainer.strategies.settings.fine_tune import FineTuneSettings
from components.trainer.tuning.settings import TunerSettings, overrides_of

RATE = "train.optimizer.learning_rate"
Search = Callable[..., Any]


@pytest.fixture
def make_tuner(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    from tfx.components.trainer.fn_args_utils import FnArgs

    from components.trainer.tuning.tuner import tuner_fn

    monkeypatch.setattr(training_process, "PROGRAM", "tests.components.trainer.tuning.stand_in_trial")
    (tmp_path / "records.gz").write_bytes(b"records")

    def make(search: dict[str, Any], **settings: Any) -> Any:
        config = {
            "model": ModelSettings().model_dump_json(),
            "transfer": FineTuneSettings().model_dump_json(),
            "train": TrainConfig(steps=40).model_dump_json(),
            "tuner": TunerSettings(search=search, **settings).model_dump_json(),
            "checkpoint_root": str(tmp_path),
            "weights_digest": "",
        }
        files = [str(tmp_path / "*.gz")]
        arguments = FnArgs(train_files=files, eval_files=files, transform_graph_path="graph", custom_config=config)
        return tuner_fn(arguments).tuner

    return make


def _started(folder: pathlib.Path) -> list[float]:
    (found,) = folder.glob("tuner-*/trainings/started.txt")
    return [float(line) for line in found.read_text().split()]


@pytest.mark.parametrize("algorithm", ["random", "bayesian"])
def test_the_best_is_found(make_tuner: Search, algorithm: str) -> None:
    tuner = make_tuner({RATE: {"choices": [0.001, 0.01, 0.05]}}, trials=3, algorithm=algorithm)
    tuner.search()
    (best,) = tuner.get_best_hyperparameters()
    assert overrides_of(best.get_config()["values"]) == {RATE: 0.01}
    trials = tuner.trials()
    assert [trial["values"][RATE] for trial in trials] == [0.01, 0.05, 0.001]
    tuner.remove()


def test_what_fails_is_a_trial_with_its_error(make_tuner: Search) -> None:
    tuner = make_tuner({RATE: {"choices": [0.1, 0.01]}}, trials=2, algorithm="random")
    tuner.search()
    good, failed = tuner.trials()
    assert good["metrics"]["AP"] == pytest.approx(1.0)
    assert failed["metrics"] == {}
    assert "the loss is infinite" in failed["error"]


def test_a_bad_trial_is_stopped(make_tuner: Search) -> None:
    search = {RATE: {"choices": [0.01, 0.02, 0.03, 0.04, 1e-6]}}
    tuner = make_tuner(search, trials=5, algorithm="random", prune_after=1, seed=1)
    tuner.search()
    stopped = [trial for trial in tuner.trials() if trial["error"]]
    # It is not the first one, which nothing is there to compare with.
    assert [trial["values"][RATE] for trial in stopped] == [1e-6]
    assert stopped[0]["error"] == "below the median of finished trials at step 5"


def test_an_attempt_that_was_killed_is_taken_up(
    make_tuner: Search, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"trials": 3, "algorithm": "random", "seed": 3}
    search = {RATE: {"min": 1e-3, "max": 5e-2, "scale": "log"}}
    tuner = make_tuner(search, **settings)
    begun = []

    def killed(trial: Any) -> None:
        begun.append(trial)
        if len(begun) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(tuner, "on_trial_begin", killed)
    with pytest.raises(KeyboardInterrupt):
        tuner.search()
    first = _started(tmp_path)
    assert len(first) == 1

    again = make_tuner(search, **settings)
    again.search()
    started = _started(tmp_path)
    assert started[:1] == first
    assert len(started) == len(set(started)) == 3
    assert begun[1].hyperparameters.values[RATE] in started


def test_no_trial_begins_when_time_is_up(make_tuner: Search, tmp_path: pathlib.Path) -> None:
    tuner = make_tuner({RATE: {"min": 1e-3, "max": 5e-2}}, trials=9, budget_minutes=1e-4)
    tuner.search()
    assert len(_started(tmp_path)) == 1


def test_values_of_other_kinds(make_tuner: Search) -> None:
    search = {
        "train.batch_size": {"min": 4, "max": 8},
        "transfer.trainable": {"choices": ["all", 0.5]},
        "model.image_size": {"choices": [[64, 64], None]},
        RATE: {"choices": [0.01, 0.02]},
    }
    tuner = make_tuner(search, trials=4, algorithm="random")
    tuner.search()
    for trial in tuner.trials():
        assert trial["values"]["train.batch_size"] in range(4, 9)
        assert trial["values"]["transfer.trainable"] in ("all", 0.5)
        assert trial["values"]["model.image_size"] in ([64, 64], None)
        assert trial["error"] == "" or "median" in trial["error"], json.dumps(trial)
