"""What became of everything that a config left open, for the log, the report and whoever asks later.

Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from components.trainer.settings import Precision, TrainSettings

PLAN_FILE: Final = "training_plan.json"
"""In the model run's folder: a ``TrainingPlan``."""
START_WEIGHTS_FILE: Final = "start_weights.txt"
"""Beside it: what the training starts from in a few lines, an empty one, and every variable, a line each."""


@dataclasses.dataclass(frozen=True)
class MatchableBoxes:
    """How well anchors can match the boxes of the training images; see ``anchor_fit.AnchorFit``."""

    recall: float
    mean_iou: float
    class_recall: float
    class_mean_iou: float


@dataclasses.dataclass(frozen=True)
class ChosenAnchors:
    """The anchors of a training.

    Attributes:
      origin: where they come from, in words.
      options: of the detector, that make them.
      matched_iou: an overlap from which on an anchor learns an object.
      published: how well the published anchors can match; None without boxes.
      used: how well these can.
    """

    origin: str
    options: Mapping[str, Any]
    matched_iou: float
    published: MatchableBoxes | None
    used: MatchableBoxes | None

    def described(self) -> str:
        """The options in words."""
        return ", ".join(f"{name} {_shown(value)}" for name, value in self.options.items())

    def lines(self) -> Sequence[str]:
        """What there is to say of them."""
        lines = [f"anchors {self.origin}: {self.described()}"]
        if self.published and self.used:
            before, after = self.published, self.used
            lines.append(
                f"best possible recall at IoU {self.matched_iou:g}: {after.recall:.1%} (mean of classes "
                f"{after.class_recall:.1%}), mean best IoU {after.mean_iou:.3f}; the published anchors' "
                f"{before.recall:.1%} ({before.class_recall:.1%}), {before.mean_iou:.3f}"
            )
        return lines


def _shown(value: Any) -> str:
    return " ".join(f"{part:g}" for part in value) if isinstance(value, tuple | list) else f"{value:g}"


@dataclasses.dataclass(frozen=True)
class ChosenPrecision:
    """What a training computes in.

    Attributes:
      name: of the dtype policy.
      step_seconds: what a gradient step took in each precision that was tried; none where the config named one.
    """

    name: Precision
    step_seconds: Mapping[Precision, float] = dataclasses.field(default_factory=dict)

    def lines(self) -> Sequence[str]:
        """What there is to say: nothing of what is the default."""
        if not self.step_seconds:
            return () if self.name == "float32" else (f"computed in {self.name}",)
        taken = ", ".join(f"{seconds:.3g} s in {name}" for name, seconds in self.step_seconds.items())
        return (f"computed in {self.name}: a gradient step took {taken}",)


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """What a training does, after everything open was decided.

    Attributes:
      steps: of all phases.
      batch_size: images in a step.
      epochs: how often an image is seen.
      optimizer: its name.
      learning_rate: its peak.
      batch_norm_momentum: of moving statistics.
      anchors: of the detector; None where it has none.
      precision: what is computed in.
    """

    steps: int
    batch_size: int
    epochs: float
    optimizer: str
    learning_rate: float
    batch_norm_momentum: float
    anchors: ChosenAnchors | None
    precision: ChosenPrecision = ChosenPrecision("float32")

    @classmethod
    def of(
        cls,
        settings: TrainSettings,
        precision: ChosenPrecision,
        batch_norm_momentum: float,
        images: int,
        anchors: ChosenAnchors | None,
    ) -> TrainingPlan:
        """The plan of ``planned_settings`` on so many training images."""
        assert settings.optimizer.name is not None
        assert settings.optimizer.learning_rate is not None
        return cls(
            steps=settings.steps,
            batch_size=settings.batch_size,
            epochs=round(settings.steps * settings.batch_size / max(images, 1), 1),
            optimizer=settings.optimizer.name,
            learning_rate=settings.optimizer.learning_rate,
            batch_norm_momentum=batch_norm_momentum,
            anchors=anchors,
            precision=precision,
        )

    def lines(self) -> Sequence[str]:
        """For the log and the report."""
        return (
            f"{self.steps} steps of {self.batch_size} images, {self.epochs:g} epochs; {self.optimizer}, learning rate "
            f"up to {self.learning_rate:.2g}; momentum of batch normalisation {self.batch_norm_momentum:g}",
            *self.precision.lines(),
            *(self.anchors.lines() if self.anchors else ("no anchors: this detector finds objects without",)),
        )

    def to_json(self) -> str:
        """The text of ``training_plan.json``."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> TrainingPlan:
        """Reads the text of ``training_plan.json``."""
        tree = json.loads(text)
        # A plan of before there was a choice has none.
        tree["precision"] = ChosenPrecision(**tree.get("precision", {"name": "float32"}))
        anchors = tree["anchors"]
        if anchors is None:
            return cls(**tree)
        fits = {key: anchors[key] and MatchableBoxes(**anchors[key]) for key in ("published", "used")}
        return cls(**{**tree, "anchors": ChosenAnchors(**{**anchors, **fits})})
