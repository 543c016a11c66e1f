from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from components.detector.targets import anchors

_SIZES = st.tuples(st.integers(1, 4), st.integers(1, 4))


@settings(deadline=None, max_examples=50)
@given(feature_size=_SIZES, height=st.integers(40, 700), width=st.integers(40, 700), level=st.integers(3, 7))
def test_multiscale_anchors_are_those_of_a_loop(
    feature_size: tuple[int, int], height: int, width: int, level: int
) -> None:
    expected = []
    stride = 2**level
    for row in range(feature_size[0]):
        for column in range(feature_size[1]):
            for ratio in (1.0, 2.0, 0.5):
                for scale in (1.0, math.sqrt(2.0)):
                    center_y = row * stride + (stride / 2 if height % stride == 0 else 0)
                    center_x = column * stride + (stride / 2 if width % stride == 0 else 0)
                    half_h = scale * 4 * stride / math.sqrt(ratio) / 2
                    half_w = scale * 4 * stride * math.sqrt(ratio) / 2
                    sides = (center_y - half_h, center_x - half_w, center_y + half_h, center_x + half_w)
                    expected.append(np.divide(sides, (height, width, height, width)))
    levels = anchors.multiscale_levels(
        [feature_size],
        (height, width),
        min_level=level,
        anchor_scale=4.0,
        aspect_ratios=(1.0, 2.0, 0.5),
        scales_per_octave=2,
    )
    actual = anchors.normalized_anchors(levels, (height, width))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(sizes=st.lists(_SIZES, min_size=2, max_size=5), height=st.integers(33, 600), width=st.integers(33, 600))
def test_ssd_anchors_sit_in_the_middle_of_their_cells(sizes: list[tuple[int, int]], height: int, width: int) -> None:
    actual = anchors.normalized_anchors(anchors.ssd_levels(sizes, (height, width)), (height, width))
    per_location = [3] + [6] * (len(sizes) - 1)
    assert len(actual) == sum(
        rows * columns * count for (rows, columns), count in zip(sizes, per_location, strict=True)
    )
    (rows, columns), first = sizes[0], actual[: 3 * sizes[0][0] * sizes[0][1]].reshape(*sizes[0], 3, 4)
    centers = (first[..., :2] + first[..., 2:]) / 2
    np.testing.assert_allclose(
        centers[..., 0], np.tile(((np.arange(rows) + 0.5) / rows)[:, None, None], (1, columns, 3)), atol=1e-6
    )
    np.testing.assert_allclose(
        centers[..., 1], np.tile(((np.arange(columns) + 0.5) / columns)[None, :, None], (rows, 1, 3)), atol=1e-6
    )
    heights = (first[..., 2] - first[..., 0]) * height / min(height, width)
    np.testing.assert_allclose(heights[0, 0], [0.1, 0.2 / math.sqrt(2), 0.2 * math.sqrt(2)], rtol=1e-4)


def test_scales_of_the_classic_ssd() -> None:
    specs = anchors.ssd_sizes(6, 0.2, 0.95, anchors.ZOO_SSD_ASPECT_RATIOS)
    assert [len(spec) for spec in specs] == [3, 6, 6, 6, 6, 6]
    np.testing.assert_allclose([spec[0][0] for spec in specs[1:]], [0.35, 0.5, 0.65, 0.8, 0.95])
    np.testing.assert_allclose(specs[-1][-1], (math.sqrt(0.95), 1.0))


def test_grid_anchors_order_by_ratio_then_scale() -> None:
    pixels = anchors.grid_level(
        (1, 1), stride_pixels=16, base_size_pixels=256, scales=(0.25, 1.0), aspect_ratios=(0.5, 1.0)
    ).boxes()
    widths = pixels[:, 3] - pixels[:, 1]
    np.testing.assert_allclose(widths, 256 * np.array([0.25, 1.0, 0.25, 1.0]) * np.sqrt([0.5, 0.5, 1, 1]), rtol=1e-6)
    np.testing.assert_allclose(pixels[:, :2], -pixels[:, 2:], rtol=1e-6)
