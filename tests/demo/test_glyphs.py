"""The pre-training task: deterministic, honest boxes, nothing of the demo's classes."""

from __future__ import annotations

import numpy as np

from demo.glyphs import GLYPH_CLASSES, render_glyphs
from demo.signs import SIGN_CLASSES


def test_shares_no_class_with_the_demo() -> None:
    assert not set(GLYPH_CLASSES) & set(SIGN_CLASSES)


def test_a_seed_gives_the_same_picture() -> None:
    first, again, other = render_glyphs(3, 96, seed=1), render_glyphs(3, 96, seed=1), render_glyphs(3, 96, seed=2)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_array_equal(first.boxes_yxyx_normalized, again.boxes_yxyx_normalized)
    assert not np.array_equal(first.pixels, other.pixels)


def test_boxes_lie_inside_and_every_class_appears() -> None:
    seen: set[int] = set()
    for index in range(60):
        picture = render_glyphs(index, 96, seed=0)
        assert picture.pixels.shape == (96, 96, 3) and picture.pixels.dtype == np.uint8
        boxes = picture.boxes_yxyx_normalized
        assert boxes.shape == (len(picture.classes), 4)
        assert (boxes >= 0).all() and (boxes <= 1).all() and (boxes[:, 2:] > boxes[:, :2]).all()
        seen.update(int(index) for index in picture.classes)
    assert seen == set(range(len(GLYPH_CLASSES)))
