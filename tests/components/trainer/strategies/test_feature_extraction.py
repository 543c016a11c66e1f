"""Necks and heads learn from kept features, the backbone does not; a training that was killed ends where it would."""

from __future__ import annotations

import pathlib
import signal
import subprocess
from collections.abc import Callable

import h5py
import keras
import numpy as np
import pytest

from components.detector.registry import build_detector
from components.evaluator.coco import COCO_METRICS
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.settings import TrainSettings
from components.trainer.state.checkpoint import CheckpointFolder, Progress
from components.trainer.state.progress_log import ProgressLog
from components.trainer.strategies.feature_extraction import FeatureExtraction
from components.trainer.strategies.settings.feature_extraction import FeatureExtractionSettings
from components.trainer.strategies.strategy import TrainingInputs
from components.trainer.training_loop import train
from schema.label_map import LabelMap
from tests.forked_program import run_forked
from tests.tiny_detectors import TINY_DETECTORS

PROGRAM = pathlib.Path(__file__).with_name("resumable_features.py")
Squares = Callable[[str, int], str]


@pytest.mark.parametrize("name", TINY_DETECTORS)
def test_all_but_the_backbone_learns(tmp_path: pathlib.Path, squares: Squares, name: str) -> None:
    keras.utils.set_random_seed(1)
    settings = TrainSettings(steps=2, batch_size=4)
    detector = build_detector(name, num_classes=2, image_size=(128, 128), **TINY_DETECTORS[name])
    strategy = FeatureExtraction(FeatureExtractionSettings(copies=1))
    strategy.prepare(detector)
    frozen = [variable for layer in detector.backbone_layers for variable in layer.variables]
    before = [variable.numpy() for variable in frozen]
    learning = list(detector.trainable_variables)
    heads = [variable.numpy() for variable in learning]
    inputs = TrainingInputs(
        settings,
        LabelMap.of_names("ab"),
        AnnotatedRecords([squares("train", 5)], parse_clean_records),
        str(tmp_path / "kept"),
    )
    log = ProgressLog(str(tmp_path / "run"), steps=2, batch_size=4, line_every_seconds=1e9, history=[])
    train(
        detector,
        strategy.phases(detector, inputs),
        settings,
        evaluate=lambda: dict.fromkeys(COCO_METRICS, 0.5),
        checkpoints=CheckpointFolder(str(tmp_path / "checkpoint"), detector.variables),
        progress=Progress(),
        log=log,
    )
    assert strategy.finish(detector) is detector
    for variable, value in zip(frozen, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert sum(not np.array_equal(v.numpy(), value) for v, value in zip(learning, heads, strict=True)) > len(heads) / 2


def _program(records: str, folder: pathlib.Path, *kill_at: int) -> subprocess.CompletedProcess[str]:
    return run_forked(str(PROGRAM), records, str(folder), *map(str, kill_at))


def _weights(path: pathlib.Path) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return arrays


def test_killed_while_caching_and_while_training_it_ends_at_the_same_weights(
    tmp_path: pathlib.Path, squares: Squares
) -> None:
    records = squares("train", 20)
    undisturbed = _program(records, tmp_path / "undisturbed")
    assert undisturbed.returncode == 0, undisturbed.stderr
    assert _program(records, tmp_path / "killed", 25).returncode == -signal.SIGKILL
    second = _program(records, tmp_path / "killed", 0, 4)
    assert second.returncode == -signal.SIGKILL
    assert "of which 50% are there" in second.stdout
    last = _program(records, tmp_path / "killed")
    assert last.returncode == 0, last.stderr
    assert "augmented copies" not in last.stdout
    one, other = (_weights(tmp_path / name / "final.weights.h5") for name in ("undisturbed", "killed"))
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_allclose(values, other[name], rtol=1e-5, atol=1e-6, err_msg=name)
