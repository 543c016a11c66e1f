from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from components.evaluator.coco_matching import ImageResult, match_images
from components.evaluator.coco_metric import NamedMatches, guarded, slice_metrics, unguarded
from components.evaluator.settings import EvalSettings

BOX = [[0.1, 0.1, 0.6, 0.6]]


def image(image_id: str, class_names: tuple[str, ...], score: float, found: str, there: str) -> NamedMatches:
    result = ImageResult.from_normalized(
        height_pixels=100,
        width_pixels=100,
        detection_boxes_yxyx_normalized=BOX,
        detection_scores=[score],
        detection_classes=[class_names.index(found)],
        truth_boxes_yxyx_normalized=BOX,
        truth_classes=[class_names.index(there)],
    )
    return NamedMatches(image_id, class_names, match_images([result]), 1)


def test_classes_are_compared_by_name() -> None:
    images = [
        image("1", ("bus", "car"), 0.9, "car", "car"),
        image("2", ("car", "bus"), 0.8, "car", "car"),
        image("3", ("bus", "car", "tram"), 0.7, "tram", "bus"),
    ]
    metrics = slice_metrics(images, EvalSettings())
    assert metrics["AP/car"] == pytest.approx(1.0)
    assert metrics["AP/bus"] == 0.0
    assert math.isnan(metrics["AP/tram"])
    assert metrics["AP"] == pytest.approx(0.5)
    assert (metrics["image_count"], metrics["object_count"]) == (3, 3)


def test_order_of_arrival_does_not_matter() -> None:
    names = ("a", "b")
    images = [image(str(n), names, 0.5, names[n % 3 % 2], names[n % 2]) for n in range(12)]
    expected = slice_metrics(images, EvalSettings())
    for seed in range(5):
        shuffled = [images[index] for index in np.random.default_rng(seed).permutation(len(images))]
        np.testing.assert_equal(slice_metrics(shuffled, EvalSettings()), expected)


@pytest.mark.parametrize(("min_images", "floor_counts"), [(2, True), (3, False)])
def test_floors_count_with_enough_images(min_images: int, floor_counts: bool) -> None:
    settings = EvalSettings.model_validate(
        {
            "gates": {
                "slice_floors": [{"slice": {"weather": "fog"}, "metric": "AP50", "min": 0.5}],
                "class_floors": [
                    {"class_name": "car", "metric": "AP", "min": 0.5},
                    {"class_name": "*", "metric": "AP", "min": 0.5},
                ],
                "min_images": min_images,
            }
        }
    )
    names = ("bus", "car")
    images = [image("1", names, 0.9, "car", "car"), image("2", names, 0.8, "bus", "car")]
    metrics = slice_metrics(images, settings)
    for key in ("AP50", "AP/car", "AP/*"):
        assert math.isinf(metrics[guarded(key)]) != floor_counts, key
        assert unguarded(guarded(key)) == key
    if floor_counts:
        assert metrics["guarded/AP/*"] == metrics["guarded/AP/car"] == metrics["AP/car"]


def test_names_are_known_by_the_images_behind_them() -> None:
    settings = EvalSettings.model_validate(
        {
            "slices": [["wether"]],
            "gates": {
                "slice_floors": [{"slice": {"class": "carr", "time": "night"}, "metric": "AP50", "min": 0.5}],
                "class_floors": [{"class_name": name, "metric": "AP", "min": 0.5} for name in ("*", "bus", "zebra")],
            },
        }
    )
    images = [
        dataclasses.replace(image(str(n), ("bus", "car"), 0.9, "car", "car"), columns=("weather",) * (n != 1))
        for n in range(3)
    ]
    metrics = slice_metrics(images, settings)
    assert {key: value for key, value in metrics.items() if key.startswith("known/")} == pytest.approx(
        {
            "known/column/weather": 2,
            "known/column/wether": math.nan,
            "known/column/class": math.nan,
            "known/column/time": math.nan,
            "known/class/bus": 0,
            "known/class/car": 3,
            "known/class/carr": math.nan,
            "known/class/zebra": math.nan,
        },
        nan_ok=True,
    )


NAMES = ("bus", "car", "tram")
COMPARED = {"gates": {"max_drop": {"AP": {"absolute": 0.1}}, "forgetting": {"AP": {"absolute": 0.1}}, "min_images": 2}}


def of_span(
    image_id: str, found: str, there: str, span: int | None, known_before: tuple[str, ...] | None
) -> NamedMatches:
    return dataclasses.replace(image(image_id, NAMES, 0.9, found, there), span=span, known_before=known_before)


def test_what_was_known_is_compared_over_its_classes_and_on_earlier_spans() -> None:
    before = ("bus", "car")
    images = [
        of_span("1", "car", "car", 3, before),
        of_span("2", "car", "bus", 4, before),
        of_span("3", "car", "car", 4, before),
        of_span("4", "tram", "tram", 5, before),
        of_span("5", "bus", "bus", 5, before),
        of_span("6", "tram", "tram", 4, before),
    ]
    metrics = slice_metrics(images, EvalSettings.model_validate(COMPARED))
    both = slice_metrics(images[:3], EvalSettings())
    assert metrics["kept/AP"] == pytest.approx((metrics["AP/bus"] + metrics["AP/car"]) / 2)
    assert metrics["kept/AP"] < metrics["AP"], "the new class is learnt well"
    assert metrics["earlier/AP"] == pytest.approx((both["AP/bus"] + both["AP/car"]) / 2)
    assert metrics["earlier/image_count"] == 4
    assert metrics.keys() >= {"known/before/bus", "known/before/car"}
    assert "known/before/tram" not in metrics


@pytest.mark.parametrize("spans", [(5, 5, 5), (4, 5, 5), (None, None, None)])
def test_few_images_of_earlier_spans_are_no_loss(spans: tuple[int | None, ...]) -> None:
    images = [of_span(str(n), "car", "bus", span, ("bus",)) for n, span in enumerate(spans)]
    metrics = slice_metrics(images, EvalSettings.model_validate(COMPARED))
    assert (metrics["kept/AP"], metrics["earlier/AP"]) == (0.0, 1.0)
    assert metrics["earlier/image_count"] == sum(span == 4 for span in spans)


def test_classes_that_no_image_shows_are_no_loss() -> None:
    images = [of_span(str(n), "bus", "bus", span, ("tram",)) for n, span in enumerate((1, 1, 2))]
    metrics = slice_metrics(images, EvalSettings.model_validate(COMPARED))
    assert (metrics["kept/AP"], metrics["earlier/AP"], metrics["known/before/tram"]) == (1.0, 1.0, 0.0)


def test_without_a_blessed_model_all_classes_count() -> None:
    images = [of_span("1", "bus", "bus", None, None), of_span("2", "car", "tram", None, None)]
    metrics = slice_metrics(images, EvalSettings.model_validate(COMPARED))
    assert metrics["kept/AP"] == metrics["AP"]
