"""The verdict on a device model, with the SavedModel that it was made of in the place of the last blessed model."""

from __future__ import annotations

from typing import Final

from components.evaluator.bootstrap import SliceResamples
from components.evaluator.coco_metric import IMAGE_COUNT, OBJECT_COUNT
from components.evaluator.evaluation import Evaluation, SliceResult, slice_result
from components.evaluator.judge import judge
from components.evaluator.matched_images import MatchedImages
from components.evaluator.settings import EvalSettings

_COUNTS: Final = (IMAGE_COUNT, OBJECT_COUNT)


def judge_device_model(images: MatchedImages, saved_model: Evaluation, settings: EvalSettings) -> Evaluation:
    """Measures a device model on the slices that the SavedModel was measured on, and decides.

    Args:
      images: of ``beside_saved_model``.
      saved_model: the SavedModel's evaluation on the same images.
      settings: of ``DeviceGateSettings.eval_settings``.

    Returns:
      An evaluation as the Evaluator's; the baseline in it is the SavedModel.
    """

    drawn = SliceResamples(images, settings.gates.resamples)

    def measured(of_saved_model: SliceResult) -> SliceResult:
        chosen = images.slice_of(of_saved_model.values)
        metrics = chosen.metrics(chosen.candidate, settings.per_class_metrics)
        counts = {name: of_saved_model.metrics[name] for name in _COUNTS if name in of_saved_model.metrics}
        return slice_result(
            images, of_saved_model.values, {**metrics, **counts}, of_saved_model.metrics, settings.gates, drawn
        )

    return Evaluation(
        judge(images, settings, drawn=drawn), tuple(map(measured, saved_model.slices)), settings.gates.confidence
    )
