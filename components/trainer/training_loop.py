"""The training: the phases of a strategy, their steps, evaluations, checkpoints, and when to stop.

A loop of our own rather than ``keras.Model.fit``: it counts steps instead of epochs, goes on after a kill at the very
batch it had reached, keeps the best weights by the COCO metric, and shows the parts of the loss.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from components.detector.detector import Detector
from components.trainer.batch_norm_lag import BatchNormLag
from components.trainer.input.input_pipeline import iterate
from components.trainer.optimizer import averaged_weights, make_optimizer
from components.trainer.replicas import ONE_DEVICE, Replicas
from components.trainer.settings import TrainSettings
from components.trainer.state.checkpoint import CheckpointFolder, Progress
from components.trainer.state.progress_log import ProgressLog, evaluations_left
from components.trainer.strategies.strategy import Phase
from components.trainer.train_step import TrainStep
from components.user_error import UserError

_HISTORY_POINTS = 200
"""About as many lines of losses a training writes."""


class NonFiniteLossError(UserError):
    """The loss or its gradient became infinite or not a number."""


class TrainingInterrupted(SystemExit):
    """The process was asked to end (SIGTERM, SIGINT); a checkpoint was written."""


def train(
    detector: Detector,
    phases: Iterable[Phase],
    settings: TrainSettings,
    *,
    evaluate: Callable[[], dict[str, float]],
    checkpoints: CheckpointFolder,
    progress: Progress,
    log: ProgressLog,
    replicas: Replicas = ONE_DEVICE,
) -> None:
    """Trains from ``progress`` to the end and leaves the best weights (see ``Phase.keeps``) in the detector.

    Args:
      detector: what is trained, with the weights of ``progress``.
      phases: those of the strategy, all of them; the ones that are over are skipped.
      settings: steps, intervals, patience.
      evaluate: metrics with the weights as they are.
      checkpoints: where the state is kept.
      progress: where to begin; kept up to date.
      log: told what happens.
      replicas: the devices and workers that share every batch.

    Raises:
      NonFiniteLossError: the loss or its gradient is infinite or not a number.
      ValueError: the steps of the phases do not add up to those of the settings.
      TrainingInterrupted: the process was asked to end.
      UnusableRecordError: a batch cannot be made.
      WorkerGoneError: another worker does not answer any more.
    """
    planned = 0
    with _termination() as asked_to_end, replicas.watched():
        training = _Training(detector, settings, evaluate, checkpoints, progress, log, asked_to_end, replicas)
        for number, phase in enumerate(phases):
            planned += phase.steps
            if planned > settings.steps:
                raise _not_all_steps(planned, settings)
            if number == progress.phase:
                training.run(phase)
                progress.begin_next_phase()
    # A strategy may have nothing that learns by steps.
    if planned not in (0, settings.steps):
        raise _not_all_steps(planned, settings)
    if checkpoints.restore_best():
        log.message(f"the weights kept are those of step {progress.best_step} (AP {progress.best_ap:.4f})")


@dataclasses.dataclass
class _Training:
    """What is the same in all phases; see ``train``."""

    detector: Detector
    settings: TrainSettings
    evaluate: Callable[[], dict[str, float]]
    checkpoints: CheckpointFolder
    progress: Progress
    log: ProgressLog
    asked_to_end: _Termination
    replicas: Replicas
    has_warned: bool = False
    patience: int | None = None

    def run(self, phase: Phase) -> None:
        """The steps of a phase from ``progress`` on, with an evaluation after the last."""
        settings, progress, log = self.settings, self.progress, self.log
        self.patience = phase.early_stopping_patience or settings.early_stopping_patience
        first_step = progress.step
        log.begin_phase(phase.name, phase.steps, len(phase.variables))
        if phase.is_judged_first and not progress.phase_step:
            self._measure(phase)
        # Before the optimizer, which may keep an average of the weights: a phase may change them for its first batch.
        # It may take hours over what it keeps for itself, and there is nothing new for a checkpoint.
        with self.asked_to_end.at_once(self._interrupted()):
            dataset = phase.make_batches(progress.phase_step)
        optimizer = make_optimizer(
            phase.optimizer,
            phase.variables,
            steps=phase.steps,
            default_name=self.detector.default_optimizer,
            precision=settings.precision,
            rate_factors=phase.learning_rate_factors,
        )
        state = [*optimizer.variables, *phase.helpers]
        if progress.phase_step:
            self.checkpoints.restore_phase(state)
        batches = iterate(dataset)
        step = TrainStep(
            phase.losses,
            phase.variables,
            optimizer,
            dataset.element_spec,
            phase.measures,
            state=[*self.detector.variables, *phase.helpers],
            replicas=self.replicas,
            parts=settings.batch_parts,
        )
        lag = BatchNormLag(self.detector)
        log_interval = max(1, settings.steps // _HISTORY_POINTS)
        last_checkpoint = time.monotonic()
        while progress.phase_step < phase.steps and not self._out_of_patience():
            if self.asked_to_end.is_set():
                raise self._interrupted()
            step(next(batches))
            progress.step += 1
            progress.phase_step += 1
            at_end = progress.phase_step == phase.steps
            if progress.step == first_step + 1:
                # The first step compiles.
                log.start_clock(progress.step)
            if progress.step % log_interval == 0 or at_end:
                _check(step, progress.step)
                log.losses(progress.step, step.mean_losses(), float(optimizer.learning_rate), phase.measures)
            evaluated = progress.step % settings.evaluation_interval == 0 or at_end
            if evaluated:
                _check(step, progress.step)
                with averaged_weights(optimizer, phase.variables, phase.optimizer):
                    self._evaluate(phase)
                self._warn_of(lag, progress.step - first_step)
                log.start_clock(progress.step)
            due = time.monotonic() - last_checkpoint >= settings.checkpoint_every_seconds
            if evaluated or due or self.asked_to_end.is_set():
                _check(step, progress.step)
                self.checkpoints.save(progress, state)
                last_checkpoint = time.monotonic()
        if self._out_of_patience():
            log.message(
                f"{phase.name} stopped early at step {progress.step}: no better AP in "
                f"{progress.evaluations_without_gain} evaluations"
            )

    def _interrupted(self) -> TrainingInterrupted:
        return TrainingInterrupted(
            f"asked to end at step {self.progress.step}; the same training started again goes on from there "
            f"({self.checkpoints.folder})"
        )

    def _out_of_patience(self) -> bool:
        return self.patience is not None and self.progress.evaluations_without_gain >= self.patience

    def _warn_of(self, lag: BatchNormLag, steps: int) -> None:
        warning = None if self.has_warned else lag.warning(steps, self.settings.steps - self.progress.step)
        if warning is not None:
            self.has_warned = True
            self.log.message(warning)

    def _measure(self, phase: Phase) -> dict[str, float]:
        settings, progress = self.settings, self.progress
        start = time.monotonic()
        metrics = self.evaluate()
        left = evaluations_left(progress.step, settings.steps, settings.evaluation_interval)
        self.log.evaluation(progress.step, metrics, time.monotonic() - start, left, phase.class_groups)
        return metrics

    def _evaluate(self, phase: Phase) -> None:
        progress = self.progress
        metrics = self._measure(phase)
        # Without an object in the eval split there is no AP; then the latest weights are as good as any.
        latest = math.isnan(metrics["AP"]) or phase.keeps == "last"
        average_precision = metrics["AP"] if not math.isnan(metrics["AP"]) else 0.0
        # Patience is with the phase (one that begins with a warm-up may have to catch up); the best is that of all.
        if latest or progress.phase_best_ap is None or average_precision > progress.phase_best_ap:
            progress.phase_best_ap, progress.evaluations_without_gain = average_precision, 0
        else:
            progress.evaluations_without_gain += 1
        better = latest or progress.best_ap is None or average_precision > progress.best_ap
        if better and self.checkpoints.save_best():
            progress.best_ap, progress.best_step = average_precision, progress.step


def _check(step: TrainStep, number: int) -> None:
    wrong = step.non_finite()
    if wrong is not None:
        raise NonFiniteLossError(
            f"the {wrong} is infinite or not a number at or shortly before step {number} "
            f"({', '.join(f'{name} {value}' for name, value in step.mean_losses().items())}). "
            "Lower train.optimizer.learning_rate, lengthen train.optimizer.warmup_share, set train.optimizer.clip_norm "
            "or compute with train.precision: float32; the last checkpoint is from before"
        )


def _not_all_steps(planned: int, settings: TrainSettings) -> ValueError:
    return ValueError(
        f"transfer: the phases of the strategy have to add up to train.steps = {settings.steps}, found {planned}"
    )


class _Termination:
    """Whether the process was asked to end."""

    def __init__(self) -> None:
        self._is_asked = False
        self._to_raise: TrainingInterrupted | None = None

    def is_set(self) -> bool:
        """Asked, since training began."""
        return self._is_asked

    def set(self) -> None:
        """It is asked now."""
        self._is_asked = True
        if self._to_raise is not None:
            raise self._to_raise

    @contextlib.contextmanager
    def at_once(self, error: TrainingInterrupted) -> Iterator[None]:
        """Within it, being asked raises the error wherever the process is; having been asked does so at its start."""
        if self._is_asked:
            raise error
        self._to_raise = error
        try:
            yield
        finally:
            self._to_raise = None


@contextlib.contextmanager
def _termination(signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT)) -> Iterator[_Termination]:
    """Tells when the process is asked to end; a second time it ends at once."""
    asked = _Termination()
    if threading.current_thread() is not threading.main_thread():
        # Python delivers signals to the main thread alone; whoever runs us elsewhere has to stop us otherwise.
        yield asked
        return
    previous = {number: signal.getsignal(number) for number in signals}

    def ask(number: int, _: object) -> None:
        signal.signal(number, previous[signal.Signals(number)] or signal.SIG_DFL)
        asked.set()

    for number in signals:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler or signal.SIG_DFL)
