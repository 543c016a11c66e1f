"""A saliency map over its image, with the detection that it explains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.box_drawing import DrawnBox, draw_boxes

_PLACES: Final = np.array((0.0, 0.35, 0.6, 0.8, 1.0))
_COLOURS: Final = np.array(((20, 30, 120), (0, 170, 220), (120, 220, 90), (255, 215, 0), (210, 20, 20)), np.float64)
"""Colours at these places of the saliency; in between by linear interpolation."""
_LEAST_OPAQUE, _MOST_OPAQUE = 0.25, 0.65
_SHORTEST_SIDE: Final = 360
"""Pixels below which an image is enlarged, so that the name has room."""
_BOX_RGB: Final = (255, 255, 255)


def draw_heat_map(
    image: npt.NDArray[np.uint8], saliency: npt.NDArray[np.float32], box_yxyx_normalized: Sequence[float], title: str
) -> Image.Image:
    """The picture.

    Args:
      image: uint8 [H, W, 3].
      saliency: float32 [H, W] in 0..1.
      box_yxyx_normalized: of the detection.
      title: its class and score.
    """
    heat = np.stack([np.interp(saliency, _PLACES, channel) for channel in _COLOURS.T], axis=-1)  # [H, W, 3]
    opacity = (_LEAST_OPAQUE + (_MOST_OPAQUE - _LEAST_OPAQUE) * saliency)[..., np.newaxis]  # [H, W, 1]
    picture = Image.fromarray((image * (1.0 - opacity) + heat * opacity).round().astype(np.uint8))
    enlarged = max(1.0, _SHORTEST_SIDE / min(picture.size))
    if enlarged > 1.0:
        picture = picture.resize((round(picture.width * enlarged), round(picture.height * enlarged)))
    ymin, xmin, ymax, xmax = box_yxyx_normalized
    box = (xmin * picture.width, ymin * picture.height, xmax * picture.width, ymax * picture.height)
    draw_boxes(picture, [DrawnBox(box, title, _BOX_RGB, is_dashed=False)])
    return picture
