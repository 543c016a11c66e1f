from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from components.detector.targets import matching
from components.detector.targets.matching import IGNORED, UNMATCHED


def match_by_hand(
    similarity: np.ndarray, weights: np.ndarray, matched: float, unmatched: float, force: bool
) -> list[int]:
    """One image, column by column; then row by row, so that the first row wins a column that several want."""
    matches = []
    for column in similarity.T:
        best = column.max(initial=0.0)
        row = int(column.argmax()) if column.size else UNMATCHED
        matches.append(row if best >= matched else UNMATCHED if best < unmatched else IGNORED)
    for row in reversed(range(len(similarity))) if force else ():
        if weights[row] > 0 and similarity[row].max() > 0:
            matches[int(similarity[row].argmax())] = row
    return matches


@settings(deadline=None, max_examples=60)
@given(
    similarity=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 2), st.integers(0, 4), st.integers(1, 6)),
        elements=st.floats(0, 1, width=16),
    ),
    thresholds=st.sampled_from([(0.5, 0.5), (0.7, 0.3), (0.0, 0.0)]),
    force=st.booleans(),
    data=st.data(),
)
def test_matches_are_those_of_a_loop(
    similarity: np.ndarray, thresholds: tuple[float, float], force: bool, data: st.DataObject
) -> None:
    weights = data.draw(hnp.arrays(np.float32, similarity.shape[:2], elements=st.sampled_from([0.0, 1.0])))
    if similarity.shape[1] == 0 and thresholds[0] == 0.0:
        return  # without rows there is nothing to match, whatever the threshold
    actual = matching.argmax_match(
        similarity, weights, matched_threshold=thresholds[0], unmatched_threshold=thresholds[1], force_match=force
    )
    expected = [match_by_hand(s, w, *thresholds, force) for s, w in zip(similarity, weights, strict=True)]
    np.testing.assert_array_equal(actual, expected)


def test_thresholds_must_be_in_order() -> None:
    with pytest.raises(ValueError, match="exceeds"):
        matching.argmax_match(
            np.zeros((1, 1, 1)), np.ones((1, 1)), matched_threshold=0.3, unmatched_threshold=0.5, force_match=False
        )


def test_targets_of_matched_ignored_and_background_anchors() -> None:
    matches = np.int32([[1, UNMATCHED, IGNORED, 0]])
    boxes = np.float32([[[0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]]])
    targets = matching.gather_targets(matches, boxes, np.int32([[5, 7]]), np.float32([[0.0, 1.0]]))
    np.testing.assert_array_equal(targets.classes, [[7, -1, -1, 5]])
    np.testing.assert_array_equal(targets.class_weights, [[1, 1, 0, 0]])  # row 0 is a crowd: ignored
    np.testing.assert_array_equal(targets.box_weights, [[1, 0, 0, 0]])
    np.testing.assert_allclose(targets.boxes_yxyx[0, 0], boxes[0, 1])
    np.testing.assert_allclose(targets.boxes_yxyx[0, 1], np.zeros(4))
