"""Distances, statistics and the estimate without labels, on sets whose answer is known."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter

from pipeline.served_drift.distances import (
    ks_by_chance,
    ks_distance,
    mean_by_chance,
    separability,
    separability_by_chance,
    share_by_chance,
    share_distance,
)
from pipeline.served_drift.estimated_ap import Calibration, agreement, ap50, estimated_ap50
from pipeline.served_drift.image_statistics import STATISTICS, image_statistics
from pipeline.served_drift.seen_images import Found

BOX = (0.1, 0.1, 0.5, 0.5)
ELSEWHERE = (0.6, 0.6, 0.9, 0.9)


def _found(*boxes: tuple[float, float, float, float], scores: tuple[float, ...] = (), name: str = "stop") -> Found:
    return Found(
        np.array(boxes, np.float64).reshape(-1, 4), (name,) * len(boxes), np.array(scores or (1.0,) * len(boxes))
    )


def _encoded(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_what_fog_night_and_blur_do_to_an_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    blurred = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(2)))
    plain, night, fog, soft = (
        dict(zip(STATISTICS, image_statistics(_encoded(image)), strict=True))
        for image in (pixels, pixels // 4, (128 + pixels // 4).astype(np.uint8), blurred)
    )
    assert night["brightness"] < plain["brightness"] < fog["brightness"]
    assert fog["contrast"] < plain["contrast"]
    assert soft["sharpness"] < plain["sharpness"]
    assert plain["size"] == pytest.approx(6)
    assert np.isnan(image_statistics(b"no image")).all()


def test_distances() -> None:
    normal = np.random.default_rng(0).normal(size=500)
    assert ks_distance(normal, normal) == 0
    assert ks_distance(normal, normal + 10) == 1
    assert ks_distance(normal, np.full(3, np.nan)) == 1
    assert share_distance("aab", "abb") == (pytest.approx(1 / 3), "a")
    assert share_distance("", "") == (0.0, "")


def test_embeddings_of_one_kind_cannot_be_told_apart() -> None:
    values = np.random.default_rng(0).normal(size=(400, 32))
    assert separability(values[:200], values[200:]) < 0.65
    assert separability(values[:200], values[200:] + 2) > 0.95


@pytest.mark.parametrize(("ones", "others"), [(100, 100), (100, 300), (300, 50)])
def test_sets_of_one_kind_are_seldom_farther_apart_than_by_chance(ones: int, others: int) -> None:
    random, names = np.random.default_rng(ones), np.array(["stop", "yield", "no_entry", "bus"])
    beyond = np.zeros(3, np.int64)
    for _ in range(400):
        one, other = random.normal(size=ones), random.normal(size=others)
        beyond[0] += ks_distance(one, other) > ks_by_chance(ones, others)
        drawn = [names[random.choice(4, size, p=[0.5, 0.3, 0.15, 0.05])].tolist() for size in (ones, others)]
        beyond[1] += share_distance(*drawn)[0] > share_by_chance(*drawn)
        beyond[2] += one.mean() - other.mean() > mean_by_chance(1.0, ones, others)
    # Two are expected.
    assert beyond.max() <= 8


def test_chance_is_less_for_larger_sets() -> None:
    assert 0.7 > separability_by_chance(50, 50) > separability_by_chance(300, 300) > 0.5
    assert ks_by_chance(5, 5) == 1 > ks_by_chance(50, 50) > ks_by_chance(300, 300) > 0
    assert share_by_chance([], []) == share_by_chance("a", "b") == 1
    values = np.random.default_rng(1).normal(size=(200, 8))
    assert separability(values[:100], values[100:]) < separability_by_chance(100, 100)


def test_ap_is_measured_as_coco_does() -> None:
    assert ap50([_found(BOX, scores=(0.9,))], [_found(BOX)]) == pytest.approx(1)
    assert ap50([_found(ELSEWHERE, scores=(0.9,))], [_found(BOX)]) == pytest.approx(0)


def test_two_models_that_see_the_same_agree() -> None:
    one = [_found(BOX, scores=(0.9,))]
    assert agreement(one, one) == pytest.approx(1)
    assert agreement(one, [_found(ELSEWHERE, scores=(0.9,))]) == pytest.approx(0)
    assert np.isnan(agreement([_found()], [_found()]))


def _simulated(images: int, seed: int, found_share: float) -> tuple[list[Found], list[Found]]:
    """Two objects an image, of which a share is found; a score is the probability that its detection is right."""
    rng = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(images):
        boxes, scores = [], []
        for place in (BOX, ELSEWHERE):
            if rng.random() > found_share:
                continue
            score = rng.random()
            scores.append(score)
            # A box that lies beside is wrong.
            boxes.append(place if rng.random() < score else (0.0, 0.9, 0.05, 0.95))
        found.append(_found(*boxes, scores=tuple(scores)))
        truth.append(_found(BOX, ELSEWHERE))
    return found, truth


@pytest.mark.parametrize("found_share", [1.0, 0.7, 0.4])
def test_the_estimate_is_right_where_scores_mean_what_they_meant(found_share: float) -> None:
    calibration = Calibration.of(*_simulated(600, 0, 1.0))
    found, truth = _simulated(600, 1, found_share)
    assert estimated_ap50(found, calibration) == pytest.approx(ap50(found, truth), abs=0.05)


def test_the_estimate_of_certain_detections_is_their_recall() -> None:
    found, truth = [_found(BOX, scores=(0.9,)), _found()], [_found(BOX), _found(BOX)]
    calibration = Calibration.of([_found(BOX, scores=(0.9,))] * 20, [_found(BOX)] * 20)
    assert ap50(found, truth) == pytest.approx(51 / 101)
    assert estimated_ap50(found, calibration) == pytest.approx(ap50(found, truth))


def test_a_set_in_which_a_class_is_rare_by_chance_has_lost_nothing() -> None:
    stop, yields = _found(BOX, scores=(0.9,)), _found(BOX, scores=(0.9,), name="yield")
    calibration = Calibration.of([stop, yields] * 20, [_found(BOX), _found(BOX, name="yield")] * 20)
    assert estimated_ap50([stop] * 14 + [yields] * 6, calibration) == pytest.approx(1)


def test_a_class_that_is_found_no_more_counts() -> None:
    stop, yields = _found(BOX, scores=(0.9,)), _found(BOX, scores=(0.9,), name="yield")
    calibration = Calibration.of([stop, yields] * 20, [_found(BOX), _found(BOX, name="yield")] * 20)
    assert estimated_ap50([stop] * 20 + [_found()] * 20, calibration) < 0.5


def test_an_estimate_is_what_is_measured_where_the_scores_were_calibrated() -> None:
    found, truth = _simulated(600, 0, 0.8)
    assert estimated_ap50(found, Calibration.of(found, truth)) == pytest.approx(ap50(found, truth), abs=0.01)


def test_calibration_is_that_of_its_images() -> None:
    found, truth = _simulated(600, 0, 1.0)
    calibration = Calibration.of(found, truth)
    assert calibration.objects_per_image == {"stop": 2.0}
    assert calibration.probabilities(np.array([0.1, 0.5, 0.9])) == pytest.approx([0.1, 0.5, 0.9], abs=0.1)
    assert np.all(np.diff(calibration.probabilities(np.linspace(0, 1, 20))) >= 0)
