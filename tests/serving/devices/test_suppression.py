"""Suppression in numpy against the graph's, score for score and in the same order."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.detector.heads import postprocess
from serving.devices import suppression


def _compare(
    boxes: np.ndarray,
    scores: np.ndarray,
    share: tuple[float, float] = (1.0, 1.0),
    *,
    score_threshold: float = 0.1,
    iou_threshold: float = 0.5,
    max_per_class: int = 4,
    max_total: int = 6,
) -> suppression.Found:
    shares = np.float32(share)
    options = {
        "score_threshold": score_threshold,
        "iou_threshold": iou_threshold,
        "max_per_class": max_per_class,
        "max_total": max_total,
    }
    expected = postprocess.to_original_frame(
        postprocess.batch_non_max_suppression(
            tf.constant(boxes[np.newaxis]),
            tf.constant(scores[np.newaxis]),
            window_yxyx=postprocess.canvas_window(tf.constant(shares[np.newaxis])),
            **options,
        ),
        tf.constant(shares[np.newaxis]),
    )
    found = suppression.suppress(boxes, scores, window_yxyx=suppression.canvas_window(shares), **options)
    found = suppression.to_original_frame(found, shares)
    count = int(expected.counts[0])
    np.testing.assert_array_equal(found.scores, expected.scores[0, :count])
    np.testing.assert_array_equal(found.classes, expected.classes[0, :count])
    np.testing.assert_array_equal(found.boxes_yxyx_normalized, expected.boxes_yxyx_normalized[0, :count])
    return found


@settings(max_examples=120)
@given(st.data())
def test_any_boxes(data: st.DataObject) -> None:
    # On a grid, so that equal scores, equal boxes, overlaps of just the threshold and inverted boxes are frequent.
    rows, classes = data.draw(st.integers(1, 24)), data.draw(st.integers(1, 4))
    shared = data.draw(st.booleans())
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 20)))
    boxes = rng.integers(-2, 11, (rows, 1 if shared else classes, 4)).astype(np.float32) / 8
    scores = rng.integers(0, 9, (rows, classes)).astype(np.float32) / 8
    _compare(
        boxes,
        scores,
        (data.draw(st.sampled_from([0.5, 0.75, 1.0])), data.draw(st.sampled_from([0.625, 1.0]))),
        score_threshold=data.draw(st.sampled_from([0.0, 1e-8, 0.25])),
        iou_threshold=data.draw(st.sampled_from([0.25, 0.5, 1.0])),
        max_per_class=data.draw(st.integers(1, 6)),
        max_total=data.draw(st.integers(1, 12)),
    )


@pytest.mark.parametrize(("kinds", "iou_threshold"), [(3, 0.5), (1, 0.02)])
def test_more_candidates_than_are_looked_at_first(
    kinds: int, iou_threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suppression, "_FIRST_CANDIDATES", 16)
    monkeypatch.setattr(suppression, "_BLOCK", 32)
    rng = np.random.default_rng(3)
    start = rng.uniform(0, 0.8, (3000, 1, 2))
    boxes = np.concatenate([start, start + rng.uniform(0.01, 0.3, (3000, 1, 2))], axis=-1).astype(np.float32)
    scores = rng.uniform(0, 1, (3000, kinds)).astype(np.float32)
    found = _compare(boxes, scores, score_threshold=1e-8, iou_threshold=iou_threshold, max_per_class=100, max_total=100)
    assert len(found.scores) > 30


def test_what_is_no_number_is_not_found() -> None:
    boxes = np.tile(np.float32([0.0, 0.0, 0.5, 0.5]), (3, 1, 1))
    found = _compare(boxes, np.float32([[np.nan, 0.5], [0.9, np.nan], [np.nan, np.nan]]))
    assert found.classes.tolist() == [0, 1]


def test_an_empty_answer() -> None:
    assert len(_compare(np.zeros((2, 1, 4), np.float32), np.full((2, 3), 0.9, np.float32)).scores) == 0
