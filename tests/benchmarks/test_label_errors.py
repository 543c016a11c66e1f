"""Errors are planted as it says, and flags are counted against them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.label_errors import DAMAGES, SHARE, Flag, PlantedError, hits, ious, moved, plant, row
from demo.glyphs import GlyphImage


def pictures(count: int = 50) -> list[GlyphImage]:
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(count):
        corner = random.uniform(0, 0.6, (3, 2))
        boxes = np.concatenate([corner, corner + random.uniform(0.1, 0.3, (3, 2))], axis=1).astype(np.float32)
        drawn.append(GlyphImage(np.zeros((8, 8, 3), np.uint8), boxes, random.integers(0, 5, 3).astype(np.int32)))
    return drawn


def test_a_tenth_is_planted_a_third_in_each_way() -> None:
    before = pictures()
    after, errors = plant(before, 5, np.random.default_rng(1))
    assert len(errors) == round(SHARE * 150)
    assert [sum(error.damage == damage for error in errors) for damage in DAMAGES] == [5, 5, 5]
    assert sum(len(picture.classes) for picture in after) == 150 - 5
    renamed = sum(
        int((a.classes != b.classes).sum())
        for a, b in zip(after, before, strict=True)
        if len(a.classes) == len(b.classes)
    )
    assert 1 <= renamed <= 5
    for error in errors:
        assert len(error.boxes_yxyx_normalized) == (2 if error.damage == "moved" else 1)
        original = before[error.image].boxes_yxyx_normalized
        assert (ious(error.boxes_yxyx_normalized[:1], original) > 0.999).any()


def test_a_moved_box_is_elsewhere_but_touches() -> None:
    random = np.random.default_rng(0)
    box = np.array([0.0, 0.8, 0.1, 1.0], np.float32)
    for _ in range(20):
        other = moved(box, random)
        assert 0.2 <= ious(box[None], other[None])[0, 0] <= 0.6
        assert other.min() >= 0 and other.max() <= 1


def test_a_flag_is_right_on_the_old_or_the_new_place_of_an_error() -> None:
    here, there, off = [0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.7, 0.7], [0.8, 0.1, 0.9, 0.2]
    errors = [PlantedError("moved", 3, np.array([here, there])), PlantedError("removed", 4, np.array([here]))]
    flags = [
        Flag(3, np.array([there])),
        Flag(3, np.array([off])),
        Flag(4, np.array([off, here])),
        Flag(5, np.array([here])),
    ]
    assert hits(flags, errors) == [{0}, set(), {1}, set()]
    cells = row("order", flags, errors).split("|")[2:-1]
    # Two of four flags; one of two errors within the first two flags.
    assert [float(cell) for cell in cells] == pytest.approx([0.5, 0.5, 0.0, 1.0, 0.0])
