"""The loop: resuming after a kill, stopping, keeping the best."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.structures import GroundTruth
from components.evaluator.coco import COCO_METRICS
from components.trainer.input.input_pipeline import TrainingBatch
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.settings import TrainSettings
from components.trainer.state.checkpoint import CheckpointFolder, Progress
from components.trainer.state.progress_log import HISTORY_FILE, ProgressLog, evaluations_left
from components.trainer.strategies.fine_tune import FineTune
from components.trainer.strategies.settings.fine_tune import FineTuneSettings
from components.trainer.strategies.strategy import Phase, Strategy, TrainingInputs
from components.trainer.strategies.supervised import detection_losses
from components.trainer.training_loop import NonFiniteLossError, TrainingInterrupted, train
from schema.label_map import LabelMap
from tests.components.trainer import resumable_training
from tests.components.trainer.one_batch import OneBatch
from tests.components.trainer.tiny_detector import TinyDetector
from tests.forked_program import run_forked

PROGRAM = pathlib.Path(__file__).with_name("resumable_training.py")
Squares = Callable[[str, int], str]


@dataclasses.dataclass
class Run:
    """One call of ``train`` and what is left of it."""

    detector: TinyDetector
    folder: pathlib.Path
    batch: TrainingBatch
    progress: Progress = dataclasses.field(default_factory=Progress)
    strategy: Strategy = dataclasses.field(default_factory=lambda: FineTune(FineTuneSettings()))

    def __call__(self, settings: TrainSettings, average_precisions: Iterator[float] | None = None) -> None:
        self.checkpoints = CheckpointFolder(str(self.folder / "checkpoint"), self.detector.variables)
        scores = average_precisions or iter([0.5] * 100)
        log = ProgressLog(
            str(self.folder / "run"),
            steps=settings.steps,
            batch_size=settings.batch_size,
            line_every_seconds=1e9,
            history=self.progress.history,
        )
        records = OneBatch((), parse_clean_records, batch=self.batch)
        inputs = TrainingInputs(settings, LabelMap.of_names("ab"), records, str(self.folder / "kept"))
        train(
            self.detector,
            self.strategy.phases(self.detector, inputs),
            settings,
            evaluate=lambda: dict.fromkeys(COCO_METRICS, next(scores)),
            checkpoints=self.checkpoints,
            progress=self.progress,
            log=log,
        )

    def history(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "run" / HISTORY_FILE).read_text().splitlines()]


@pytest.fixture(scope="module")
def batch() -> TrainingBatch:
    """Four images of which each shows one class."""
    images = tf.random.stateless_uniform((4, *TinyDetector.image_size, 3), (0, 1), 0, 256, tf.int32)
    boxes = tf.constant([[[0.2, 0.2, 0.7, 0.7]]] * 4)
    truth = GroundTruth(boxes, tf.constant([[0], [1], [0], [1]]), tf.ones((4, 1)), tf.ones((4, 2)))
    as_they_are = tf.concat([tf.eye(3, batch_shape=[4]), tf.zeros((4, 1, 3))], axis=1)
    return TrainingBatch(tf.cast(images, tf.uint8), as_they_are, truth)


@pytest.fixture
def run(tmp_path: pathlib.Path, batch: TrainingBatch) -> Run:
    keras.utils.set_random_seed(0)
    return Run(TinyDetector(), tmp_path, batch)


def settings(**changes: Any) -> TrainSettings:
    return TrainSettings.model_validate({"steps": 6, "batch_size": 4, "evaluate_every": 2} | changes)


def program(strategy: str, records: str, folder: pathlib.Path, *more: str) -> subprocess.CompletedProcess[str]:
    return run_forked(str(PROGRAM), strategy, records, str(folder), *more)


def helpers(folder: pathlib.Path) -> dict[str, np.ndarray]:
    path = folder / "helpers.npz"
    return dict(np.load(path)) if path.exists() else {}


def weights(path: pathlib.Path) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return arrays


@pytest.mark.parametrize(
    ("strategy", "phases"), [("helpers", ("heads", "all")), ("stages", ("fine_tune 1/2", "fine_tune 2/2"))]
)
def test_a_killed_training_ends_where_an_undisturbed_one_does(
    squares: Squares, tmp_path: pathlib.Path, strategy: str, phases: tuple[str, str]
) -> None:
    records = squares("train", 10)
    # In its first phase, then in the second.
    for kill_at_step in ("3", "8"):
        killed = program(strategy, records, tmp_path / "killed", kill_at_step)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert "starting at step 2, step 2 of phase 0" in killed.stdout
    resumed = program(strategy, records, tmp_path / "killed")
    assert resumed.returncode == 0, resumed.stderr
    assert "starting at step 7, step 3 of phase 1" in resumed.stdout
    resumable_training.main(strategy, records, str(tmp_path / "undisturbed"), None)

    histories = [
        [json.loads(line) for line in (tmp_path / name / "run" / HISTORY_FILE).read_text().splitlines()]
        for name in ("killed", "undisturbed")
    ]
    for key in ("step", "phase"):
        assert [entry[key] for entry in histories[0]] == [entry[key] for entry in histories[1]]
    assert [entry["phase"] for entry in histories[0] if "losses" in entry] == [phases[0]] * 4 + [phases[1]] * 6
    for one, other in zip(*histories, strict=True):
        assert one.keys() == other.keys()
        if "losses" in one:
            assert one["losses"] == pytest.approx(other["losses"], rel=1e-3)
    for one, other in (
        [weights(tmp_path / name / "final.weights.h5") for name in ("killed", "undisturbed")],
        [helpers(tmp_path / name) for name in ("killed", "undisturbed")],
    ):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_allclose(one[name], other[name], atol=1e-3)


def test_termination_leaves_a_checkpoint(run: Run) -> None:
    def terminated() -> Iterator[float]:
        yield 0.5
        os.kill(os.getpid(), signal.SIGTERM)
        yield 0.6

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TrainingInterrupted, match="step 4"):
        run(settings(), terminated())
    assert signal.getsignal(signal.SIGTERM) == before
    found = run.checkpoints.restore()
    assert found is not None
    assert found.step == 4
    run.progress = found
    run(settings())
    assert [entry["step"] for entry in run.history() if "AP" in entry] == [2, 4, 6]


class Phases(Strategy):
    """Fine-tuning cut into phases of so many steps; what is in ``killed`` ends the training where that phase begins."""

    def __init__(self, *steps: int, patience: int | None = None) -> None:
        self.steps, self.patience = steps, patience
        self.killed: set[int] = set()

    def prepare(self, detector: TinyDetector) -> None:
        """Nothing."""

    def phases(self, detector: TinyDetector, inputs: TrainingInputs) -> Iterator[Phase]:
        for number, steps in enumerate(self.steps):
            if number in self.killed:
                self.killed.remove(number)
                raise KeyboardInterrupt
            yield Phase(
                f"phase {number}",
                steps,
                inputs.settings.optimizer,
                functools.partial(inputs.records.training_batches, detector, inputs.settings),
                detection_losses(detector),
                detector.trainable_variables,
                early_stopping_patience=self.patience,
            )


def phases_of(run: Run) -> list[tuple[int, str]]:
    return [(entry["step"], entry["phase"]) for entry in run.history() if "AP" in entry]


def test_a_training_killed_between_phases_begins_with_the_next(run: Run) -> None:
    strategy = run.strategy = Phases(2, 3)
    strategy.killed.add(1)
    with pytest.raises(KeyboardInterrupt):
        run(settings(steps=5, evaluate_every=100))
    found = run.checkpoints.restore()
    assert found is not None
    assert (found.phase, found.phase_step) == (0, 2)
    run.progress = found
    run(settings(steps=5, evaluate_every=100))
    assert phases_of(run) == [(2, "phase 0"), (5, "phase 1")]
    assert run.progress.phase == 2


def test_a_phase_that_stopped_early_is_over_after_a_kill_and_the_next_has_patience_anew(run: Run) -> None:
    strategy = run.strategy = Phases(9, 3)
    strategy.killed.add(1)
    few = settings(steps=12, evaluate_every=1, early_stopping_patience=2)
    with pytest.raises(KeyboardInterrupt):
        run(few, iter([0.5, 0.4, 0.3]))
    found = run.checkpoints.restore()
    assert found is not None
    run.progress = found
    run(few, iter([0.4, 0.6, 0.5]))
    assert phases_of(run) == [(step, f"phase {int(step > 3)}") for step in range(1, 7)]
    assert run.progress.best_step == 5


def test_termination_between_phases_leaves_a_checkpoint(run: Run) -> None:
    run.strategy = Phases(2, 2)

    def terminated() -> Iterator[float]:
        os.kill(os.getpid(), signal.SIGTERM)
        yield 0.5

    with pytest.raises(TrainingInterrupted, match="step 2"):
        run(settings(steps=4, evaluate_every=100), terminated())
    found = run.checkpoints.restore()
    assert found is not None
    run.progress = found
    run(settings(steps=4, evaluate_every=100))
    assert phases_of(run) == [(2, "phase 0"), (4, "phase 1")]


def test_termination_while_a_phase_makes_its_batches_does_not_wait_for_them(run: Run) -> None:
    class Slow(FineTune):
        def phases(self, detector: Detector, inputs: TrainingInputs) -> Iterator[Phase]:
            def make_batches(start_step: int) -> tf.data.Dataset:
                os.kill(os.getpid(), signal.SIGTERM)
                raise AssertionError("hours of work")

            (phase,) = super().phases(detector, inputs)
            yield dataclasses.replace(phase, make_batches=make_batches)

    run.strategy = Slow(FineTuneSettings())
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TrainingInterrupted, match="asked to end at step 0"):
        run(settings())
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_phase_of_no_steps_changes_nothing(run: Run) -> None:
    run.strategy = Phases(0, 2, 0, 2)
    run(settings(steps=4, evaluate_every=100))
    assert phases_of(run) == [(2, "phase 1"), (4, "phase 3")]


@pytest.mark.parametrize(("steps", "taken"), [((2, 3), 5), ((2, 5), 2)])
def test_phases_of_more_or_fewer_steps_than_the_training_are_refused(
    run: Run, steps: tuple[int, int], taken: int
) -> None:
    run.strategy = Phases(*steps)
    with pytest.raises(ValueError, match=f"add up to train.steps = 6, found {sum(steps)}"):
        run(settings(evaluate_every=100))
    assert run.progress.step == taken


def test_patience_is_of_the_phase_and_the_best_is_of_all(run: Run) -> None:
    run.strategy = Phases(3, 6, patience=2)
    # The second phase begins below what the first has reached, and catches up while its own AP rises.
    run(
        settings(steps=9, evaluate_every=1, early_stopping_patience=1),
        iter([0.4, 0.5, 0.7, 0.2, 0.3, 0.6, 0.5, 0.4]),
    )
    assert run.progress.step == 8
    assert run.progress.best_step == 3


def test_the_best_weights_are_kept(run: Run) -> None:
    seen = []

    def scores() -> Iterator[float]:
        for score in (0.3, 0.7, 0.5):
            seen.append([v.numpy() for v in run.detector.trainable_variables])
            yield score

    run(settings(), scores())
    assert run.progress.best_step == 4
    for variable, value in zip(run.detector.trainable_variables, seen[1], strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


class Adapting(Strategy):
    """Fine-tuning that measures something beside its losses, and whose last weights are those that count."""

    def prepare(self, detector: TinyDetector) -> None:
        """Nothing."""

    def phases(self, detector: TinyDetector, inputs: TrainingInputs) -> Iterator[Phase]:
        losses = detection_losses(detector)
        yield Phase(
            "adapting",
            inputs.settings.steps,
            inputs.settings.optimizer,
            functools.partial(inputs.records.training_batches, detector, inputs.settings),
            lambda batch: losses(batch) | {"half": tf.constant(0.5)},
            detector.trainable_variables,
            measures=("half",),
            keeps="last",
        )


def test_measures_stand_beside_the_losses_and_are_not_minimised(run: Run) -> None:
    run.strategy = Adapting()
    run(settings())
    entries = [entry for entry in run.history() if "losses" in entry]
    assert {entry["measures"]["half"] for entry in entries} == {0.5}
    for parts in (entry["losses"] for entry in entries):
        assert "half" not in parts
        assert parts["total"] == pytest.approx(sum(v for k, v in parts.items() if k != "total"), rel=1e-3)


def test_a_phase_may_keep_its_last_weights(run: Run) -> None:
    run.strategy = Adapting()
    run(settings(early_stopping_patience=1), iter([0.7, 0.5, 0.3]))
    assert run.progress.step == run.progress.best_step == 6


def test_a_momentum_too_slow_for_the_steps_is_said_once(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(settings(evaluate_every=2))
    assert capsys.readouterr().out.count("set model.options.batch_norm_momentum to 0.31 or less") == 1


def test_patience(run: Run) -> None:
    run(settings(steps=40, early_stopping_patience=2), iter([0.3, 0.7, 0.5, 0.7, 0.9]))
    assert run.progress.step == 8
    assert run.progress.best_step == 4


def test_an_eval_split_without_objects_keeps_the_latest(run: Run) -> None:
    run(settings(early_stopping_patience=1), iter([float("nan")] * 3))
    assert run.progress.step == run.progress.best_step == 6
    assert run.history()[-1]["AP"] is None


def test_a_loss_that_is_no_number_ends_the_training(run: Run) -> None:
    wild = {"learning_rate": 1e30, "warmup_share": 0.0, "clip_norm": None, "name": "sgd"}
    with pytest.raises(NonFiniteLossError, match=r"before step \d+ .*total nan.*learning_rate"):
        run(settings(optimizer=wild))


class Faulty(Strategy):
    """Its loss is finite, its gradient is not: the root of 0 at 0."""

    def prepare(self, detector: Detector) -> None:
        """Nothing."""

    def phases(self, detector: Detector, inputs: TrainingInputs) -> Iterator[Phase]:
        batches = functools.partial(inputs.records.training_batches, detector, inputs.settings)
        learning = detector.trainable_variables[:1]

        def losses(batch: TrainingBatch) -> dict[str, tf.Tensor]:
            return {"root": tf.sqrt(0.0 * tf.reduce_sum(learning[0]))}

        yield Phase("faulty", inputs.settings.steps, inputs.settings.optimizer, batches, losses, learning)


def test_a_gradient_that_is_no_number_ends_the_training_before_a_checkpoint(run: Run) -> None:
    run.strategy = Faulty()
    with pytest.raises(
        NonFiniteLossError, match=r"gradient of the loss is .* before step 1 \(root -?0.0, total -?0.0\)"
    ):
        run(settings())
    assert run.checkpoints.restore() is None


def test_averaged_weights_are_evaluated_and_kept(run: Run) -> None:
    seen = []

    def scores() -> Iterator[float]:
        for score in (0.3, 0.4, 0.5):
            seen.append([v.numpy() for v in run.detector.trainable_variables])
            yield score

    run(settings(optimizer={"ema_momentum": 0.9}), scores())
    for variable, value in zip(run.detector.trainable_variables, seen[-1], strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_history_has_losses_speed_and_metrics(run: Run) -> None:
    run(settings())
    losses = [entry for entry in run.history() if "losses" in entry]
    assert [entry["step"] for entry in losses] == [1, 2, 3, 4, 5, 6]
    parts = losses[-1]["losses"]
    assert parts["total"] == pytest.approx(sum(v for k, v in parts.items() if k != "total"), rel=1e-3)
    assert losses[-1]["images_per_second"] > 0
    assert list((run.folder / "run").glob("events.out.tfevents.*"))


def test_a_checkpoint_that_cannot_be_written_stops_nothing(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    # A file where the folder should be, as the nearest thing to a full disk.
    (run.folder / "checkpoint").write_text("in the way")
    run(settings())
    assert run.progress.step == 6
    assert "could not be written" in capsys.readouterr().out


def test_a_checkpoint_of_other_code_is_refused(run: Run) -> None:
    run(settings())
    run.checkpoints.save(run.progress, run.detector.variables[:2])
    other = CheckpointFolder(run.checkpoints.folder, run.detector.variables[:3])
    with pytest.raises(ValueError, match=r"weight variables that do not fit the 3 .*Delete the folder"):
        other.restore()
    with pytest.raises(ValueError, match=r"holds 2 phase variables that do not fit the 1 .*Delete the folder"):
        other.restore_phase(run.detector.variables[:1])
    run.checkpoints.remove()
    assert run.checkpoints.restore() is None


def test_a_checkpoint_that_cannot_be_read_is_none(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(settings())
    run.checkpoints.save(run.progress, [])
    for state in pathlib.Path(run.checkpoints.folder).glob("*.npz"):
        state.write_bytes(state.read_bytes()[:-100])
    assert run.checkpoints.restore() is None
    assert not run.checkpoints.restore_best()
    assert "cannot be read and is not used" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("step", "steps", "interval", "left"), [(0, 10, 4, 3), (4, 10, 4, 2), (8, 10, 4, 1), (10, 10, 4, 0), (0, 8, 4, 2)]
)
def test_evaluations_left(step: int, steps: int, interval: int, left: int) -> None:
    assert evaluations_left(step, steps, interval) == left
