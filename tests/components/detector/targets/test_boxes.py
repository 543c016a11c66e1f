from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from components.detector.targets import boxes

# TensorFlow computes subnormal numbers as 0.
_SIDES = st.floats(-2.0, 2.0, width=32, allow_subnormal=False)


@st.composite
def yxyx(draw: st.DrawFn, max_rows: int = 6) -> np.ndarray:
    """float32 [N, 4] boxes, not inverted, some of them empty."""
    corners = draw(hnp.arrays(np.float32, st.tuples(st.integers(1, max_rows), st.just(4)), elements=_SIDES))
    return np.concatenate([np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1)


def iou_by_hand(a: np.ndarray, b: np.ndarray) -> float:
    height = max(min(a[2], b[2]) - max(a[0], b[0]), 0.0)
    width = max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - height * width
    return height * width / union if union > 0 else 0.0


@settings(deadline=None, max_examples=50)
@given(yxyx(), yxyx())
def test_pairwise_iou_is_that_of_every_pair(left: np.ndarray, right: np.ndarray) -> None:
    expected = [[iou_by_hand(a, b) for b in right.astype(np.float64)] for a in left.astype(np.float64)]
    np.testing.assert_allclose(boxes.pairwise_iou(left, right), expected, atol=2e-3)
    assert (np.asarray(boxes.pairwise_iou(left, left)) <= 1.0 + 1e-5).all()


@settings(deadline=None, max_examples=50)
@given(yxyx(), yxyx())
def test_iou_of_each_with_its_other(left: np.ndarray, right: np.ndarray) -> None:
    count = min(len(left), len(right))
    plain, generalised = (np.array(part) for part in boxes.ious(left[:count], right[:count]))
    np.testing.assert_allclose(plain, np.diagonal(boxes.pairwise_iou(left[:count], right[:count])), atol=2e-3)
    assert (generalised <= plain + 2e-3).all() and (generalised >= -1.0 - 2e-3).all()


def test_generalised_iou_by_hand() -> None:
    """Two unit squares with one between them: nothing in common, and a third of what is around them is empty."""
    plain, generalised = boxes.ious(np.float32([[0, 0, 1, 1]]), np.float32([[0, 2, 1, 3]]))
    np.testing.assert_allclose([plain[0], generalised[0]], [0.0, -1 / 3], atol=1e-6)


def test_conversion_of_one_box() -> None:
    np.testing.assert_allclose(
        boxes.yxyx_to_cxcywh(np.float32([[0.0, 0.1, 0.4, 0.5]])), [[0.3, 0.2, 0.4, 0.4]], atol=1e-6
    )


@settings(deadline=None, max_examples=50)
@given(yxyx(max_rows=1), yxyx(max_rows=1), st.sampled_from([boxes.ZOO_SCALE_FACTORS, (1.0, 1.0, 1.0, 1.0)]))
def test_decode_inverts_encode(box: np.ndarray, anchor: np.ndarray, scales: boxes.ScaleFactors) -> None:
    anchor = anchor + np.float32([0, 0, 0.05, 0.05])  # anchors are never empty
    coded = boxes.encode(box, anchor, scales)
    assert np.isfinite(coded).all()
    np.testing.assert_allclose(boxes.decode(coded, anchor, scales), box, atol=1e-4)


def test_encode_by_hand() -> None:
    anchor, box = np.float32([[0.0, 0.0, 0.2, 0.4]]), np.float32([[0.1, 0.2, 0.3, 0.6]])
    expected = [[10 * 0.1 / 0.2, 10 * 0.2 / 0.4, 0.0, 0.0]]
    np.testing.assert_allclose(boxes.encode(box, anchor), expected, atol=1e-5)


@settings(deadline=None, max_examples=50)
@given(yxyx(), yxyx(max_rows=1))
def test_clipped_boxes_lie_in_the_window(sides: np.ndarray, window: np.ndarray) -> None:
    clipped = np.asarray(boxes.clip(sides, window[0]))
    low, high = np.tile(window[0, :2], 2), np.tile(window[0, 2:], 2)
    assert (clipped >= low).all() and (clipped <= high).all()
    inside = ((sides >= low) & (sides <= high)).all(axis=1)
    np.testing.assert_array_equal(clipped[inside], sides[inside])
