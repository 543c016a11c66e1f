"""D-RISE: how much a detection hangs on each pixel, of a detector that only answers.

Petsiuk et al.: Black-box Explanation of Object Detectors via Saliency Maps, CVPR 2021. Parts of the image are hidden at
random, and what is found then is compared with the detection to be explained: IoU of the boxes x agreement of the
classes x score, of the detection that fits best. Where a mask that shows a pixel keeps the detection alive, the pixel
counts.

Adapted to what a served detector answers, one class and one score a box: the paper compares whole vectors of class
probabilities by their cosine and multiplies with the objectness; here classes agree (1) or do not (0), and the score
stands for the objectness. The weighted sum of the masks is divided by their plain sum at each pixel, which the random
places of the masks make slightly uneven: the mean similarity while the pixel is seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.saliency.random_masks import Floats, random_masks

Pixels = npt.NDArray[np.uint8]

_HIDDEN_RGB: Final = np.array((124, 116, 104), np.float32)
"""What hidden pixels fade to: the mean colour of ImageNet, which most backbones see as nothing in particular."""
_ROUNDING: Final = 1e-5
"""Of sums in float32, and below what a score can tell."""


@dataclasses.dataclass(frozen=True)
class Detection:
    """What is to be explained.

    Attributes:
      box_yxyx_normalized: in 0..1 of the image.
      class_id: of the model's label map.
      score: of the whole image.
    """

    box_yxyx_normalized: tuple[float, float, float, float]
    class_id: int
    score: float


@dataclasses.dataclass(frozen=True)
class MaskSettings:
    """How an image is hidden.

    Attributes:
      masks: how many.
      cells: along either side of the grid that a mask is drawn on: more show smaller parts, and need more masks.
      visible_share: of the cells.
      seed: of the random numbers.
      batch_size: masked images at once; bounds the memory.
    """

    masks: int = 1000
    cells: int = 16
    visible_share: float = 0.5
    seed: int = 0
    batch_size: int = 16


def saliency_maps(
    detect: Callable[[Pixels], Floats],
    image: Pixels,
    detections: Sequence[Detection],
    settings: MaskSettings,
    advance: Callable[[int], None] = lambda count: None,
) -> Floats:
    """How much each detection hangs on each pixel, float32 [D, H, W], 0..1 from the least to the most of its map.

    A map of zeros says that no mask made a difference.

    Args:
      detect: uint8 [B, H, W, 3] -> float32 [B, N, 6], rows (ymin, xmin, ymax, xmax in 0..1, class id, score).
      image: uint8 [H, W, 3].
      detections: of the image; all are explained by the same masks.
      settings: the masks.
      advance: is told after each batch how many masks it had.
    """
    generator = np.random.default_rng(settings.seed)
    height, width = image.shape[:2]
    weighted = np.zeros((len(detections), height * width), np.float64)  # [D, H * W]
    plain = np.zeros(height * width, np.float64)  # [H * W]
    seen_above_hidden = image.astype(np.float32) - _HIDDEN_RGB  # [H, W, 3]
    for start in range(0, settings.masks, settings.batch_size):
        count = min(settings.batch_size, settings.masks - start)
        masks = random_masks(count, (height, width), settings.cells, settings.visible_share, generator)  # [B, H, W]
        hidden_in_part = np.empty((count, height, width, 3), np.uint8)
        for masked, mask in zip(hidden_in_part, masks, strict=True):
            masked[...] = (seen_above_hidden * mask[..., np.newaxis] + _HIDDEN_RGB).round()
        rows = detect(hidden_in_part)  # [B, N, 6]
        similarities = np.stack([similarity(rows, detection) for detection in detections])  # [D, B]
        flat = masks.reshape(count, -1)  # [B, H * W]
        weighted += similarities @ flat
        plain += flat.sum(axis=0)
        advance(count)
    means = weighted / np.maximum(plain, np.finfo(np.float64).tiny)
    lowest, highest = means.min(axis=1, keepdims=True), means.max(axis=1, keepdims=True)
    # What differs by rounding alone is no difference.
    spread = np.where(highest - lowest > _ROUNDING, highest - lowest, np.inf)
    return ((means - lowest) / spread).astype(np.float32).reshape(-1, height, width)


def similarity(rows: Floats, detection: Detection) -> Floats:
    """How well the best answer of each image fits a detection: IoU x same class x score, float32 [B, N, 6] -> [B]."""
    if not rows.shape[1]:
        return np.zeros(len(rows), np.float32)
    ymin, xmin, ymax, xmax = detection.box_yxyx_normalized
    heights = np.minimum(rows[..., 2], ymax) - np.maximum(rows[..., 0], ymin)  # [B, N]
    widths = np.minimum(rows[..., 3], xmax) - np.maximum(rows[..., 1], xmin)
    intersections = np.maximum(heights, 0.0) * np.maximum(widths, 0.0)
    areas = (rows[..., 2] - rows[..., 0]) * (rows[..., 3] - rows[..., 1])
    unions = areas + (ymax - ymin) * (xmax - xmin) - intersections
    overlaps = np.divide(intersections, unions, out=np.zeros_like(intersections), where=unions > 0)
    # A padded row has class -1.
    fits = overlaps * (rows[..., 4] == detection.class_id) * rows[..., 5]
    best: Floats = fits.max(axis=1).astype(np.float32)
    return best


@dataclasses.dataclass(frozen=True)
class Focus:
    """Where a map has its heat, in two figures.

    Attributes:
      peak_in_box: whether the hottest pixel lies in the detection's box (the pointing game).
      heat_in_box: share of the heat above half of the map's range that lies in the box; below is mostly the noise of
        the masks, which a large image has a lot of.
    """

    peak_in_box: bool
    heat_in_box: float


def focus(saliency: Floats, box_yxyx_normalized: Sequence[float]) -> Focus:
    """Whether the heat of a map [H, W] lies in a box."""
    height, width = saliency.shape
    ymin, xmin, ymax, xmax = box_yxyx_normalized
    rows = (np.arange(height) + 0.5) / height
    columns = (np.arange(width) + 0.5) / width
    inside = ((rows >= ymin) & (rows <= ymax))[:, np.newaxis] & ((columns >= xmin) & (columns <= xmax))  # [H, W]
    heat = np.maximum(saliency - 0.5, 0.0)
    total = float(heat.sum())
    peak = np.unravel_index(int(saliency.argmax()), saliency.shape)
    return Focus(bool(inside[peak]) and total > 0, float(heat[inside].sum()) / total if total > 0 else 0.0)
