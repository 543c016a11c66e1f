"""A device model beside the SavedModel: joined image by image, judged by what it lost, refused in plain words."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from components.device_evaluator.beside_saved_model import beside_saved_model
from components.device_evaluator.device_judge import judge_device_model
from components.device_evaluator.reasons import reasons_of
from components.device_evaluator.settings import DeviceGateSettings
from components.evaluator.check import OVERALL
from components.evaluator.coco_matching import ImageResult
from components.evaluator.evaluation import Evaluation, slice_result
from components.evaluator.judge import judge
from components.evaluator.matched_images import MatchedImages
from components.evaluator.settings import EvalSettings
from tests.components.evaluator.made_images import joined, made_result, without_classes

RANDOM = np.random.default_rng(1)
FOUND = [made_result(RANDOM, noise_pixels=1.0) for _ in range(60)]
OLD = [made_result(RANDOM) for _ in range(60)]
SAVED_MODEL = joined(
    FOUND,
    [
        dataclasses.replace(result, **{
            name: getattr(old, name)
            for name in ("detection_boxes_yxyx_pixels", "detection_scores", "detection_classes")
        })
        for result, old in zip(FOUND, OLD, strict=True)
    ],
)  # fmt: skip
"""The evaluation of the SavedModel, beside an older model."""
JUDGED_BY = EvalSettings.model_validate({"slices": [["weather"]], "gates": {"resamples": 300, "max_drop": {}}})


def evaluation_of(images: MatchedImages) -> Evaluation:
    """As the Evaluator makes it."""
    slices = (OVERALL, (("weather", "fog"),), (("weather", "clear"),))
    results = []
    for values in slices:
        chosen = images.slice_of(values)
        metrics = {**chosen.metrics(chosen.candidate), "image_count": float(len(chosen.images)), "object_count": 1.0}
        results.append(slice_result(images, values, metrics, {}, JUDGED_BY.gates))
    return Evaluation(judge(images, JUDGED_BY), tuple(results))


def judged(found: list[ImageResult], **gate: object) -> Evaluation:
    """The verdict on a device model that found this."""
    settings = DeviceGateSettings.model_validate(gate).eval_settings("onnx", JUDGED_BY)
    images = beside_saved_model(joined(found), SAVED_MODEL)
    return judge_device_model(images, evaluation_of(SAVED_MODEL), settings)


def worse(found: list[ImageResult], pixels: float) -> list[ImageResult]:
    """The same boxes, moved a little."""
    return [
        dataclasses.replace(result, detection_boxes_yxyx_pixels=result.detection_boxes_yxyx_pixels + pixels)
        for result in found
    ]


def test_the_same_detections_lose_nothing() -> None:
    evaluation = judged(FOUND)
    assert evaluation.verdict.blessed
    assert reasons_of(evaluation.verdict) == ()
    (check,) = evaluation.verdict.checks
    assert (check.status, check.value, check.low, check.high) == ("met", 0.0, 0.0, 0.0)
    assert check.baseline == pytest.approx(SAVED_MODEL.metrics(SAVED_MODEL.candidate)["AP"])


def test_the_slices_are_those_of_the_saved_model_and_it_is_the_baseline() -> None:
    evaluation = judged(worse(FOUND, 1.0))
    for theirs, ours in zip(evaluation_of(SAVED_MODEL).slices, evaluation.slices, strict=True):
        assert ours.values == theirs.values
        assert dict(ours.baseline_metrics) == pytest.approx(dict(theirs.metrics), nan_ok=True)
        assert ours.metrics["image_count"] == theirs.metrics["image_count"]
        assert ours.metrics["AP"] < theirs.metrics["AP"]
    assert Evaluation.from_json(evaluation.to_json()).verdict == evaluation.verdict


def test_what_moves_boxes_is_refused_in_plain_words() -> None:
    (reason,) = reasons_of(judged(worse(FOUND, 4.0)).verdict)
    assert re.fullmatch(
        r"AP is 0\.\d{4} \(95 % sure: 0\.\d{4} to 0\.\d{4}\) below the SavedModel's 0\.\d{4}, at most 0\.01 is allowed",
        reason,
    )
    relative = judged(worse(FOUND, 4.0), max_drop={"AP50": {"relative": 0.0}}, confidence=0.0)
    (reason,) = reasons_of(relative.verdict)
    assert re.fullmatch(r"AP50 is 0\.\d{4} of it below the SavedModel's 0\.\d{4}, at most 0 is allowed", reason)


def test_what_follows_where_the_images_cannot_tell_is_the_configs_to_say() -> None:
    found = [*worse(FOUND[:30], 1.0), *worse(FOUND[30:], 0.0)]
    (check,) = judged(found).verdict.checks
    bound = {"AP": {"absolute": round(check.value, 3)}}
    assert judged(found, max_drop=bound).verdict.blessed
    (reason,) = reasons_of(judged(found, max_drop=bound, undecided="refuse").verdict)
    assert ": 60 images cannot tell whether it is at most" in reason


def test_without_objects_nothing_is_blessed() -> None:
    nothing = [
        ImageResult.from_normalized(
            height_pixels=1, width_pixels=1, detection_boxes_yxyx_normalized=(), detection_scores=(),
            detection_classes=(), truth_boxes_yxyx_normalized=(), truth_classes=(),
        )
    ]  # fmt: skip
    images = joined(nothing)
    settings = DeviceGateSettings().eval_settings("onnx", JUDGED_BY)
    evaluation = judge_device_model(
        beside_saved_model(images, images), Evaluation(judge(images, JUDGED_BY), ()), settings
    )
    assert not evaluation.verdict.blessed
    assert reasons_of(evaluation.verdict)[0].startswith("AP could not be computed: ")


def test_classes_are_told_by_their_names() -> None:
    """The evaluation also knows a class of the older model's."""
    names = ("bus", "car", "hovercraft", "sign")
    renumbered = [
        dataclasses.replace(
            result,
            detection_classes=np.array([0, 1, 3])[result.detection_classes],
            truth_classes=np.array([0, 1, 3])[result.truth_classes],
        )
        for result in FOUND
    ]
    images = beside_saved_model(joined(FOUND), joined(renumbered, class_names=names))
    assert images.class_names == names
    assert images.baseline is not None
    np.testing.assert_array_equal(images.candidate.classes, images.baseline.classes)


def test_other_images_or_classes_are_another_evaluation() -> None:
    with pytest.raises(ValueError, match="59 images where the SavedModel was judged on 60; only one side has '0059'"):
        beside_saved_model(joined(FOUND[:-1]), SAVED_MODEL)
    with pytest.raises(ValueError, match="knows 'tram', which the SavedModel's evaluation does not"):
        beside_saved_model(joined(FOUND, class_names=("bus", "car", "tram")), SAVED_MODEL)
    without = [without_classes(result, [0]) for result in FOUND]
    assert len(beside_saved_model(joined(without), SAVED_MODEL).candidate.scores) < len(SAVED_MODEL.candidate.scores)
