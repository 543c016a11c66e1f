"""The canvas: what is seen of a pasted picture, exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from demo.canvas import SUPERSAMPLING, Canvas


def _square(side: int) -> Image.Image:
    return Image.new("RGBA", (side, side), (255, 0, 0, 255))


def test_what_is_drawn_later_covers() -> None:
    canvas = Canvas(20, 20)
    assert canvas.paste(_square(20), 10, 10, 1, 0.5) == 400
    whole = canvas.visible(1)
    assert whole is not None and whole.box_xyxy_pixels == (5, 5, 15, 15)
    canvas.rectangle(0, 0, 19, 40, (0, 0, 0), 0.1)
    part = canvas.visible(1)
    assert part is not None and part.box_xyxy_pixels == (10, 5, 15, 15) and part.area_pixels == 200
    canvas.rectangle(0, 0, 40, 40, (0, 0, 0), 0.1)
    assert canvas.visible(1) is None


@given(st.integers(-30, 50), st.integers(-30, 50), st.integers(1, 40))
def test_the_box_is_the_part_inside(left: int, top: int, side: int) -> None:
    canvas = Canvas(16, 12)
    assert canvas.paste(_square(side), left, top, 1, 0.5) == side * side
    right, bottom = min(left + side, canvas.width), min(top + side, canvas.height)
    expected = (max(left, 0), max(top, 0), right, bottom)
    seen = canvas.visible(1)
    if expected[0] >= right or expected[1] >= bottom:
        assert seen is None
    else:
        assert seen is not None
        assert seen.box_xyxy_pixels == pytest.approx([edge / SUPERSAMPLING for edge in expected])
