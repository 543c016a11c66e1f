"""Anchor boxes: SSD's with interpolated scales, the multi-scale ones of feature pyramids, and a single grid's.

Anchors depend on sizes only, so they are numpy arrays computed once. Within a level the row varies slowest, then the
column, then the anchor of a location; predictions of a head are reshaped in the same order.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

ZOO_SSD_ASPECT_RATIOS = (1.0, 2.0, 0.5, 3.0, 0.3333)
"""As the published configuration of ``ssd_mobilenet_v2`` orders and rounds them."""


class AnchorLevel(NamedTuple):
    """A boxes at every location of a feature map, in pixels of the canvas.

    Attributes:
      feature_size: (rows, columns).
      heights: [A].
      widths: [A].
      stride: (vertical, horizontal) distance of neighbouring centers.
      offset: (vertical, horizontal) position of the first center.
    """

    feature_size: tuple[int, int]
    heights: Array
    widths: Array
    stride: tuple[float, float]
    offset: tuple[float, float]

    def boxes(self) -> Array:
        """float64 [rows * columns * A, 4] (ymin, xmin, ymax, xmax), not clipped."""
        rows, columns = self.feature_size
        center_y = (np.arange(rows) * self.stride[0] + self.offset[0])[:, None, None]  # [rows, 1, 1]
        center_x = (np.arange(columns) * self.stride[1] + self.offset[1])[None, :, None]  # [1, columns, 1]
        half_height, half_width = self.heights / 2.0, self.widths / 2.0  # [A]
        sides = (center_y - half_height, center_x - half_width, center_y + half_height, center_x + half_width)
        shape = (rows, columns, half_height.size)
        return np.stack([np.broadcast_to(side, shape) for side in sides], axis=-1).reshape(-1, 4)


def normalized_anchors(levels: Sequence[AnchorLevel], image_size: tuple[int, int]) -> NDArray[np.float32]:
    """All anchors, the finest level's first: float32 [N, 4] (ymin, xmin, ymax, xmax), 0..1 of the canvas.

    Args:
      levels: finest first.
      image_size: (height, width) in pixels of the canvas.
    """
    height, width = image_size
    return (np.concatenate([level.boxes() for level in levels]) / (height, width, height, width)).astype(np.float32)


def ssd_sizes(
    num_levels: int, min_scale: float, max_scale: float, aspect_ratios: Sequence[float]
) -> list[list[tuple[float, float]]]:
    """(scale, aspect ratio) of each anchor of each level (SSD, section 2.2).

    Scales run evenly from ``min_scale`` to ``max_scale``. The finest level has three anchors: one of half its scale and
    the first aspect ratio, and two of its scale and the next two ratios. The others have one for each aspect ratio and
    one more of the first ratio and of the geometric mean with the next level's scale.
    """
    steps = max(num_levels - 1, 1)
    scales = [min_scale + (max_scale - min_scale) * level / steps for level in range(num_levels)] + [1.0]
    first, second, third = aspect_ratios[:3]
    finest = [(min_scale / 2.0, first), (min_scale, second), (min_scale, third)]
    coarser = [
        [(scale, ratio) for ratio in aspect_ratios] + [((scale * following) ** 0.5, first)]
        for scale, following in itertools.pairwise(scales[1:])
    ]
    return [finest, *coarser]


def ssd_anchor_counts(num_levels: int) -> list[int]:
    """How many anchors a location of each level has."""
    return [len(sizes) for sizes in ssd_sizes(num_levels, 0.2, 0.95, ZOO_SSD_ASPECT_RATIOS)]


def ssd_levels(
    feature_sizes: Sequence[tuple[int, int]],
    image_size: tuple[int, int],
    *,
    min_scale: float = 0.2,
    max_scale: float = 0.95,
    aspect_ratios: Sequence[float] = ZOO_SSD_ASPECT_RATIOS,
) -> list[AnchorLevel]:
    """Anchors of the classic SSD.

    Args:
      feature_sizes: (rows, columns) of each level, finest first.
      image_size: (height, width) in pixels; scales are relative to the shorter side.
      min_scale: of the finest level.
      max_scale: of the coarsest level.
      aspect_ratios: width / height.
    """
    specs = ssd_sizes(len(feature_sizes), min_scale, max_scale, aspect_ratios)
    levels = []
    for (rows, columns), spec in zip(feature_sizes, specs, strict=True):
        scales, ratios = np.array(spec).T * ((min(image_size),), (1.0,))  # [A], [A]
        stride = image_size[0] / rows, image_size[1] / columns
        offset = stride[0] / 2.0, stride[1] / 2.0
        levels.append(AnchorLevel((rows, columns), scales / np.sqrt(ratios), scales * np.sqrt(ratios), stride, offset))
    return levels


def grid_level(
    feature_size: tuple[int, int],
    *,
    stride_pixels: int,
    base_size_pixels: float,
    scales: Sequence[float],
    aspect_ratios: Sequence[float],
    offset_pixels: tuple[float, float] = (0.0, 0.0),
) -> AnchorLevel:
    """Anchors of one feature map (``grid_anchor_generator``, Faster R-CNN's).

    Anchors of a location are ordered by aspect ratio, then by scale.

    Args:
      feature_size: (rows, columns).
      stride_pixels: pixels between centers.
      base_size_pixels: side of the square anchor of scale 1.
      scales: factors on the base size.
      aspect_ratios: width / height.
      offset_pixels: (vertical, horizontal) position of the first center.
    """
    heights = [scale / ratio**0.5 * base_size_pixels for ratio in aspect_ratios for scale in scales]
    widths = [scale * ratio**0.5 * base_size_pixels for ratio in aspect_ratios for scale in scales]
    stride = (float(stride_pixels), float(stride_pixels))
    return AnchorLevel(feature_size, np.array(heights), np.array(widths), stride, offset_pixels)


def multiscale_levels(
    feature_sizes: Sequence[tuple[int, int]],
    image_size: tuple[int, int],
    *,
    min_level: int,
    anchor_scale: float,
    aspect_ratios: Sequence[float],
    scales_per_octave: int,
) -> list[AnchorLevel]:
    """Anchors of a feature pyramid (RetinaNet, section 4, "Anchors").

    Where a level's stride does not divide the image, its first center lies on the image's border instead of half a
    stride inside, as in the original.

    Args:
      feature_sizes: (rows, columns) of each level, finest first.
      image_size: (height, width) in pixels.
      min_level: the finest level's stride is ``2**min_level``.
      anchor_scale: the base size is this times the stride.
      aspect_ratios: width / height.
      scales_per_octave: scales ``2**(i / scales_per_octave)``.
    """
    levels = []
    for level, feature_size in enumerate(feature_sizes, start=min_level):
        stride = 2**level
        offset_y, offset_x = (stride / 2 if side % stride == 0 else 0.0 for side in image_size)
        levels.append(
            grid_level(
                feature_size,
                stride_pixels=stride,
                base_size_pixels=anchor_scale * stride,
                scales=[2 ** (i / scales_per_octave) for i in range(scales_per_octave)],
                aspect_ratios=aspect_ratios,
                offset_pixels=(offset_y, offset_x),
            )
        )
    return levels
