"""Which detections of two versions are one object."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from serving.comparison.matching import Tolerance, match
from serving.protocol.detections import Detection

TOLERANCE = Tolerance()


def _found(
    score: float = 0.9, box: tuple[float, float, float, float] = (0.0, 0.0, 0.4, 0.4), name: str = "stop"
) -> Detection:
    return Detection(1, name, score, box)


def test_one_object() -> None:
    difference = match([_found(0.9)], [_found(0.7, (0.0, 0.0, 0.4, 0.5))], TOLERANCE)
    [pair] = difference.pairs
    assert pair.iou == pytest.approx(0.8)
    assert pair.score_shift == pytest.approx(-0.2)
    assert difference.is_beyond(TOLERANCE)
    assert not difference.is_beyond(Tolerance(max_score_shift=0.3))


def test_another_class_and_another_place_are_other_objects() -> None:
    difference = match([_found(name="stop")], [_found(name="yield"), _found(box=(0.5, 0.5, 1, 1))], TOLERANCE)
    assert (len(difference.pairs), len(difference.only_a), len(difference.only_b)) == (0, 1, 2)


def test_the_most_overlap_is_matched_first() -> None:
    near, nearer = _found(0.95, (0.0, 0.0, 0.4, 0.3)), _found(0.6, (0.0, 0.0, 0.4, 0.4))
    difference = match([_found(0.6)], [near, nearer], TOLERANCE)
    assert [pair.b for pair in difference.pairs] == [nearer]
    assert difference.only_b == (near,)


def test_a_score_that_falls_a_little_below_the_threshold_is_no_loss() -> None:
    assert not match([_found(0.51)], [_found(0.49)], TOLERANCE).is_beyond(TOLERANCE)
    assert match([_found(0.51)], [_found(0.39)], TOLERANCE).only_a
    # Neither version calls that a detection.
    assert match([_found(0.45)], [_found(0.49)], TOLERANCE) == match([], [], TOLERANCE)


_corner = st.floats(0, 0.9, allow_nan=False)
_detections = st.lists(
    st.builds(
        lambda y, x, side, score, name: Detection(1, name, score, (y, x, y + side, x + side)),
        _corner,
        _corner,
        st.floats(0.01, 0.1),
        st.floats(0, 1),
        st.sampled_from(["stop", "yield"]),
    ),
    max_size=8,
)


@hypothesis.given(_detections, _detections)
def test_whichever_version_is_first(a: list[Detection], b: list[Detection]) -> None:
    one, other = match(a, b, TOLERANCE), match(b, a, TOLERANCE)
    assert len(one.pairs) == len(other.pairs)
    assert (len(one.only_a), len(one.only_b)) == (len(other.only_b), len(other.only_a))
    certain = [found for found in a if found.score >= TOLERANCE.score_threshold]
    in_pairs = [pair.a for pair in one.pairs if pair.a.score >= TOLERANCE.score_threshold]
    assert len(certain) == len(in_pairs) + len(one.only_a)


@hypothesis.given(_detections)
def test_a_version_agrees_with_itself(found: list[Detection]) -> None:
    assert not match(found, found, TOLERANCE).is_beyond(TOLERANCE)
