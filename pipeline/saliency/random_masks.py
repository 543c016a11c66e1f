"""Smooth random masks that leave parts of an image to be seen, as RISE draws them.

Petsiuk, Das, Saenko: RISE: Randomized Input Sampling for Explanation of Black-box Models, BMVC 2018, section 3.2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def random_masks(
    count: int, height_width: tuple[int, int], cells: int, visible_share: float, generator: np.random.Generator
) -> Floats:
    """Draws masks, float32 [count, H, W] in 0..1; 1 is seen.

    A grid of cells, each seen with a probability, is enlarged bilinearly to one cell more than the image, and the image
    is cut out of it at a random place, so that no pixel lies in the middle of a cell every time.

    Args:
      count: of masks.
      height_width: of the image, pixels.
      cells: along either side of the grid.
      visible_share: probability of a cell to be seen.
      generator: of random numbers.
    """
    masks = np.empty((count, *height_width), np.float32)  # [count, H, W]
    # All of a mask's random numbers before those of the next: the masks do not depend on how many are drawn at once.
    for mask in masks:
        grid = (generator.random((cells, cells)) < visible_share).astype(np.float32)  # [cells, cells]
        along_y, along_x = (_interpolation(side, cells, generator) for side in height_width)  # [H, cells], [W, cells]
        np.matmul(along_y @ grid, along_x.T, out=mask)
    return masks


def _interpolation(side: int, cells: int, generator: np.random.Generator) -> Floats:
    """Weights of the cells at each pixel along one side, float32 [side, cells]; rows sum to 1."""
    cell_pixels = -(-side // cells)
    enlarged = (cells + 1) * cell_pixels
    offset = int(generator.integers(cell_pixels))
    # Middles of pixels on middles of cells, as an image is enlarged; beyond the last middle a cell goes on as it is.
    places = (np.arange(side) + offset + 0.5) * cells / enlarged - 0.5
    places = np.clip(places, 0.0, cells - 1.0)  # [side]
    lower = np.minimum(places.astype(np.int64), max(cells - 2, 0))
    upper_share = (places - lower).astype(np.float32)
    weights = np.zeros((side, cells), np.float32)
    rows = np.arange(side)
    weights[rows, lower] = 1.0 - upper_share
    if cells > 1:
        weights[rows, lower + 1] = upper_share
    return weights
