"""The trainings of a comparison, each in a process that stands for a training."""

from __future__ import annotations

import math
import pathlib

import pytest

from components.trainer.comparison import training_process
from components.trainer.comparison.comparison import Comparison, TrainingSet, duration, steps_within
from components.trainer.comparison.training import Outcome, Training
from components.trainer.comparison.training_process import run_training
from components.trainer.settings import ModelSettings, TrainConfig
from components.trainer.strategies.settings.fine_tune import FineTuneSettings
from components.trainer.strategies.settings.ladder import rungs


@pytest.fixture
def training(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    monkeypatch.setattr(training_process, "PROGRAM", "tests.components.trainer.comparison.stand_in_training")
    (tmp_path / "records.gz").write_bytes(b"records")
    config = {
        "model": ModelSettings().model_dump_json(),
        "transfer": FineTuneSettings().model_dump_json(),
        "train": TrainConfig(steps=20, batch_size=4).model_dump_json(),
        "checkpoint_root": str(tmp_path),
    }
    files = (str(tmp_path / "*.gz"),)
    return Training(config, files, files, files, "graph")


def _comparison(training: Training, folder: pathlib.Path, seeds: int, **changes: float) -> Comparison:
    sets = [TrainingSet(8, seed, training.train_files) for seed in range(seeds)]
    said: list[str] = []
    return Comparison(training, sets, rungs(["fine_tune"]), folder, say=said.append, **changes)


def _started(folder: pathlib.Path) -> list[str]:
    return (folder / "started.txt").read_text().split()


def test_a_training_that_dies_is_a_row_with_its_error(training: Training, tmp_path: pathlib.Path) -> None:
    rows = list(_comparison(training, tmp_path / "trainings", 3, steps=6).rows())
    assert [row.seed for row in rows] == [0, 1, 2]
    good, killed, failed = (row.outcome for row in rows)
    assert good.metrics["AP"] == pytest.approx(0.5)
    assert math.isnan(good.metrics["AP50"])
    assert good.steps == 6
    assert "SIGKILL" in killed.error
    assert failed.error == "no record matches"


def test_what_is_known_is_not_done_again_and_what_failed_is(training: Training, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "trainings"
    first = list(_comparison(training, folder, 2, steps=6).rows())
    again = list(_comparison(training, folder, 2, steps=6).rows())
    assert again[0].outcome.fields() == first[0].outcome.fields()
    assert _started(folder) == ["0", "1", "1"]
    list(_comparison(training, folder, 1, steps=7).rows())
    assert _started(folder) == ["0", "1", "1", "0"]


def test_other_records_are_another_training(training: Training, tmp_path: pathlib.Path) -> None:
    before = training.identity
    assert training.identity == before
    (tmp_path / "records.gz").write_bytes(b"other records")
    assert training.identity != before


def test_seconds_become_steps_by_a_short_training(training: Training, tmp_path: pathlib.Path) -> None:
    # Of the probe's 10 s, 20 steps of 4 images at 8 images/s account for all.
    (row,) = _comparison(training, tmp_path / "trainings", 1, seconds=30.0).rows()
    assert row.outcome.steps == 60


def test_what_stands_beside_the_steps_is_taken_off() -> None:
    probe = Outcome(seconds=25.0, images_per_second=8.0, steps=20)
    assert steps_within(65.0, probe, batch_size=4) == 100
    assert steps_within(10.0, probe, batch_size=4) == 5


def test_a_training_is_stopped_for_a_reason(training: Training, tmp_path: pathlib.Path) -> None:
    comparison = _comparison(training, tmp_path, 4, steps=6)
    from components.trainer.config_overrides import with_overrides

    slow = comparison.base.with_config(with_overrides(training.config, {"train.seed": 3}))
    stopped = run_training(slow, tmp_path / "trainings", stop_at=lambda found: f"AP is {found[-1]['AP']}")
    assert stopped.error == "AP is 0.125"
    assert stopped.metrics == {"AP": 0.125}
    assert stopped.steps == 5
    # That is a result, too.
    assert run_training(slow, tmp_path / "trainings") == stopped


def test_a_training_that_takes_too_long_is_stopped(training: Training, tmp_path: pathlib.Path) -> None:
    from components.trainer.config_overrides import with_overrides

    slow = training.with_config(with_overrides(training.config, {"train.seed": 3}))
    assert "stopped after 1 s" in run_training(slow, tmp_path / "trainings", limit_seconds=1.0).error


@pytest.mark.parametrize(("seconds", "text"), [(75, "75 s"), (700, "12 min"), (11100, "3 h 05 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
