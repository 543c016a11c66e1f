"""Images onto the canvas of a device model, in numpy: what the SavedModel does in its graph.

Bilinear without antialiasing, as TensorFlow's ``ResizeBilinear`` computes it. Other bilinear definitions, Pillow's and
OpenCV's among them, move the image by up to half a pixel or blur it, and change every number after it.

This file runs with numpy alone, so that an application can take it as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from schema.device_model import Resizing
    from serving.devices.arrays import Float32, UInt8


def to_canvas(image: UInt8 | Float32, resizing: Resizing) -> tuple[Float32, Float32]:
    """Brings one image to the canvas.

    Args:
      image: uint8 or float32 [h, w, 3], upright RGB, at least one pixel.
      resizing: how.

    Returns:
      float32 [H, W, 3] with the range of the input, and the valid share, float32 [2] (height, width): how much of the
      canvas holds image, 0..1.
    """
    canvas_size = (resizing.height_pixels, resizing.width_pixels)
    size = _size_on_canvas(image.shape[0], image.shape[1], resizing)
    resized = resize_bilinear(image, size, half_pixel_centers=resizing.half_pixel_centers)  # [h', w', 3]
    if size == canvas_size:
        return resized, np.ones(2, np.float32)
    canvas = np.empty((*canvas_size, 3), np.float32)  # [H, W, 3]
    canvas[:] = np.asarray(resizing.padding_rgb, np.float32)
    canvas[: size[0], : size[1]] = resized
    return canvas, np.divide(size, canvas_size, dtype=np.float32)


def resize_bilinear(
    image: UInt8 | Float32, height_width: tuple[int, int], *, half_pixel_centers: bool = False
) -> Float32:
    """uint8 or float32 [h, w, 3] -> float32 [H, W, 3]; see the module."""
    upper, lower, down = _neighbours(image.shape[0], height_width[0], half_pixel_centers)  # each [H]
    left, right, across = _neighbours(image.shape[1], height_width[1], half_pixel_centers)  # each [W]
    # Rows first: they lie in one piece, and what is left for the columns is as high as the canvas.
    rows = _between(image[upper], image[lower], down[:, np.newaxis, np.newaxis])  # [H, w, 3]
    return _between(rows.take(left, axis=1), rows.take(right, axis=1), across[:, np.newaxis])  # [H, W, 3]


def _size_on_canvas(height: int, width: int, resizing: Resizing) -> tuple[int, int]:
    """(height, width) in pixels that an image has on the canvas."""
    if resizing.min_dimension_pixels is None or resizing.max_dimension_pixels is None:
        return resizing.height_pixels, resizing.width_pixels
    # In float32, and half to even, as the graph does it: a size that is rounded otherwise moves every box.
    size = np.asarray((height, width), np.float32)  # [2]
    to_min = np.rint(size * (np.float32(resizing.min_dimension_pixels) / size.min()))  # [2]
    to_max = np.rint(size * (np.float32(resizing.max_dimension_pixels) / size.max()))  # [2]
    new_size = to_max if to_min.max() > resizing.max_dimension_pixels else to_min
    new_height, new_width = (max(1, int(side)) for side in new_size)
    return new_height, new_width


def _neighbours(
    size: int, new_size: int, half_pixel_centers: bool
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Float32]:
    """Of every new pixel along one side: the two old ones that it lies between, and how far from the first (0..1)."""
    scale = np.float32(size) / np.float32(new_size)
    at = np.arange(new_size, dtype=np.float32)  # [new]
    at = (at + np.float32(0.5)) * scale - np.float32(0.5) if half_pixel_centers else at * scale
    floor = np.floor(at)
    # TensorFlow leaves the distance as it is where the first of the two is beyond the border: both are the same then.
    first = np.maximum(floor, 0).astype(np.intp)
    second = np.minimum(np.ceil(at), size - 1).astype(np.intp)
    return first, second, at - floor


def _between(start: UInt8 | Float32, end: UInt8 | Float32, share: Float32) -> Float32:
    """start + (end - start) * share, broadcast, in float32."""
    first = start.astype(np.float32)
    moved = np.subtract(end, first, dtype=np.float32)
    moved *= share
    moved += first
    return moved
