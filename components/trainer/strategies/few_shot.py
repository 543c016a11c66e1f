"""Few-shot detection in two phases (TFA; Wang et al. 2020, "Frustratingly Simple Few-Shot Object Detection").

First all of the detector learns the base classes, of which there are many objects. Then everything but the last layers
stays as it is, and these are tuned on k objects of every class, base and novel alike, so that neither swamps the other.
(There all of these layers learn; here, unless ``base_rate`` says otherwise, the novel classes' own weights do, and
objects of base classes are what they must not score on.)
Class scores are cosines, which puts classes learnt from many and from few objects on one scale.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import tensorflow as tf

from components.detector.detector import Detector
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.input_pipeline import TrainingBatch, prepare_images
from components.trainer.input.shots import draw_shots, ignoring_classes
from components.trainer.settings import TrainSettings
from components.trainer.strategies.class_columns import column_rates, start_from_other_classes
from components.trainer.strategies.settings.few_shot import FewShotSettings
from components.trainer.strategies.strategy import Phase, Strategy, TrainingInputs
from components.trainer.strategies.supervised import detection_losses
from components.user_error import UserError
from schema.label_map import LabelMap


class FewShot(Strategy):
    """The base classes, unless the start weights know them; then the last layers on k shots of every class."""

    def __init__(self, settings: FewShotSettings) -> None:
        self._settings = settings

    def prepare(self, detector: Detector) -> None:
        """Looks at the class head.

        Raises:
          ValueError: it is linear, or the detector has no other.
        """
        if not detector.options.may_be_cosine:
            raise ValueError(
                f"transfer.strategy: few_shot needs a class head by cosines, which {detector.name} has not"
            )
        if detector.options.class_head != "cosine":
            raise ValueError(
                "transfer.strategy: few_shot needs a class head by cosines; set model.options to {class_head: cosine}"
            )

    def phases(self, detector: Detector, inputs: TrainingInputs) -> Iterator[Phase]:
        """``base`` and ``shots``; the latter's last weights are kept, for AP on many images is not what few have.

        Raises:
          UserError: a novel class is not in the data, or all are novel.
          NotEnoughShotsError: a class has fewer objects than shots.
        """
        settings, chosen = inputs.settings, self._settings
        base, novel = split_classes(inputs.label_map, chosen)
        groups = {"base": base, "novel": novel}
        of_base, of_novel = (
            [class_id - 1 for class_id, name in inputs.label_map if name in names] for names in (base, novel)
        )
        # Before the first phase: a class with too few objects should not be found out after hours.
        shots = draw_shots(inputs.records, inputs.label_map, chosen.shots, chosen.draw, inputs.folder)
        base_steps = round(chosen.base_share * settings.steps)
        if base_steps:
            records = ignoring_classes(inputs.records, of_novel)
            yield Phase(
                name="base",
                steps=base_steps,
                optimizer=settings.optimizer,
                make_batches=functools.partial(records.training_batches, detector, settings),
                losses=detection_losses(detector),
                variables=detector.trainable_variables,
                class_groups=groups,
            )
        layers = detector.prediction_layers
        for layer in detector._flatten_layers(include_self=False):
            layer.trainable = layer in layers
        variables = [variable for layer in layers for variable in layer.trainable_variables]
        yield Phase(
            name="shots",
            steps=settings.steps - base_steps,
            optimizer=settings.optimizer.model_copy(update={"learning_rate": chosen.learning_rate}),
            make_batches=functools.partial(_shot_batches, detector, shots, settings, of_base, of_novel, base_steps),
            losses=prediction_losses(detector),
            variables=variables,
            learning_rate_factors=column_rates(detector, variables, of_novel, chosen.base_rate),
            class_groups=groups,
            is_judged_first=not base_steps,
            keeps="last",
        )


def split_classes(label_map: LabelMap, settings: FewShotSettings) -> tuple[list[str], list[str]]:
    """Names of the base and of the novel classes.

    Raises:
      UserError: a novel class is not in the label map, or there is no base class.
    """
    unknown = [name for name in settings.novel_classes if name not in label_map.names]
    if unknown:
        raise UserError(
            f"transfer.novel_classes: found {', '.join(unknown)}, but the data have {', '.join(label_map.names)}"
        )
    base = [name for name in label_map.names if name not in settings.novel_classes]
    if not base:
        raise UserError("transfer.novel_classes: every class of the data is novel; few_shot stands on base classes")
    return base, settings.novel_classes


def prediction_losses(detector: Detector) -> Callable[[TrainingBatch], dict[str, tf.Tensor]]:
    """As ``detection_losses``, of a detector of which only ``prediction_layers`` learn."""

    def losses(batch: TrainingBatch) -> dict[str, tf.Tensor]:
        features = detector.features(prepare_images(detector, batch), training=False)
        return dict(detector.head_losses(features, batch.truth))

    return losses


def _shot_batches(
    detector: Detector,
    shots: AnnotatedRecords,
    settings: TrainSettings,
    base: list[int],
    novel: list[int],
    first_step: int,
    start_step: int,
) -> tf.data.Dataset:
    """Batches of the phase ``shots``; when it begins, novel classes start from what the base classes have in common.

    Here and not in ``phases``, which a resumed training walks through again with weights that have learnt since.
    """
    if start_step == 0:
        start_from_other_classes(detector, novel, base)
    # As many of each class as of any other, of all spans.
    return shots.training_batches(detector, settings.with_images_alike(), first_step + start_step)
