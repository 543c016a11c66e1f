"""D-RISE on planted objects: what is to come out is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.saliency.drise import Detection, MaskSettings, focus, saliency_maps, similarity
from pipeline.saliency.random_masks import random_masks

IMAGE = np.full((80, 120, 3), 200, np.uint8)
LEFT = Detection((0.2, 0.1, 0.5, 0.4), 1, 0.9)
RIGHT = Detection((0.5, 0.6, 0.9, 0.9), 2, 0.8)


def _slices(detection: Detection) -> tuple[slice, slice]:
    ymin, xmin, ymax, xmax = detection.box_yxyx_normalized
    return slice(round(80 * ymin), round(80 * ymax)), slice(round(120 * xmin), round(120 * xmax))


def _two_objects(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Finds both, each with a score by how much of its own box is bright; and a padded row."""
    rows = np.full((len(images), 3, 6), -1.0, np.float32)
    for index, one in enumerate((LEFT, RIGHT)):
        rows[:, index, :4], rows[:, index, 4] = one.box_yxyx_normalized, one.class_id
        rows[:, index, 5] = (images[:, *_slices(one), 0].mean(axis=(1, 2)) - 120) / 80
    return rows


@pytest.fixture(scope="module")
def maps() -> npt.NDArray[np.float32]:
    return saliency_maps(_two_objects, IMAGE, [LEFT, RIGHT], MaskSettings(masks=400, cells=8, seed=3))


@pytest.mark.parametrize("number", [0, 1])
def test_the_heat_lies_in_the_object_and_not_in_the_other_one(maps: npt.NDArray[np.float32], number: int) -> None:
    own, other = ((LEFT, RIGHT), (RIGHT, LEFT))[number]
    where = focus(maps[number], own.box_yxyx_normalized)
    assert where.peak_in_box
    # The boxes have 9 and 12 percent of the image, and masks are no sharper than a cell.
    assert where.heat_in_box > 0.5
    assert focus(maps[number], other.box_yxyx_normalized).heat_in_box < 0.15
    assert maps[number].min() == 0.0
    assert maps[number].max() == 1.0


def test_the_same_seed_gives_the_same_map_whatever_the_batch(maps: npt.NDArray[np.float32]) -> None:
    again = saliency_maps(_two_objects, IMAGE, [LEFT, RIGHT], MaskSettings(masks=400, cells=8, seed=3, batch_size=30))
    assert again == pytest.approx(maps, abs=1e-3)
    told: list[int] = []
    settings = MaskSettings(masks=30, cells=8, seed=4, batch_size=7)
    saliency_maps(_two_objects, IMAGE, [LEFT], settings, told.append)
    assert told == [7, 7, 7, 7, 2]


def test_a_detector_that_does_not_look_has_no_heat() -> None:
    def blind(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return np.tile(np.array([[[0.2, 0.1, 0.5, 0.4, 1.0, 0.7]]], np.float32), (len(images), 1, 1))

    maps = saliency_maps(blind, IMAGE, [LEFT], MaskSettings(masks=20))
    assert not maps.any()
    assert not focus(maps[0], LEFT.box_yxyx_normalized).peak_in_box


def test_similarity_is_overlap_times_class_times_score_of_the_best() -> None:
    same, half, other = (0.2, 0.1, 0.5, 0.4), (0.2, 0.1, 0.5, 0.25), (0.6, 0.6, 0.9, 0.9)
    rows = np.array(
        [
            [[*same, 1, 0.8], [*half, 1, 0.9], [*other, 1, 1.0]],
            [[*same, 2, 0.8], [*half, 1, 0.9], [*other, 1, 1.0]],
            [[*same, 2, 1.0], [-1] * 6, [-1] * 6],
            [[-1] * 6, [-1] * 6, [-1] * 6],
        ],
        np.float32,
    )
    assert similarity(rows, LEFT) == pytest.approx([0.8, 0.45, 0.0, 0.0], abs=1e-6)
    assert similarity(rows[:, :0], LEFT).tolist() == [0.0] * 4


@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 20), st.floats(0.1, 0.9), st.integers(0, 2**32))
def test_masks(height: int, width: int, cells: int, visible_share: float, seed: int) -> None:
    masks = random_masks(3, (height, width), cells, visible_share, np.random.default_rng(seed))
    assert masks.shape == (3, height, width)
    assert masks.min() >= -1e-6
    assert masks.max() <= 1.0 + 1e-6


def test_masks_show_each_pixel_as_often_as_told_and_change_slowly() -> None:
    masks = random_masks(2000, (48, 64), 8, 0.3, np.random.default_rng(0))
    assert masks.mean(axis=0) == pytest.approx(0.3, abs=0.06)
    # A step of a pixel is no more than its share of a cell.
    assert np.abs(np.diff(masks, axis=1)).max() <= 1 / 6 + 1e-5
    # The masks are not all cut at the same places.
    assert len({tuple(np.flatnonzero(np.abs(np.diff(mask[:, 0])) < 1e-6)) for mask in masks[:50]}) > 5
