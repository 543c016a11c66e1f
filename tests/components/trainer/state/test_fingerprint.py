"""A checkpoint belongs to what decides about the weights, and to nothing else."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from components.evaluator.operating_point_settings import OperatingPointSettings
from components.trainer.operating_points import OPERATING_POINT
from components.trainer.settings import InputSettings, ModelSettings, TrainSettings
from components.trainer.state.fingerprint import fingerprint
from components.trainer.strategies.settings.transfer import FineTuneSettings


def config(**changes: Any) -> dict[str, str]:
    return {
        "model": ModelSettings().model_dump_json(),
        "transfer": FineTuneSettings().model_dump_json(),
        "train": TrainSettings().model_dump_json(),
        "checkpoint_root": "/somewhere",
        "code_digest": "0",
        "weights_digest": "1",
    } | {key: value if isinstance(value, str) else value.model_dump_json() for key, value in changes.items()}


@pytest.fixture
def records(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "records"
    path.write_bytes(b"abc")
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"code_digest": "other"},
        {"weights_digest": "other"},
        {"model": ModelSettings(image_size=(64, 64))},
        {"transfer": FineTuneSettings(trainable="heads")},
        {"train": TrainSettings(seed=1)},
        {"train": TrainSettings(input=InputSettings(shuffle_memory_megabytes=1))},
    ],
)
def test_what_decides_about_the_weights(records: pathlib.Path, changes: dict[str, Any]) -> None:
    assert fingerprint(config(**changes), [str(records)]) != fingerprint(config(), [str(records)])


@pytest.mark.parametrize(
    "changes",
    [
        {"checkpoint_root": "/elsewhere"},
        {"features_root": "/elsewhere"},
        {OPERATING_POINT: OperatingPointSettings(rule="recall", value=0.9)},
        {"model": ModelSettings(serving_batch_size=3)},
        {"train": TrainSettings(checkpoint_every_seconds=1, progress_every_seconds=1)},
        {"train": TrainSettings(input=InputSettings(parallel_images=2))},
    ],
)
def test_what_does_not(records: pathlib.Path, changes: dict[str, Any]) -> None:
    assert fingerprint(config(**changes), [str(records)]) == fingerprint(config(), [str(records)])


def test_other_records_are_another_training(records: pathlib.Path) -> None:
    before = fingerprint(config(), [str(records)])
    records.write_bytes(b"abcd")
    assert fingerprint(config(), [str(records)]) != before
