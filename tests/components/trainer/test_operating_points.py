"""Score thresholds for an export: those of the evaluator's function, by the ids of the label map."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from components.evaluator.analysis.operating_point import Rule, operating_points
from components.evaluator.matched_images import join_images
from components.evaluator.operating_point_settings import OperatingPointSettings
from components.trainer.operating_points import choose_operating_points, described
from schema.label_map import LabelMap
from tests.components.evaluator.made_images import made_image, made_result

# An id without a class, and names that are not in their order.
LABELS = LabelMap((1, 2, 4), ("sign", "bus", "car"))
F1 = OperatingPointSettings()


def _results(count: int, classes: int = 2) -> list:  # type: ignore[type-arg]
    """Images with the first two classes, by index."""
    random = np.random.default_rng(0)
    return [made_result(random, num_classes=classes) for _ in range(count)]


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        (F1, Rule()),
        (OperatingPointSettings(rule="precision", value=0.9), Rule("precision", 0.9)),
        (OperatingPointSettings(rule="recall", value=0.5), Rule("recall", 0.5)),
    ],
)
def test_they_are_those_of_the_function_by_id(settings: OperatingPointSettings, rule: Rule) -> None:
    results = _results(40)
    points = choose_operating_points(results, LABELS, settings, "eval")
    images = [made_image(n, {"m": result}, ["sign", "bus"]) for n, result in enumerate(results)]
    expected = operating_points(join_images(images, "m", None, None), rule)
    assert points is not None
    assert (points.rule, points.value, points.split, points.images) == (settings.rule, settings.value, "eval", 40)
    assert [(point.class_id, point.class_name) for point in points.classes] == list(LABELS)
    for point in points.classes[:2]:
        assert dataclasses.asdict(expected[point.class_name]).items() <= dataclasses.asdict(point).items()
        assert not point.of_all_classes
    nowhere = points.classes[2]
    assert nowhere.of_all_classes
    assert nowhere.support == 0
    assert points.threshold_by_id == {point.class_id: point.threshold for point in points.classes}


def test_nothing_to_find_and_nothing_found_have_none() -> None:
    assert choose_operating_points([], LABELS, F1, "eval") is None
    empty = [
        dataclasses.replace(result, detection_scores=np.full_like(result.detection_scores, np.nan))
        for result in _results(3)
    ]
    assert choose_operating_points(empty, LABELS, F1, "eval") is None
    assert described(None) == ["score thresholds: none, for there was no object to find, or nothing was detected"]


def test_the_log_says_what_was_chosen_and_what_is_no_class_s_own() -> None:
    of_f1 = choose_operating_points(_results(40), LABELS, F1, "eval")
    assert of_f1 is not None
    first, shared = described(of_f1)
    lowest, highest = (of(of_f1.classes, key=lambda point: point.threshold) for of in (min, max))
    assert first == (
        f"score thresholds for the best F1 on 40 images of eval: {lowest.threshold:.3f} ({lowest.class_name}) to "
        f"{highest.threshold:.3f} ({highest.class_name})"
    )
    assert shared == "score thresholds: that of all classes together, for too few objects: car"
    strict = OperatingPointSettings(rule="recall", value=1.0)
    lines = described(choose_operating_points(_results(40), LABELS, strict, "eval"))
    assert lines[0].startswith("score thresholds for recall 1 on 40 images of eval: ")
    assert lines[-1] == "score thresholds: recall 1 is not reached, the nearest is taken: sign, bus, car"
    few = described(choose_operating_points(_results(3), LABELS, F1, "eval"))[0].rpartition(": ")[2]
    assert "(" not in few, "all classes have one"
    assert 0 < float(few) < 1
    many = LabelMap.of_names([f"class {number}" for number in range(9)])
    assert described(choose_operating_points(_results(3), many, F1, "eval"))[1].endswith("class 4 and 4 more")
