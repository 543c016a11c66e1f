"""What a strategy is: phases, which the training loop runs one after the other without knowing more about them."""

from __future__ import annotations

import abc
import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import tensorflow as tf

from components.detector.detector import Detector, FinishedDetector
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.optimizer import RateFactor
from components.trainer.settings import OptimizerSettings, TrainSettings
from components.trainer.strategies.settings.strategy import StrategySettings
from schema.label_map import LabelMap


@dataclass(frozen=True)
class Phase:
    """A part of a training in which the same variables learn from the same losses.

    Attributes:
      name: for the log and the history.
      steps: how many batches it takes.
      optimizer: made anew for the phase; its learning rate runs over the steps of the phase.
      make_batches: endless batches from a step of the phase on (0 is its first). The batch of a step depends on the
        step alone, so that a training that was killed goes on with the very batch it had reached.
      losses: of one batch, scalar float32 [] by name, as graph ops; their sum is minimised.
      variables: what learns.
      learning_rate_factors: on the learning rate, one for each of ``variables`` (an array of them, one for each of its
        last axis); empty: 1 for all.
      early_stopping_patience: in place of the settings', in this phase. None: theirs.
      helpers: further variables that the phase keeps and changes, such as those of a teacher; they are in checkpoints,
        never in the export. Whatever the phase makes of weights when it begins has to be among them: a resumed phase
        begins with the weights of its checkpoint.
      measures: names among what ``losses`` gives that are not minimised, but stand in the history beside the losses.
        All of them are in 0..1.
      class_groups: names of classes by the name of their group; every evaluation tells each group's mean AP and AP50.
      is_judged_first: whether an evaluation precedes its first step. The weights it finds are not kept as the best.
      keeps: the weights to export, unless a later phase has others: the ``best`` by AP on the split ``eval``, or the
        ``last``, where that split is not what is trained for.
    """

    name: str
    steps: int
    optimizer: OptimizerSettings
    make_batches: Callable[[int], tf.data.Dataset]
    losses: Callable[[Any], dict[str, tf.Tensor]]
    variables: Sequence[keras.Variable]
    helpers: Sequence[keras.Variable] = ()
    measures: Sequence[str] = ()
    class_groups: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    is_judged_first: bool = False
    keeps: Literal["best", "last"] = "best"
    learning_rate_factors: Sequence[RateFactor] = ()
    early_stopping_patience: int | None = None


@dataclass(frozen=True)
class TrainingInputs:
    """What a strategy makes its phases of.

    Attributes:
      settings: of the training; its ``steps`` are those of all phases together.
      label_map: the classes.
      records: the split ``train``.
      folder: to keep things in that take long to make, such as features; the next attempt of a training that was killed
        finds them there. It goes when the training is over.
      target_records: the images of ``data.target``, which have no annotations; None where there is none.
      blessed_model: SavedModel folder of the last blessed model; None where there is none, or none is asked for.
      features_root: folder of features that outlive the training, see ``cached_features``; None to keep them in
        ``folder``.
    """

    settings: TrainSettings
    label_map: LabelMap
    records: AnnotatedRecords
    folder: str
    blessed_model: str | None = None
    target_records: AnnotatedRecords | None = None
    features_root: str | None = None


class Strategy(abc.ABC):
    """A way to adapt a detector to new data. Made with the settings that name it (``implementation``)."""

    @abc.abstractmethod
    def prepare(self, detector: Detector) -> None:
        """Changes a freshly built detector, before its weights are read: what is frozen, what is added.

        The preflight calls it, too, to refuse settings that do not fit the detector before a run begins.

        Raises:
          ValueError: they do not.
        """

    def check_start(self, fresh: Sequence[str]) -> None:
        """Looks at what the start weights leave open, when a training starts.

        Args:
          fresh: zoo keys of the detector's variables that hold nothing learnt, or not of all classes.

        Raises:
          UserError: the strategy cannot do without.
        """
        del fresh

    @abc.abstractmethod
    def phases(self, detector: Detector, inputs: TrainingInputs) -> Iterator[Phase]:
        """The phases in their order; their steps add up to ``train.steps``, or there are none.

        A generator: what follows a ``yield`` runs when that phase is over, and sees what it has learnt. A resumed
        training asks for all phases again and skips those that are over, so nothing that takes long stands in between.
        """

    def finish(self, detector: Detector) -> FinishedDetector:
        """The detector to export, made of the trained one, which holds its best weights."""
        return detector


def build_strategy(settings: StrategySettings) -> Strategy:
    """The strategy of a ``transfer`` section."""
    module, _, name = settings.implementation.rpartition(".")
    strategy: Strategy = getattr(importlib.import_module(module), name)(settings)
    return strategy
