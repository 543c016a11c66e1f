"""Two phases: what learns in each, from which objects, what is told, and that a kill changes nothing."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import signal
import subprocess
from collections.abc import Callable

import h5py
import keras
import numpy as np
import pydantic
import pytest

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.input.shots import NotEnoughShotsError
from components.trainer.settings import SamplingSettings, TrainSettings
from components.trainer.state.progress_log import HISTORY_FILE
from components.trainer.strategies.few_shot import FewShot
from components.trainer.strategies.settings.few_shot import FewShotSettings
from components.trainer.strategies.strategy import TrainingInputs
from components.user_error import UserError
from schema.label_map import LabelMap
from tests.components.trainer.strategies import resumable_few_shot
from tests.forked_program import run_forked
from tests.tiny_detectors import TINY_DETECTORS

PROGRAM = pathlib.Path(__file__).with_name("resumable_few_shot.py")
Squares = Callable[[str, int], str]


def small(**options: object) -> Detector:
    keras.utils.set_random_seed(0)
    return build_detector(
        "ssd_mobilenet_v2_fpnlite",
        num_classes=2,
        image_size=(64, 64),
        alpha=0.35,
        fpn_depth=16,
        num_head_layers=1,
        **options,
    )


def few_shot(**changes: object) -> FewShotSettings:
    return FewShotSettings.model_validate({"strategy": "few_shot", "novel_classes": ["green"], "shots": 2} | changes)


def inputs(records: str, folder: pathlib.Path) -> TrainingInputs:
    return TrainingInputs(
        TrainSettings(steps=10, batch_size=4, augmentation=None),
        LabelMap.of_names(["red", "green"]),
        AnnotatedRecords([records], parse_clean_records),
        str(folder),
    )


def test_a_linear_class_head_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.options to \{class_head: cosine\}"):
        FewShot(few_shot()).prepare(small())
    without = build_detector("dfine_nano", num_classes=2, image_size=(64, 64), **TINY_DETECTORS["dfine_nano"])
    with pytest.raises(ValueError, match="a class head by cosines, which dfine_nano has not"):
        FewShot(few_shot()).prepare(without)


def test_settings_refuse_a_class_twice_and_none() -> None:
    for names in (["green", "green"], []):
        with pytest.raises(pydantic.ValidationError, match="novel_classes"):
            few_shot(novel_classes=names)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"novel_classes": ["grean"]}, UserError, "found grean, but the data have red, green"),
        ({"novel_classes": ["green", "red"]}, UserError, "every class of the data is novel"),
        ({"shots": 6}, NotEnoughShotsError, "6 annotated objects .* has of red 5, green 5"),
    ],
)
def test_what_does_not_fit_the_data_ends_the_training_at_once(
    changes: dict[str, object], error: type[Exception], message: str, squares: Squares, tmp_path: pathlib.Path
) -> None:
    detector = small(class_head="cosine")
    with pytest.raises(error, match=message):
        next(FewShot(few_shot(**changes)).phases(detector, inputs(squares("train", 10), tmp_path)))


def test_base_classes_first_then_the_last_layers_on_shots_of_all(squares: Squares, tmp_path: pathlib.Path) -> None:
    detector = small(class_head="cosine")
    before = {key: np.array(variable) for key, variable in detector.zoo_variables().items()}
    phases = FewShot(few_shot(base_share=0.6)).phases(detector, inputs(squares("train", 10), tmp_path))

    base = next(phases)
    assert (base.name, base.steps, base.keeps, base.is_judged_first) == ("base", 6, "best", False)
    assert len(base.variables) == len(detector.trainable_variables)
    truth = next(iter(base.make_batches(0))).truth
    learnt = set(truth.classes.numpy()[truth.weights.numpy() > 0].tolist())
    ignored = set(truth.classes.numpy()[(truth.weights.numpy() == 0) & (truth.classes.numpy() >= 0)].tolist())
    assert (learnt, ignored) == ({0}, {1})

    shots = next(phases)
    assert (shots.name, shots.steps, shots.keeps) == ("shots", 4, "last")
    assert shots.class_groups == {"base": ["red"], "novel": ["green"]}
    assert {v.name for v in shots.variables} == {"depthwise_kernel", "pointwise_kernel", "bias"}
    assert len(shots.variables) == 6
    # By default nothing learns but the novel class's own columns: of six anchors, behind background and the base class.
    own = [np.tile(np.float32([0, 0, 1]), 6) if "pointwise" in v.name or "bias" in v.name else 0.0
           for v in detector.network.get_layer("class_head").variables]  # fmt: skip
    by_variable = dict(zip(map(id, shots.variables), shots.learning_rate_factors, strict=True))
    for variable, expected in zip(detector.network.get_layer("class_head").variables, own, strict=True):
        np.testing.assert_array_equal(by_variable[id(variable)], expected)
    assert [by_variable[id(v)] for v in detector.network.get_layer("box_head").variables] == [0.0] * 3
    assert next(phases, None) is None

    batches = list(shots.make_batches(0).take(3))
    images = {image.tobytes() for batch in batches for image in batch.images.numpy()}
    assert len(images) == 4
    after = {key: np.array(variable) for key, variable in detector.zoo_variables().items()}
    changed = {key for key in before if not np.array_equal(before[key], after[key])}
    assert changed <= detector.class_rows().keys()
    assert {key.rpartition("/")[2] for key in changed} >= {"pointwise_kernel"}
    # Background and the base class keep theirs.
    for key in changed:
        old, new = (one[key].reshape(*one[key].shape[:-1], 6, 3) for one in (before, after))
        np.testing.assert_allclose(new[..., :2], old[..., :2], rtol=1e-6)
    # A training that goes on has weights that have learnt since.
    shots.make_batches(2)
    for key, variable in detector.zoo_variables().items():
        np.testing.assert_array_equal(np.array(variable), after[key])


def test_start_weights_that_know_the_base_classes(squares: Squares, tmp_path: pathlib.Path) -> None:
    detector = small(class_head="cosine")
    phases = list(FewShot(few_shot(base_share=0.0)).phases(detector, inputs(squares("train", 10), tmp_path)))
    assert [(phase.name, phase.steps, phase.is_judged_first) for phase in phases] == [("shots", 10, True)]


def test_shots_are_shown_alike_and_mixed_as_long_as_the_training_says(squares: Squares, tmp_path: pathlib.Path) -> None:
    mosaics = AugmentationSettings(crop=0.0, zoom_out=0.0, mosaic=1.0, mixing_until=0.5, horizontal_flip=0.0)
    given = inputs(squares("train", 10), tmp_path)
    settings = given.settings.model_copy(
        update={"augmentation": mosaics, "sampling": SamplingSettings(repeat_threshold=1.0)}
    )
    detector = small(class_head="cosine")
    base, shots = FewShot(few_shot(base_share=0.6)).phases(detector, dataclasses.replace(given, settings=settings))
    objects = [(batch.truth.classes.numpy() >= 0).sum(axis=1).max() for batch in base.make_batches(0).take(6)]
    assert max(objects[:5]) > 1
    assert objects[5] == 1
    for batch in shots.make_batches(0).take(4):
        assert (batch.truth.classes.numpy() >= 0).sum(axis=1).tolist() == [1] * 4
        assert len({image.tobytes() for image in batch.images.numpy()}) == 4


def program(records: str, folder: pathlib.Path, *more: str) -> subprocess.CompletedProcess[str]:
    return run_forked(str(PROGRAM), records, str(folder), *more)


def weights(path: pathlib.Path) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return arrays


def test_a_killed_training_ends_where_an_undisturbed_one_does(squares: Squares, tmp_path: pathlib.Path) -> None:
    records = squares("train", 10)
    # At the first step of the second phase, whose start is lost, and after that.
    for kill_at_step in ("5", "8"):
        killed = program(records, tmp_path / "killed", kill_at_step)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert "starting at step 4, step 4 of phase 0" in killed.stdout
    resumed = program(records, tmp_path / "killed")
    assert resumed.returncode == 0, resumed.stderr
    assert "starting at step 7, step 3 of phase 1" in resumed.stdout
    resumable_few_shot.main(records, str(tmp_path / "undisturbed"), None)
    one, other = (weights(tmp_path / name / "final.weights.h5") for name in ("killed", "undisturbed"))
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=1e-3)
    history = [json.loads(line) for line in (tmp_path / "killed" / "run" / HISTORY_FILE).read_text().splitlines()]
    told = [(entry["step"], entry["phase"], entry["groups"]) for entry in history if "AP" in entry]
    assert told[0] == (4, "base", {group: {"AP": 0.4, "AP50": 0.4} for group in ("base", "novel")})
    assert [(step, phase) for step, phase, _ in told] == [(4, "base"), (8, "shots"), (10, "shots")]
