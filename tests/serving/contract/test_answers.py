"""What counts as the same answer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.contract.answers import Answer, compared_detections, difference

ROWS = st.lists(st.tuples(st.floats(0, 0.7), st.floats(0, 0.7), st.floats(0, 1), st.integers(1, 3)), max_size=8)


def answer(rows: list[tuple[float, float, float, int]], shift: float = 0.0) -> Answer:
    """Of rows (y, x, score, class) with boxes of 0.2 by 0.3."""
    array = np.array(rows, np.float32).reshape(-1, 4)
    corners = array[:, :2] + np.float32(shift)
    boxes = np.concatenate([corners, corners + np.float32([0.2, 0.3])], axis=1)
    return Answer(boxes, array[:, 2], array[:, 3].astype(np.int64))


@given(rows=ROWS)
def test_an_answer_is_like_itself_in_any_order(rows: list[tuple[float, float, float, int]]) -> None:
    assert difference([answer(rows)], [answer(rows[::-1], shift=1e-4)]) == ""


ONE = (0.1, 0.2, 0.9, 1)


@pytest.mark.parametrize(
    "other",
    [[], [ONE, (0.6, 0.6, 0.5, 1)], [(0.1, 0.23, 0.9, 1)], [(0.1, 0.2, 0.8, 1)], [(0.1, 0.2, 0.9, 2)]],
    ids=["missing", "unexpected", "moved", "scored", "classified"],
)
def test_what_differs_is_told(other: list[tuple[float, float, float, int]]) -> None:
    assert difference([answer([ONE])], [answer(other)]).startswith("image 0: class")
    assert difference([answer(other)], [answer([ONE])]).startswith("image 0: class")


def test_as_many_answers_as_images() -> None:
    assert difference([answer([ONE])], []) == "answers for 1 images instead of 0"


def test_what_scores_too_little_does_not_count_unless_all_of_it_does() -> None:
    assert difference([answer([ONE, (0.5, 0.5, 0.02, 1)])], [answer([ONE])]) == ""
    assert compared_detections(answer([ONE, (0.5, 0.5, 0.02, 1)])) == 1
    assert difference([answer([(0.5, 0.5, 0.02, 1)])], [answer([])]) != ""


def test_which_of_equals_had_no_room_left_does_not_count() -> None:
    last, other = (0.5, 0.5, 0.4, 1), (0.3, 0.6, 0.4, 1)
    here, there = answer([ONE, last]), answer([ONE, other])
    assert difference([here], [there]) != ""
    full = [dataclasses.replace(found, is_full=True) for found in (here, there)]
    assert difference(full[:1], full[1:]) == ""
    assert compared_detections(full[0]) == 1


def test_either_of_two_equals_may_be_kept_but_not_every_box_be_another() -> None:
    many = [(0.02 * n, 0.02 * n, 0.9 - 0.02 * n, 1) for n in range(20)]
    moved = [(y + 0.02, x, score, class_id) for y, x, score, class_id in many]
    assert difference([answer([moved[0], *many[1:]])], [answer(many)]) == ""
    assert difference([answer(moved)], [answer(many)]) != ""
    assert difference([answer(moved[:3])], [answer(many[:3])]) != ""
