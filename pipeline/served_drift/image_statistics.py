"""How images look, in four numbers each."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

STATISTICS: Final = ("brightness", "contrast", "sharpness", "size")
"""Mean and standard deviation of the luma (0..1); logarithm of the variance of its Laplacian, which blur and fog lower
(Pertuz et al. 2013, "Analysis of focus measure operators", LAPV); binary logarithm of sqrt(width x height) in pixels.
"""
_SIDE_PIXELS: Final = 256
_FLAT: Final = 1e-8
"""Variance of a Laplacian below which there is nothing but rounding."""


def image_statistics(encoded: bytes) -> npt.NDArray[np.float64]:
    """float64 [4], in the order of ``STATISTICS``; NaN throughout for bytes that are no image.

    All but the size are of the image shrunk to 256 pixels: a camera with more pixels is no change of the scene.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            width, height = image.size
            # A JPEG is decoded at about the size that is needed.
            image.draft("L", (_SIDE_PIXELS, _SIDE_PIXELS))
            grey = ImageOps.exif_transpose(image).convert("L")
            grey.thumbnail((_SIDE_PIXELS, _SIDE_PIXELS), Image.Resampling.BOX)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return np.full(len(STATISTICS), np.nan)
    luma = np.asarray(grey, np.float64) / 255  # [h, w]
    padded = np.pad(luma, 1, mode="edge")
    laplacian = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * luma  # [h, w]
    sharpness = np.log(max(float(laplacian.var()), _FLAT))
    return np.array([luma.mean(), luma.std(), sharpness, np.log2(width * height) / 2])
