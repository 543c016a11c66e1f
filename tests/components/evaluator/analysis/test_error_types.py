"""Kinds of error and their cost, against hotcoco and the authors' own tidecv; where they part, the docstring says."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import tidecv
from hypothesis import given, settings
from hypothesis import strategies as st
from tidecv.errors import main_errors
from tidecv.quantify import TIDERun

from components.evaluator.analysis.error_types import BACKGROUND_IOU, ERROR_KINDS, ErrorKind, error_costs
from components.evaluator.analysis.image_pairs import image_pairs
from components.evaluator.analysis.precision_recall import outcomes
from components.evaluator.coco import ImageResult
from components.evaluator.coco_matching import looked_at
from components.evaluator.matched_images import Detections
from tests.components.evaluator.analysis.hotcoco_reference import hotcoco_evaluation, proper, without_detections
from tests.components.evaluator.coco_cases import made_case
from tests.components.evaluator.made_images import CLASS_NAMES, joined, made_result

OF_HOTCOCO = dict(zip(("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"), ERROR_KINDS, strict=True))
REMOVED = ("Both", "Dupe", "Bkg")
OF_TIDECV: dict[type, ErrorKind] = {
    main_errors.ClassError: "classification",
    main_errors.BoxError: "localization",
    main_errors.OtherError: "both",
    main_errors.DuplicateError: "duplicate",
    main_errors.BackgroundError: "background",
    main_errors.MissedError: "missed",
}


def away_from_ignored(results: Sequence[ImageResult]) -> list[ImageResult]:
    """Without false detections that touch a crowd or an ignored object, which hotcoco sorts otherwise.

    A detection that was given no object takes none from others, so that nothing else changes.
    """
    trimmed = [looked_at(result) for result in results]
    images = joined(trimmed)
    is_true, is_neither = outcomes(images.candidate)
    ignored = (images.truths.area_bits & 1) == 0
    is_false = ~is_true & ~is_neither
    touching = np.zeros(len(is_true), np.bool_)
    touching[image_pairs(images, images.candidate, BACKGROUND_IOU, is_false, ignored).detections] = True
    sizes = np.cumsum([len(result.detection_scores) for result in trimmed])[:-1]
    return [without_detections(*pair) for pair in zip(trimmed, np.split(touching, sizes), strict=True)]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_kinds_and_counts_are_those_of_hotcoco(seed: int) -> None:
    """Crowds, ignored objects, equal scores, equal boxes and empty images are all in it."""
    results = away_from_ignored([proper(result) for result in made_case(seed)[1]])
    images = joined(results)
    ours = error_costs(images, images.candidate)
    theirs = hotcoco_evaluation(results, CLASS_NAMES).tide_errors()
    assert {name: ours.count(kind) for name, kind in OF_HOTCOCO.items()} == theirs["counts"]
    if np.isnan(ours.ap50).all():
        return
    assert np.nanmean(ours.ap50) == pytest.approx(theirs["ap_base"], abs=1e-12)
    for name in REMOVED:
        assert ours.cost(OF_HOTCOCO[name]) == pytest.approx(theirs["delta_ap"][name], abs=1e-12), name
    assert ours.false_positive_cost == pytest.approx(theirs["delta_ap"]["FP"], abs=1e-12)
    if not _something_never_detected(ours.ap50, images.candidate):
        assert ours.false_negative_cost == pytest.approx(theirs["delta_ap"]["FN"], abs=1e-12)


def _something_never_detected(ap50: np.ndarray, found: Detections) -> bool:
    """Whether no detection counts of a class that has objects to find: none is of it, or ignored objects took all."""
    classes = found.classes[(found.matched_ignored & np.uint64(1)) == 0]
    return bool((np.bincount(classes, minlength=len(ap50))[~np.isnan(ap50)] == 0).any())


def test_without_ignored_objects_hotcoco_needs_nothing_left_out() -> None:
    for seed in range(60):
        results = [proper(result, ignored=False) for result in made_case(seed)[1]]
        images = joined(results)
        ours = error_costs(images, images.candidate)
        theirs = hotcoco_evaluation(results, CLASS_NAMES).tide_errors()["counts"]
        assert {name: ours.count(kind) for name, kind in OF_HOTCOCO.items()} == theirs, seed


def _tidecv_run(results: Sequence[ImageResult]) -> TIDERun:
    truth, found = tidecv.Data("truth"), tidecv.Data("found")
    for number, result in enumerate(results):
        for box, index in zip(result.truth_boxes_yxyx_pixels, result.truth_classes, strict=True):
            truth.add_ground_truth(number, int(index), box[[1, 0, 3, 2]].tolist())
        for box, index, score in zip(
            result.detection_boxes_yxyx_pixels, result.detection_classes, result.detection_scores, strict=True
        ):
            found.add_detection(number, int(index), float(score), box[[1, 0, 3, 2]].tolist())
    return TIDERun(truth, found, 0.5, 0.1, tidecv.TIDE.BOX, 100)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 12))
def test_costs_are_those_of_tidecv(seed: int, count: int) -> None:
    """Scores and boxes all differ and nothing is ignored: there the two mean the same.

    A class with a multiple of ten objects is left out: to tidecv a recall of exactly 0.7 reaches that of 0.7, to
    pycocotools it does not.
    """
    random = np.random.default_rng(seed)
    results = [_any_kind_of_error(random) for _ in range(count)]
    images = joined(results)
    ours = error_costs(images, images.candidate)
    run = _tidecv_run(results)
    assert {kind: len(run.error_dict[error]) for error, kind in OF_TIDECV.items()} == {
        kind: ours.count(kind) for kind in ERROR_KINDS
    }
    there = np.flatnonzero(~np.isnan(ours.ap50))
    objects = np.bincount(np.concatenate([result.truth_classes for result in results]), minlength=len(CLASS_NAMES))
    usual = [int(index) for index in there if objects[index] % 10]
    for index in usual:
        assert ours.ap50[index] == pytest.approx(run.ap_data.objs[index].get_ap() / 100, abs=1e-9)
    repairs = [
        *((error, ours.costs[:, ERROR_KINDS.index(kind)]) for error, kind in OF_TIDECV.items()),
        (main_errors.FalsePositiveError, ours.false_positives),
        (main_errors.FalseNegativeError, ours.false_negatives),
    ]
    for error, costs in repairs:
        if error is main_errors.FalsePositiveError:
            repaired = run.fix_errors(transform=error.fix)
        elif error is main_errors.FalseNegativeError:
            repaired = run.fix_errors(false_neg_dict=run.false_negatives)
        else:
            repaired = run.fix_errors(lambda found, kind=error: isinstance(found, kind))
        for index in usual:
            curve = repaired.objs[index]
            if curve.num_gt_positives % 10 == 0 or curve.num_gt_positives == 0:
                continue
            gained = curve.get_ap() / 100 - ours.ap50[index]
            assert costs[index] == pytest.approx(max(gained, 0.0), abs=1e-9), error.__name__


def _any_kind_of_error(random: np.random.Generator) -> ImageResult:
    result = made_result(random, noise_pixels=float(random.choice([1.0, 6.0, 14.0])), found=0.9)
    boxes = np.repeat(result.detection_boxes_yxyx_pixels, 2, axis=0)
    boxes = boxes + random.normal(0, 3, boxes.shape)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    confused = random.random(len(boxes)) < 0.3
    classes = np.repeat(result.detection_classes, 2)
    nothing = np.zeros(len(result.truth_classes), np.bool_)
    return ImageResult(
        boxes,
        random.random(len(boxes)),
        np.where(confused, random.integers(0, 3, len(boxes)), classes),
        result.truth_boxes_yxyx_pixels,
        result.truth_classes,
        result.truth_areas_pixels,
        nothing,
        nothing,
    )


BUS, CAR = 0, 1
BOX = (10.0, 10.0, 50.0, 50.0)
NEAR = (10.0, 24.0, 50.0, 64.0)  # IoU 0.48 with BOX
AWAY = (60.0, 60.0, 90.0, 90.0)


def one_image(
    found: Sequence[tuple[tuple[float, ...], int]], there: Sequence[tuple[tuple[float, ...], int]] = ((BOX, CAR),)
) -> ImageResult:
    return ImageResult.from_normalized(
        height_pixels=1,
        width_pixels=1,
        detection_boxes_yxyx_normalized=[box for box, _ in found],
        detection_scores=np.linspace(0.9, 0.1, len(found)),
        detection_classes=[index for _, index in found],
        truth_boxes_yxyx_normalized=[box for box, _ in there],
        truth_classes=[index for _, index in there],
    )


@pytest.mark.parametrize(
    ("found", "kinds"),
    [
        ([(BOX, CAR)], {}),
        ([(BOX, BUS)], {"classification": 1}),
        ([(NEAR, CAR)], {"localization": 1}),
        ([(NEAR, BUS)], {"both": 1, "missed": 1}),
        ([(BOX, CAR), (BOX, CAR)], {"duplicate": 1}),
        ([(AWAY, CAR)], {"background": 1, "missed": 1}),
        ([], {"missed": 1}),
    ],
)
def test_each_kind(found: list[tuple[tuple[float, ...], int]], kinds: dict[str, int]) -> None:
    images = joined([one_image(found)])
    errors = error_costs(images, images.candidate)
    assert {kind: errors.count(kind) for kind in ERROR_KINDS if errors.count(kind)} == kinds


def test_a_repaired_detection_belongs_to_the_class_of_its_object() -> None:
    images = joined([one_image([(BOX, BUS)])])
    errors = error_costs(images, images.candidate)
    assert errors.ap50[CAR] == 0
    assert errors.costs[CAR, 0] == pytest.approx(1.0)
    assert errors.cost("classification") == pytest.approx(1.0)
    assert errors.costliest() == ["classification"]


def test_one_object_is_found_once_however_many_errors_are_about_it() -> None:
    images = joined([one_image([(NEAR, CAR), (NEAR, CAR)], [(BOX, CAR), (AWAY, CAR)])])
    errors = error_costs(images, images.candidate)
    assert errors.count("localization") == 2
    assert errors.cost("localization") == pytest.approx(51 / 101)  # recall 0.5 at precision 1


def test_a_crowd_makes_no_error() -> None:
    result = one_image([(NEAR, CAR), (BOX, CAR)], [(BOX, CAR)])
    images = joined([dataclasses.replace(result, truth_is_crowd=np.array([True]))])
    errors = error_costs(images, images.candidate)
    assert errors.counts.sum() == 0
    assert np.isnan(errors.cost("missed"))


def test_a_class_that_nobody_looks_for_costs_all_of_its_ap() -> None:
    images = joined([one_image([(BOX, CAR)], [(BOX, CAR), (AWAY, BUS)])])
    errors = error_costs(images, images.candidate)
    assert errors.cost("missed") == pytest.approx(0.5)
    assert errors.false_negative_cost == pytest.approx(0.5)


def test_no_images_have_no_errors() -> None:
    images = joined([one_image([], [])])
    errors = error_costs(images, images.candidate)
    assert errors.counts.sum() == 0
    assert errors.costliest() == []
    assert np.isnan(errors.false_positive_cost)
