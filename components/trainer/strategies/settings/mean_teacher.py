"""The ``transfer`` section for ``mean_teacher``. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from components.settings import Settings
from components.trainer.augmentation_settings import Share
from components.trainer.strategies.settings.adversarial import AdversarialSettings
from components.trainer.strategies.settings.strategy import StrategySettings


class StrongAugmentationSettings(Settings):
    """What is done to the images that the student sees, beside `train.augmentation`; boxes stay where they are."""

    colour: Share = 0.4
    """Largest relative change of contrast and saturation; brightness changes by half of it, as a share of white, and
    the hue by an eighth of it, as a share of the colour circle."""
    greyscale: Share = 0.2
    """Probability that an image loses its colours."""
    blur: Share = 0.5
    """Probability that an image is blurred, by up to about a pixel and a half of the canvas."""
    erasing: Share = 0.5
    """Probability that each of three rectangles, of 2 % to 20 % of the canvas, is covered."""


class MeanTeacherSettings(StrategySettings):
    """`mean_teacher` learns from annotated images and from what its own average over time finds in `data.target`."""

    implementation = "components.trainer.strategies.mean_teacher.MeanTeacher"
    uses_target = True

    strategy: Literal["mean_teacher"] = "mean_teacher"
    """How the weights the training starts from are adapted: `mean_teacher` lets a student learn from the annotated
    images and from what a teacher, the student's average over time, finds in those of `data.target`."""
    burn_in_share: Annotated[float, pydantic.Field(ge=0.0, lt=1.0)] = 0.5
    """Share of the steps in which the annotated images alone are learnt from, before there is a teacher. 0 suits start
    weights that detect already (`warm_start_from_blessed`)."""
    teacher_momentum: Annotated[float, pydantic.Field(ge=0.0, lt=1.0)] | None = None
    """Of the teacher's average over steps. None: 1 - 20 / steps with a teacher, between 0.9 and 0.9996, so that it
    remembers about a twentieth of them."""
    score_threshold: Share = 0.5
    """What the teacher finds with this score or a higher one is a pseudo-label. Scores of Faster R-CNN are higher than
    those of the detectors with a focal loss: 0.7 to 0.8 there."""
    class_score_thresholds: dict[str, Share] = {}
    """Another threshold for single classes, by name."""
    ignored_from: Share = 0.2
    """What is found with a lower score than the threshold, down to this one, is neither learnt nor taught as
    background."""
    target_weight: pydantic.NonNegativeFloat = 1.0
    """Weight of the losses on pseudo-labels, beside that of the annotated images, which is 1. It is multiplied by the
    share of images of the batch that have a pseudo-label: a batch without any teaches nothing."""
    target_box_weight: pydantic.NonNegativeFloat = 0.0
    """Further factor of their localization losses. A high score says what an object is, not where its edges are: 0, as
    in Unbiased Teacher, learns the edges from annotated images alone."""
    strong_augmentation: StrongAugmentationSettings = StrongAugmentationSettings()
    """What the student sees changed and the teacher does not. The annotated images are changed like that as well."""
    adversarial: AdversarialSettings | None = None
    """Discriminators as those of `domain_adversarial` beside the teacher. None: none."""
    export: Literal["teacher", "student"] = "teacher"
    """Which of the two is evaluated while training, and exported."""

    @pydantic.model_validator(mode="after")
    def _thresholds_are_in_order(self) -> MeanTeacherSettings:
        lowest = min([self.score_threshold, *self.class_score_thresholds.values()])
        if self.ignored_from > lowest:
            raise ValueError(
                f"ignored_from {self.ignored_from} is above a threshold of {lowest}: give at most the lowest threshold"
            )
        return self
