"""Self-training with a mean teacher: what the student's own average finds in unlabelled images is what it learns there.

Tarvainen and Valpola 2017 for detectors: Unbiased Teacher (Liu et al. 2021), in domain adaptation as ALDI (Kay et al.,
TMLR 2025) has it: burn-in on annotated images, then pairs of batches, both strongly augmented for the student.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Final

import tensorflow as tf

from components.detector.detector import Detector
from components.detector.structures import Preprocessed
from components.trainer.input.input_pipeline import TrainingBatch
from components.trainer.settings import TrainSettings
from components.trainer.strategies.adaptation.adaptation_batch import AdaptationBatch, adaptation_batches
from components.trainer.strategies.adaptation.averaged_copy import automatic_momentum, move_towards
from components.trainer.strategies.adaptation.domain_discriminators import DomainDiscriminators, DomainView
from components.trainer.strategies.adaptation.pseudo_labels import PseudoLabels, pseudo_labels
from components.trainer.strategies.adaptation.strong_augmentation import strongly_augmented
from components.trainer.strategies.settings.mean_teacher import MeanTeacherSettings
from components.trainer.strategies.strategy import Phase, Strategy, TrainingInputs
from components.trainer.strategies.supervised import losses_and_features
from components.user_error import UserError
from schema.label_map import LabelMap

_PSEUDO_LABELLED: Final = "pseudo_labelled_images"
"""Measure: the share of a batch's target images in which the teacher finds something that is learnt."""
_SOURCE, _TARGET = 0, 1


class UnknownClassError(UserError):
    """A threshold for a class that there is not."""


class MeanTeacher(Strategy):
    """Two phases: burn-in, then teacher and student.

    The one of the two that is to be exported is the detector itself, which the loop evaluates and keeps; the other is a
    copy among the phase's helpers. Each batch goes through the student by itself: batch normalisation takes the
    statistics of one domain at a time, and the moving ones follow both.
    """

    def __init__(self, settings: MeanTeacherSettings) -> None:
        self._settings = settings

    def prepare(self, detector: Detector) -> None:
        """Nothing: all of the detector learns."""

    def phases(self, detector: Detector, inputs: TrainingInputs) -> Iterator[Phase]:
        """Burn-in keeps its best weights, adaptation its last: AP on the annotated domain is not what is wanted.

        Raises:
          UnknownClassError: a threshold is for a class that is not in the label map.
        """
        thresholds = score_thresholds(self._settings, inputs.label_map)
        settings = inputs.settings
        burn_in = round(self._settings.burn_in_share * settings.steps)

        def on_source(step: tf.Tensor, batch: TrainingBatch) -> dict[str, tf.Tensor]:
            images = detector.normalize(self._strong(batch, settings.seed, step, _SOURCE))
            return losses_and_features(detector, images, batch.truth)[0]

        yield Phase(
            name="burn_in",
            steps=burn_in,
            optimizer=settings.optimizer,
            make_batches=lambda start: inputs.records.training_batches(detector, settings, start).enumerate(start),
            losses=lambda numbered: on_source(*numbered),
            variables=detector.trainable_variables,
        )

        copy = detector.duplicate()
        teacher, student = (detector, copy) if self._settings.export == "teacher" else (copy, detector)
        steps = settings.steps - burn_in
        adversary = (
            DomainDiscriminators(student, self._settings.adversarial)
            if self._settings.adversarial is not None
            else None
        )
        of_adversary = adversary.variables if adversary else []
        yield Phase(
            name="mean_teacher",
            steps=steps,
            optimizer=settings.optimizer,
            make_batches=functools.partial(adaptation_batches, detector, inputs, burn_in),
            losses=self._losses(teacher, student, adversary, thresholds, steps, settings),
            variables=[*student.trainable_variables, *of_adversary],
            helpers=[*copy.variables, *of_adversary],
            measures=(_PSEUDO_LABELLED, *(adversary.measures if adversary else ())),
            keeps="last",
        )

    def _losses(
        self,
        teacher: Detector,
        student: Detector,
        adversary: DomainDiscriminators | None,
        thresholds: tf.Tensor,
        steps: int,
        training: TrainSettings,
    ) -> Callable[[AdaptationBatch], dict[str, tf.Tensor]]:
        settings, seed = self._settings, training.seed + 1
        momentum = settings.teacher_momentum
        momentum = automatic_momentum(steps) if momentum is None else momentum
        # Each part of a batch moves the teacher, towards one and the same student: all together as far as one would.
        momentum **= 1.0 / training.batch_parts

        def losses(batch: AdaptationBatch) -> dict[str, tf.Tensor]:
            # Before the step rather than behind it: the teacher is the average of what the student was until now.
            move_towards(teacher.variables, student.variables, momentum)
            found = self._found_by(teacher, batch.target, thresholds)
            seen = [
                student.normalize(self._strong(of_domain, seed, batch.step, domain))
                for domain, of_domain in ((_SOURCE, batch.source), (_TARGET, batch.target))
            ]
            parts, of_source = losses_and_features(student, seen[_SOURCE], batch.source.truth)
            of_target = student.features(seen[_TARGET], training=True)
            labelled = tf.reduce_mean(tf.cast(found.labelled, tf.float32))
            for name, part in student.head_losses(of_target, found.truth).items():
                factor = settings.target_box_weight if name.endswith("localization") else 1.0
                parts[f"target_{name}"] = settings.target_weight * factor * labelled * part
            parts[_PSEUDO_LABELLED] = labelled
            if adversary is not None:
                parts |= adversary.losses(
                    DomainView(of_source, batch.source.truth.valid_height_width),
                    DomainView(of_target, batch.target.truth.valid_height_width),
                    tf.cast(batch.step, tf.float32) / steps,
                )
            return parts

        return losses

    def _found_by(self, teacher: Detector, batch: TrainingBatch, thresholds: tf.Tensor) -> PseudoLabels:
        """What the teacher finds on the very canvas that the student sees, colours as in the file."""
        shares = batch.truth.valid_height_width  # [B, 2]
        detections = teacher.detect(Preprocessed(teacher.normalize(tf.cast(batch.images, tf.float32)), shares))
        return pseudo_labels(detections, shares, thresholds, self._settings.ignored_from)

    def _strong(self, batch: TrainingBatch, seed: int, step: tf.Tensor, domain: int) -> tf.Tensor:
        """float32 [B, H, W, 3] in 0..255: strong changes of colour in place of those of ``train.augmentation``."""
        images = tf.cast(batch.images, tf.float32)  # [B, H, W, 3]
        of_step = tf.stack([tf.constant(seed, tf.int64), 2 * step + domain])
        return strongly_augmented(images, of_step, self._settings.strong_augmentation)


def score_thresholds(settings: MeanTeacherSettings, label_map: LabelMap) -> tf.Tensor:
    """The thresholds by 0-based class index, float32 [C].

    Raises:
      UnknownClassError: one is for a class that is not in the label map.
    """
    names = label_map.name_by_index
    unknown = sorted(settings.class_score_thresholds.keys() - set(label_map.names))
    if unknown:
        raise UnknownClassError(
            f"transfer.class_score_thresholds: there is no class {unknown[0]!r}; the classes are "
            f"{', '.join(label_map.names)}"
        )
    return tf.constant(
        [settings.class_score_thresholds.get(name, settings.score_threshold) for name in names], tf.float32
    )
