"""Names stand inside the picture, on no other name, and by their box."""

from __future__ import annotations

import hypothesis
from hypothesis import strategies as st

from components.label_placement import Box, LabelPlacer, overlap, places_by

WIDTH, HEIGHT = 200.0, 120.0


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """Boxes that may reach out of the picture, as detections do."""
    x, y = draw(st.floats(-20, WIDTH)), draw(st.floats(-20, HEIGHT))
    side = st.floats(0, 150) | st.just(1e12)
    return x, y, x + draw(side), y + draw(side)


@st.composite
def wanted(draw: st.DrawFn) -> tuple[Box, float, float]:
    """A box, and the width and height of its name, which may be too large."""
    return draw(boxes()), draw(st.floats(4, 1.2 * WIDTH)), draw(st.floats(4, 30))


def _inside(place: Box) -> bool:
    return min(place[:2]) >= 0 and place[2] <= WIDTH + 1e-9 and place[3] <= HEIGHT + 1e-9


@hypothesis.given(st.lists(wanted(), max_size=25))
def test_inside_the_picture_and_none_on_another(labels: list[tuple[Box, float, float]]) -> None:
    placer = LabelPlacer((WIDTH, HEIGHT), [box for box, _, _ in labels])
    taken: list[Box] = []
    for box, width, height in labels:
        place = placer.place(box, width, height)
        if place is None:
            # Only where there is no room: each place by the box is out of the picture or taken.
            for other in places_by(box, width, height, (WIDTH, HEIGHT)):
                assert any(overlap(other, one) for one in taken)
            continue
        assert _inside(place)
        assert not any(overlap(place, other) for other in taken)
        taken.append(place)


@hypothesis.given(boxes(), st.floats(4, WIDTH), st.floats(4, HEIGHT))
def test_a_lone_name_that_fits_has_a_place(box: Box, width: float, height: float) -> None:
    place = LabelPlacer((WIDTH, HEIGHT), [box]).place(box, width, height)
    assert place is not None
    assert _inside(place)


def test_a_name_larger_than_the_picture_has_none() -> None:
    assert LabelPlacer((50, 50), []).place((0, 0, 20, 20), 51, 10) is None


def test_the_name_stands_above_its_box_and_a_second_one_elsewhere() -> None:
    box = (20.0, 40.0, 80.0, 90.0)
    placer = LabelPlacer((WIDTH, HEIGHT), [box, box])
    assert placer.place(box, 50, 12) == (20, 28, 70, 40)
    second = placer.place(box, 50, 12)
    assert second is not None
    assert not overlap(second, (20, 28, 70, 40))


def test_small_boxes_are_kept_clear_of_names_where_that_can_be() -> None:
    box, small = (20.0, 40.0, 80.0, 90.0), (25.0, 30.0, 32.0, 38.0)
    place = LabelPlacer((WIDTH, HEIGHT), [box, small]).place(box, 50, 12)
    assert place is not None
    assert not overlap(place, small)


def test_at_the_edges_names_are_moved_in() -> None:
    for box in ((190.0, 0.0, 200.0, 8.0), (0.0, 112.0, 5.0, 120.0), (150.0, 60.0, 260.0, 70.0)):
        place = LabelPlacer((WIDTH, HEIGHT), [box]).place(box, 60, 14)
        assert place is not None
        assert _inside(place)
