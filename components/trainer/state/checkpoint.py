"""What a training needs to go on after it was killed, in one file.

One file, written beside and renamed, is either the old or the new state, never a mixture. It lies outside of the
pipeline's artifacts, because TFX gives every new execution new ones: in a folder named after a fingerprint of inputs
and settings, so that the same training, started again, finds it, and no other does.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.atomic_files import write_atomically

_STATE_FILE = "state.npz"
_BEST_FILE = "best.npz"
_PROGRESS_KEY = "progress"
_WEIGHTS = "weight"
_PHASE_STATE = "phase"


@dataclasses.dataclass
class Progress:
    """Where a training stands.

    Attributes:
      step: steps done, of all phases.
      phase: the phase it is in, counted from 0.
      phase_step: steps done of that phase.
      best_ap: of the weights kept as the best; None before the first evaluation.
      best_step: when it was reached.
      phase_best_ap: the best AP in this phase; None before its first evaluation.
      evaluations_without_gain: since that AP.
      history: entries of ``training_history.jsonl`` so far.
      start_weights: what became of the variables when the training started, as text.
    """

    step: int = 0
    phase: int = 0
    phase_step: int = 0
    best_ap: float | None = None
    best_step: int = 0
    phase_best_ap: float | None = None
    evaluations_without_gain: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    start_weights: str = ""

    def begin_next_phase(self) -> None:
        """The phase is over."""
        self.phase, self.phase_step, self.phase_best_ap, self.evaluations_without_gain = self.phase + 1, 0, None, 0


class CheckpointFolder:
    """Checkpoints of one training.

    Args:
      folder: made when the first one is written.
      weights: of the detector, in an order that a later process repeats.
      read_only: it is another worker's, which writes what this one would.
    """

    def __init__(self, folder: str, weights: Sequence[keras.Variable], *, read_only: bool = False) -> None:
        self.folder = folder
        self._weights = weights
        self._read_only = read_only

    def save(self, progress: Progress, phase_state: Sequence[keras.Variable]) -> bool:
        """Writes the state; False, with a warning, when that was not possible (the last one stays).

        Args:
          progress: where the training stands.
          phase_state: what its phase keeps beside the weights (optimizer, helpers), in an order that a later process
            repeats.
        """
        text = np.array(json.dumps(dataclasses.asdict(progress)))
        arrays = _arrays(_WEIGHTS, self._weights) | _arrays(_PHASE_STATE, phase_state)
        return self._write(_STATE_FILE, {**arrays, _PROGRESS_KEY: text})

    def restore(self) -> Progress | None:
        """Reads the weights and where the training stood; None when there is no checkpoint that can be read.

        Raises:
          ValueError: it belongs to other variables.
        """
        arrays = self._read(_STATE_FILE)
        if arrays is None:
            return None
        self._assign(_WEIGHTS, self._weights, arrays, _STATE_FILE)
        return Progress(**json.loads(str(arrays[_PROGRESS_KEY])))

    def restore_phase(self, phase_state: Sequence[keras.Variable]) -> None:
        """Reads what the phase kept beside the weights, which ``restore`` has read before the phase was made.

        Raises:
          ValueError: it belongs to other variables, or is gone.
        """
        self._assign(_PHASE_STATE, phase_state, self._read(_STATE_FILE) or {}, _STATE_FILE)

    def save_best(self) -> bool:
        """Keeps the weights as they are now; False, with a warning, when that was not possible."""
        return self._write(_BEST_FILE, _arrays(_WEIGHTS, self._weights))

    def restore_best(self) -> bool:
        """Reads the kept weights into the variables; False when there are none, or they are another worker's."""
        # Which may have removed them by now: its training is over.
        arrays = None if self._read_only else self._read(_BEST_FILE)
        if arrays is None:
            return False
        self._assign(_WEIGHTS, self._weights, arrays, _BEST_FILE)
        return True

    def remove(self) -> None:
        """Deletes all of it: the training is over."""
        if not self._read_only and tf.io.gfile.exists(self.folder):
            tf.io.gfile.rmtree(self.folder)

    def _write(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> bool:
        if self._read_only:
            return True
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        try:
            tf.io.gfile.makedirs(self.folder)
            write_atomically(f"{self.folder}/{name}", buffer.getvalue())
        except tf.errors.OpError as error:
            # Training goes on: the model is worth more than the checkpoint.
            print(
                f"WARNING: {self.folder}/{name} could not be written, the last one stays: {error.message}", flush=True
            )
            return False
        return True

    def _read(self, name: str) -> dict[str, NDArray[Any]] | None:
        path = f"{self.folder}/{name}"
        if not tf.io.gfile.exists(path):
            return None
        with tf.io.gfile.GFile(path, "rb") as file:
            content = file.read()
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                return dict(archive)
        except (EOFError, ValueError, zipfile.BadZipFile) as error:
            # A machine that lost power may have renamed what it had not written.
            print(f"WARNING: {path} cannot be read and is not used: {error}", flush=True)
            return None

    def _assign(
        self, kind: str, variables: Sequence[keras.Variable], arrays: Mapping[str, NDArray[Any]], name: str
    ) -> None:
        values = [array for key, array in arrays.items() if key.startswith(f"{kind}/")]
        shapes = [tuple(array.shape) for array in values]
        expected = [tuple(variable.shape) for variable in variables]
        if shapes != expected:
            raise ValueError(
                f"{self.folder}/{name} holds {len(shapes)} {kind} variables that do not fit the {len(expected)} of "
                "this training; it was written by another version of the code. Delete the folder to start afresh"
            )
        for variable, array in zip(variables, values, strict=True):
            variable.assign(array)


def _arrays(kind: str, variables: Sequence[keras.Variable]) -> dict[str, NDArray[Any]]:
    # By position: Keras numbers names anew in every process.
    return {f"{kind}/{index:05d}": variable.numpy() for index, variable in enumerate(variables)}
