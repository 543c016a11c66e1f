"""D-FINE's losses against its authors' formulas, image by image and query by query in numpy; and where nothing is."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from components.detector.structures import GroundTruth
from components.detector.targets.dfine_losses import Assignment, SetPredictions, set_losses

Array = NDArray[np.float64]
_SETS, _LAYERS, _QUERIES, _CLASSES, _OBJECTS = 4, 2, 5, 3, 3
"""Sets: the first layer twice, the second, and the encoder."""
_REG_MAX, _REG_SCALE, _UP = 8, 4.0, 0.5


def weighting_function() -> Array:
    """D-FINE, equation 3, as the authors compute it."""
    bound = _UP * _REG_SCALE
    step = (bound + 1) ** (2 / (_REG_MAX - 2))
    left = [-(step**i) + 1 for i in range(_REG_MAX // 2 - 1, 0, -1)]
    right = [step**i - 1 for i in range(1, _REG_MAX // 2)]
    return np.array([-2 * bound, *left, 0.0, *right, 2 * bound])


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def yxyx(cxcywh: Array) -> Array:
    cx, cy, w, h = cxcywh
    return np.array([cy - h / 2, cx - w / 2, cy + h / 2, cx + w / 2])


def iou_and_giou(one: Array, other: Array) -> tuple[float, float]:
    common = np.prod(np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0))
    union = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - common
    around = np.prod(np.maximum(one[2:], other[2:]) - np.minimum(one[:2], other[:2]))
    return common / union, common / union - (around - union) / around


def two_places(sought: float) -> dict[int, float]:
    """``translate_gt`` of the authors: the places around a distance and how near it is to each."""
    values = weighting_function()
    index = int((values <= sought).sum()) - 1
    if index < 0:
        return {0: 1.0}
    if index >= _REG_MAX:
        return {_REG_MAX: 1.0}
    right = (sought - values[index]) / (values[index + 1] - values[index])
    return {index: 1 - right, index + 1: right}


def example(seed: int) -> tuple[SetPredictions, GroundTruth, Assignment]:
    rng = np.random.default_rng(seed)
    sizes = (2, _SETS, _QUERIES)
    boxes = rng.uniform(0.2, 0.6, (*sizes, 4))
    starts = rng.uniform(0.1, 0.4, (2, _OBJECTS, 2))
    truth = GroundTruth(
        tf.constant(np.concatenate([starts, starts + rng.uniform(0.1, 0.4, (2, _OBJECTS, 2))], axis=-1), tf.float32),
        tf.constant(rng.integers(0, _CLASSES, (2, _OBJECTS)), tf.int32),
        tf.ones((2, _OBJECTS)),
        tf.ones((2, 2)),
    )
    scored = np.full(sizes, -1, np.int32)
    for image, number in np.ndindex(2, _SETS):
        scored[image, number, rng.permutation(_QUERIES)[:_OBJECTS]] = rng.permutation(_OBJECTS)
    boxed = np.array([[0, 2, -1, 1, 0], [-1, 1, 1, 2, -1]], np.int32)
    predicted = SetPredictions(
        tf.constant(rng.normal(0, 2, (*sizes, _CLASSES)), tf.float32),
        tf.constant(boxes, tf.float32),
        tf.constant(rng.normal(0, 1, (2, _LAYERS, _QUERIES, 4, _REG_MAX + 1)), tf.float32),
        tf.constant(rng.uniform(0.2, 0.5, (2, _QUERIES, 4)), tf.float32),
    )
    return predicted, truth, Assignment(tf.constant(scored), tf.constant(boxed), tf.ones(sizes))


def losses_of(
    predicted: SetPredictions, truth: GroundTruth, assignment: Assignment, weights: tf.Tensor | None = None
) -> dict[str, tf.Tensor]:
    return set_losses(
        predicted,
        truth,
        assignment,
        tf.ones_like(truth.weights) if weights is None else weights,
        tf.constant(weighting_function(), tf.float32),
        tf.constant(_REG_SCALE),
    )


def losses_by_the_formulas(predicted: SetPredictions, truth: GroundTruth, assignment: Assignment) -> dict[str, float]:
    logits, boxes, corners, references = (np.asarray(part, np.float64) for part in predicted)
    goals, classes = np.asarray(truth.boxes_yxyx_normalized, np.float64), np.asarray(truth.classes)
    scored, boxed = np.asarray(assignment.for_scores), np.asarray(assignment.for_boxes)
    classification = localization = fine_grained = 0.0
    for b, s, q in np.ndindex(2, _SETS, _QUERIES):
        found, number = scored[b, s, q], logits[b, s, q]
        for c in range(_CLASSES):
            p = sigmoid(number[c])
            is_class = found >= 0 and classes[b, found] == c
            target = iou_and_giou(yxyx(boxes[b, s, q]), goals[b, found])[0] if is_class else 0.0
            weight = target if is_class else 0.75 * p**2
            classification -= weight * (target * np.log(p) + (1 - target) * np.log(1 - p))
        if boxed[b, q] >= 0:
            y1, x1, y2, x2 = goal = goals[b, boxed[b, q]]
            as_cxcywh = np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])
            overlap, giou = iou_and_giou(yxyx(boxes[b, s, q]), goal)
            localization += 5 * np.abs(boxes[b, s, q] - as_cxcywh).sum() + 2 * (1 - giou)
            if 1 <= s <= _LAYERS:
                cx, cy, w, h = references[b, q]
                sides = [(cx - x1) / w, (cy - y1) / h, (x2 - cx) / w, (y2 - cy) / h]
                for side, from_center in enumerate(sides):
                    log_p = np.log(softmax(corners[b, s - 1, q, side]))
                    places = two_places(from_center * _REG_SCALE - _REG_SCALE / 2)
                    fine_grained -= overlap * sum(share * log_p[place] for place, share in places.items())
    distillation = 0.0
    for layer in range(_LAYERS - 1):
        kinds: dict[bool, list[float]] = {True: [], False: []}
        for b, q, side in np.ndindex(2, _QUERIES, 4):
            taught, ours = softmax(corners[b, -1, q, side] / 5), softmax(corners[b, layer, q, side] / 5)
            kind = bool(boxed[b, q] >= 0)
            weight = (
                iou_and_giou(yxyx(boxes[b, 1 + layer, q]), goals[b, boxed[b, q]])[0]
                if kind
                else sigmoid(logits[b, _LAYERS, q].max())
            )
            kinds[kind].append(weight * 25 * (taught * np.log(taught / ours)).sum())
        roots = [np.sqrt(len(kinds[kind]) / 4) for kind in (True, False)]
        distillation += (np.mean(kinds[True]) * roots[0] + np.mean(kinds[False]) * roots[1]) / sum(roots)
    return {
        "classification": classification / (2 * _OBJECTS),
        "localization": localization / (boxed >= 0).sum(),
        "fine_grained": 0.15 * fine_grained / (boxed >= 0).sum(),
        "self_distillation": 1.5 * distillation,
    }


@pytest.mark.parametrize("seed", range(3))
def test_losses_are_those_of_the_formulas(seed: int) -> None:
    found = losses_of(*example(seed))
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        losses_by_the_formulas(*example(seed)), rel=1e-4
    )


def test_queries_of_weight_0_learn_no_score() -> None:
    predicted, truth, assignment = example(0)
    only = np.zeros((2, _SETS, _QUERIES), np.float32)
    only[1, 2, 3] = 1.0
    assert assignment.for_scores[1, 2, 3] >= 0
    some = losses_of(predicted, truth, assignment._replace(score_weights=tf.constant(only)))
    all_of_it = losses_of(predicted, truth, assignment)
    assert 0.0 < float(some["classification"]) < float(all_of_it["classification"])
    assert float(some["localization"]) == float(all_of_it["localization"])
    twice = losses_of(predicted, truth, assignment._replace(score_weights=tf.constant(only)), 2 * truth.weights)
    assert float(twice["classification"]) == pytest.approx(2 * float(some["classification"]), rel=1e-5)


@pytest.mark.parametrize("case", ["no objects", "no area", "no size", "sure", "no images"])
def test_losses_and_gradients_are_finite(case: str) -> None:
    predicted, truth, assignment = example(0)
    if case == "no objects":
        assignment = Assignment(tf.fill((2, _SETS, _QUERIES), -1), tf.fill((2, _QUERIES), -1), assignment.score_weights)
    elif case == "no area":
        truth = truth._replace(boxes_yxyx_normalized=tf.zeros_like(truth.boxes_yxyx_normalized))
        predicted = predicted._replace(boxes_cxcywh=tf.zeros_like(predicted.boxes_cxcywh))
    elif case == "no size":
        predicted = predicted._replace(
            references_cxcywh=tf.zeros_like(predicted.references_cxcywh), boxes_cxcywh=-predicted.boxes_cxcywh
        )
    elif case == "sure":
        predicted = predicted._replace(logits=1e4 * predicted.logits, corners=1e4 * predicted.corners)
    else:
        predicted, truth, assignment = (
            type(parts)(*(part[:0] for part in parts)) for parts in (predicted, truth, assignment)
        )
    learnt = predicted[:3]
    with tf.GradientTape() as tape:
        tape.watch(learnt)
        found = losses_of(predicted, truth, assignment)
        total = tf.add_n(list(found.values()))
    assert np.isfinite(float(total))
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(total, learnt))
    if case in ("no objects", "no images"):
        assert float(found["localization"]) == float(found["fine_grained"]) == 0.0
