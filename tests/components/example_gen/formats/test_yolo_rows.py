from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.example_gen.formats.yolo_rows import RowFormat, parse_row

NAMES = {0: "car", 1: "bus"}


@given(st.tuples(*[st.floats(0.1, 0.4)] * 4), st.sampled_from(sorted(NAMES)))
def test_row_round_trip(box: tuple[float, float, float, float], number: int) -> None:
    cx, cy, width, height = box
    row = parse_row(f" {number}\t{cx!r} {cy!r}  {width!r} {height!r} ", "line 1", NAMES, RowFormat())
    xmin, ymin, xmax, ymax = row.annotation.box_xyxy
    assert ((xmin + xmax) / 2, (ymin + ymax) / 2) == pytest.approx((cx, cy))
    assert (xmax - xmin, ymax - ymin) == pytest.approx((width, height))
    assert (row.annotation.class_name, row.annotation.class_id) == (NAMES[number], number + 1)


@given(st.text(max_size=40))
def test_no_row_does_worse_than_a_value_error(line: str) -> None:
    try:
        parse_row(line or "x", "line 1", NAMES, RowFormat())
    except ValueError as error:
        assert "expected: class cx cy width height" in str(error)


CORNERS = "0.1 0.2 0.5 0.2 0.5 0.8 0.1 0.8"


@pytest.mark.parametrize(
    ("line", "rows", "box", "is_polygon"),
    [
        ("0 0.5 0.5 0.2 0.2 0.9", RowFormat(), (0.4, 0.4, 0.6, 0.6), False),
        (f"0 {CORNERS}", RowFormat(), (0.1, 0.2, 0.5, 0.8), True),
        (f"0 {CORNERS}", RowFormat(task="obb"), (0.1, 0.2, 0.5, 0.8), True),
        (f"0 0.5 0.5 0.2 0.2 {CORNERS}", RowFormat(keypoints=(4, 2)), (0.4, 0.4, 0.6, 0.6), False),
        (f"0 0.5 0.5 0.2 0.2 {CORNERS} 2", RowFormat(keypoints=(3, 3)), (0.4, 0.4, 0.6, 0.6), False),
        (f"0 0.5 0.5 0.2 0.2 {CORNERS}", RowFormat(task="pose"), (0.4, 0.4, 0.6, 0.6), False),
        ("0 5e-1 .5 2E-1 0.2", RowFormat(keypoints=(4, 2)), (0.4, 0.4, 0.6, 0.6), False),
    ],
)
def test_boxes_of_other_rows(line: str, rows: RowFormat, box: tuple, is_polygon: bool) -> None:
    row = parse_row(line, "line 1", NAMES, rows)
    assert row.annotation.box_xyxy == pytest.approx(box)
    assert row.is_polygon is is_polygon


@pytest.mark.parametrize(
    ("line", "rows", "message"),
    [
        ("0 0,5 0,5 0,2 0,2", RowFormat(), r"'0,5' is no number \(a decimal comma; write a point\)"),
        ("car 0.5 0.5 0.2 0.2", RowFormat(), "'car' is no number"),
        ("0 0.5 0.5 1_0 0.2", RowFormat(), "'1_0' is no number"),
        (
            f"0 0.5 0.5 0.2 0.2 {CORNERS}",
            RowFormat(keypoints=(8, 2)),
            "13 numbers .* and the 8 x 2 numbers of kpt_shape",
        ),
        (f"0 {CORNERS} 1", RowFormat(), "10 numbers in"),
        ("0 0.5 0.5 0.2", RowFormat(), "4 numbers in"),
        ("0 0.5 0.5 0.2 0.2 45", RowFormat(), r"45 is no confidence in 0\.\.1"),
        ("0 0.5 0.5 0.2 0.2 -0.3", RowFormat(), r"-0\.3 is no confidence in 0\.\.1"),
    ],
)
def test_rows_that_are_refused(line: str, rows: RowFormat, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_row(line, "line 1", NAMES, rows)


@pytest.mark.parametrize(
    ("number", "name"), [("0.0", "car"), ("1e0", "bus"), ("7", None), ("0.5", None), ("nan", None)]
)
def test_a_class_is_a_whole_number(number: str, name: str | None) -> None:
    row = parse_row(f"{number} 0.5 0.5 0.2 0.2", "line 1", NAMES, RowFormat())
    assert row.annotation.class_name == name
    assert row.class_coerced is (name is not None)
