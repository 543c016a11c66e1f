"""``domain_adversarial``, ``mean_teacher`` and both together, run through the loop."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.state.progress_log import HISTORY_FILE
from components.trainer.strategies.mean_teacher import MeanTeacher, UnknownClassError
from components.trainer.strategies.settings.mean_teacher import MeanTeacherSettings
from components.trainer.strategies.strategy import TrainingInputs
from components.trainer.train_step import TrainStep
from schema.label_map import LabelMap
from tests.components.trainer.strategies import adaptation_run
from tests.components.trainer.tiny_detector import TinyDetector
from tests.forked_program import run_forked

PROGRAM = pathlib.Path(adaptation_run.__file__)

ADVERSARIAL = {"strategy": "domain_adversarial", "reversal_weight": 0.5, "reversal_schedule": "constant"}
TEACHER = {"strategy": "mean_teacher", "score_threshold": 0.3, "burn_in_share": 0.5, "teacher_momentum": 0.8}
BOTH = TEACHER | {"adversarial": {"reversal_weight": 0.5}}
Records = tuple[str, str]


@pytest.fixture
def records(
    write_records: Callable[..., str],
    make_record: Callable[..., bytes],
    make_square: Callable[..., tuple[bytes, list[float], int]],
) -> Records:
    """Annotated images, and images without annotations."""
    source = [make_record(*_annotated(make_square(number), number)) for number in range(8)]
    target = [make_record(make_square(number)[0], f"target/{number}", [], []) for number in range(20, 28)]
    return write_records("train", source), write_records("target", target)


def _annotated(square: tuple[bytes, list[float], int], number: int) -> tuple[bytes, str, list[list[float]], list[int]]:
    encoded, box, class_index = square
    return encoded, f"{number}", [box], [class_index]


def weights(folder: pathlib.Path) -> list[np.ndarray]:
    return list(np.load(folder / "final.npz").values())


def history(folder: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "run" / HISTORY_FILE).read_text().splitlines()]


def program(
    strategy: Mapping[str, Any], records: Records, folder: pathlib.Path, *more: str
) -> subprocess.CompletedProcess[str]:
    return run_forked(str(PROGRAM), json.dumps(strategy), *records, str(folder), *more)


@pytest.mark.parametrize("strategy", [ADVERSARIAL, TEACHER, BOTH], ids=["adversarial", "teacher", "both"])
def test_a_killed_training_ends_where_an_undisturbed_one_does(
    strategy: Mapping[str, Any], records: Records, tmp_path: pathlib.Path
) -> None:
    killed = program(strategy, records, tmp_path / "killed", "7")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = program(strategy, records, tmp_path / "killed")
    assert resumed.returncode == 0, resumed.stderr
    assert "starting at step 6" in resumed.stdout
    adaptation_run.main(strategy, *records, str(tmp_path / "undisturbed"))
    for one, other in zip(weights(tmp_path / "killed"), weights(tmp_path / "undisturbed"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    for one, other in zip(history(tmp_path / "killed"), history(tmp_path / "undisturbed"), strict=True):
        assert one.get("losses", {}) == pytest.approx(other.get("losses", {}), rel=1e-2, abs=1e-4)
        assert one.get("measures", {}) == pytest.approx(other.get("measures", {}), rel=1e-2, abs=1e-2)


def test_the_domain_accuracy_and_the_weight_are_in_the_history(records: Records, tmp_path: pathlib.Path) -> None:
    adaptation_run.main(ADVERSARIAL, *records, str(tmp_path))
    entries = [entry for entry in history(tmp_path) if "losses" in entry]
    assert len(entries) == adaptation_run.SETTINGS.steps
    for entry in entries:
        assert 0.0 <= entry["measures"]["domain_accuracy"] <= 1.0
        assert entry["measures"]["reversal_weight"] == 0.5
        assert entry["losses"]["domain_image"] > 0.0


def test_with_a_reversal_weight_of_0_what_is_learnt_is_what_the_source_teaches(
    records: Records, tmp_path: pathlib.Path
) -> None:
    """All that is trained by gradients. The moving statistics of batch normalisation follow both domains, as meant."""
    alone = adaptation_run.main({"strategy": "fine_tune"}, records[0], None, str(tmp_path / "source"))
    zero = adaptation_run.main(ADVERSARIAL | {"reversal_weight": 0.0}, *records, str(tmp_path / "zero"))
    half = adaptation_run.main(ADVERSARIAL, *records, str(tmp_path / "half"))
    # Of fine_tune the first evaluation is the best here, of the adaptation the last weights are kept.
    assert alone.trainable_variables
    lasts = [np.load(tmp_path / name / "checkpoint" / "state.npz") for name in ("source", "zero", "half")]
    names = [f"weight/{index:05d}" for index, variable in enumerate(alone.variables) if variable.trainable]
    for name in names:
        np.testing.assert_allclose(lasts[0][name], lasts[1][name], atol=1e-6)
    assert max(np.abs(lasts[0][name] - lasts[2][name]).max() for name in names) > 1e-4
    assert len(zero.trainable_variables) == len(half.trainable_variables) == len(names)


def test_the_weights_that_are_kept_are_the_last(records: Records, tmp_path: pathlib.Path) -> None:
    """Although AP on the source falls."""
    adaptation_run.main(BOTH, *records, str(tmp_path))
    with np.load(tmp_path / "checkpoint" / "state.npz") as state:
        for index, value in enumerate(weights(tmp_path)):
            np.testing.assert_array_equal(state[f"weight/{index:05d}"], value)


def test_teacher_and_student_are_two_and_either_may_be_exported(records: Records, tmp_path: pathlib.Path) -> None:
    finals = {}
    for export in ("teacher", "student"):
        adaptation_run.main(TEACHER | {"export": export}, *records, str(tmp_path / export))
        with np.load(tmp_path / export / "checkpoint" / "state.npz") as state:
            helpers = [state[name] for name in sorted(state) if name.startswith("phase/")]
            finals[export] = weights(tmp_path / export), helpers[-len(weights(tmp_path / export)) :]
    for (exported, _), (_, helper) in (
        (finals["teacher"], finals["student"]),
        (finals["student"], finals["teacher"]),
    ):
        for one, other in zip(exported, helper, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
    differences = [np.abs(a - b).max() for a, b in zip(*finals["teacher"], strict=True)]
    assert max(differences) > 1e-4


def test_target_images_without_a_sure_detection_teach_nothing(records: Records, tmp_path: pathlib.Path) -> None:
    adaptation_run.main(TEACHER | {"score_threshold": 1.0}, *records, str(tmp_path))
    entries = [entry for entry in history(tmp_path) if "measures" in entry]
    assert len(entries) == 4
    for entry in entries:
        assert entry["measures"]["pseudo_labelled_images"] == 0.0
        assert entry["losses"]["target_classification"] == 0.0


def test_pseudo_labels_teach(records: Records, tmp_path: pathlib.Path) -> None:
    adaptation_run.main(TEACHER | {"score_threshold": 0.0, "ignored_from": 0.0}, *records, str(tmp_path))
    entries = [entry for entry in history(tmp_path) if "measures" in entry]
    assert {entry["measures"]["pseudo_labelled_images"] for entry in entries} == {1.0}
    assert min(entry["losses"]["target_classification"] for entry in entries) > 0.0
    assert [entry["phase"] for entry in history(tmp_path) if "losses" in entry] == ["burn_in"] * 4 + [
        "mean_teacher"
    ] * 4


def test_a_threshold_for_a_class_that_is_not_there_is_told(records: Records, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UnknownClassError, match=r"there is no class 'blue'; the classes are green, red"):
        adaptation_run.main(TEACHER | {"class_score_thresholds": {"blue": 0.5}}, *records, str(tmp_path))


@pytest.mark.parametrize("parts", [1, 2])
def test_the_teacher_moves_once_a_step_in_however_many_parts_its_batch_is_computed(
    parts: int, records: Records, tmp_path: pathlib.Path
) -> None:
    detector = TinyDetector()
    settings = adaptation_run.SETTINGS.model_copy(update={"batch_parts": parts})
    source, target = (AnnotatedRecords([of_domain], parse_clean_records) for of_domain in records)
    inputs = TrainingInputs(settings, LabelMap.of_names(["green", "red"]), source, str(tmp_path), target_records=target)
    chosen = MeanTeacherSettings(burn_in_share=0.0, teacher_momentum=0.9)
    _, phase = MeanTeacher(chosen).phases(detector, inputs)
    student = phase.variables[0]
    student.assign_add(tf.ones_like(student))
    expected = detector.trainable_variables[0].numpy() + 0.1
    step = TrainStep(
        phase.losses,
        phase.variables,
        keras.optimizers.SGD(0.0),
        phase.make_batches(0).element_spec,
        phase.measures,
        state=[*detector.variables, *phase.helpers],
        parts=parts,
    )
    step(next(iter(phase.make_batches(0))))
    np.testing.assert_allclose(detector.trainable_variables[0].numpy(), expected, atol=1e-5)
