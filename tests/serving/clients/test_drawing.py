"""Drawn boxes: where they belong, whatever the box and the image's mode."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serving.clients.drawing import class_colour, draw_detections
from serving.protocol.detections import Detection

_EDGE = st.floats(0, 1)


def test_a_box_is_drawn_in_the_class_colour_and_nothing_beside_it() -> None:
    found = Detection(1, "stop", 0.9, (0.25, 0.25, 0.75, 0.75))
    image = Image.new("RGB", (200, 200))
    pixels = np.asarray(draw_detections(image, [found]))
    assert tuple(pixels[100, 50]) == class_colour("stop")
    assert not pixels[60:140, 60:140].any()
    assert not pixels[:, 160:].any()
    assert not np.asarray(image).any()


@settings(max_examples=40, deadline=None)
@given(_EDGE, _EDGE, _EDGE, _EDGE, st.sampled_from(["RGB", "L", "RGBA", "CMYK"]), st.integers(1, 80))
def test_any_box_can_be_drawn(y0: float, x0: float, y1: float, x1: float, mode: str, side: int) -> None:
    drawn = draw_detections(Image.new(mode, (side, 20)), [Detection(1, "yield", 0.5, (y0, x0, y1, x1))])
    assert (drawn.mode, drawn.size) == ("RGB", (side, 20))


def test_colours_differ_and_are_the_same_every_time() -> None:
    names = ["stop", "yield", "speed_limit", "no_entry", "priority_road", "pedestrian_crossing"]
    assert len({class_colour(name) for name in names}) == len(names)
    assert class_colour("stop") == class_colour("stop")
