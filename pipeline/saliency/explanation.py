"""An image's detections explained: decoded, detected, masked, drawn."""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image

from components.image_decoding import decode_upright
from components.user_error import UserError
from pipeline.counted_progress import CountedProgress
from pipeline.saliency.drise import Detection, MaskSettings, focus, saliency_maps
from pipeline.saliency.heat_map import draw_heat_map
from pipeline.saved_detectors.saved_detector import Rows, SavedDetector

_FLAT: Final = "no mask made a difference: it stands on nothing in particular, or on what every mask shows"


class UndecodableImageError(UserError):
    """An image whose pixels cannot be decoded; the message names it."""


@dataclasses.dataclass(frozen=True)
class ExplainedDetection:
    """One detection.

    Attributes:
      described: class, score, and where the heat lies.
      picture: the heat over the image, and the detection.
      saliency: float32 [H, W] in 0..1.
    """

    described: str
    picture: Image.Image
    saliency: npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class ExplainedImage:
    """One image.

    Attributes:
      described: how many detections there are, and how it was shrunk.
      detections: the best first; empty when none has the score.
    """

    described: str
    detections: tuple[ExplainedDetection, ...]


def explain_image(
    detector: SavedDetector,
    encoded: bytes,
    *,
    name: str,
    settings: MaskSettings,
    min_score: float,
    most: int,
    longest_pixels: int,
) -> ExplainedImage:
    """Explains the best detections of an image.

    Args:
      detector: whose detections.
      encoded: the file.
      name: of the image, for progress and errors.
      settings: the masks.
      min_score: of a detection.
      most: so many of them.
      longest_pixels: a longer image is shrunk to it, before anything is detected.

    Raises:
      UndecodableImageError: the pixels do not decode.
    """
    try:
        image = decode_upright(tf.constant(encoded)).numpy()  # [H, W, 3]
    except tf.errors.InvalidArgumentError as error:
        raise UndecodableImageError(f"{name}: truncated_image: its pixels do not decode") from error
    full = image.shape[:2]
    image = _shrunk(image, longest_pixels)
    rows = detector.detect_images(image[np.newaxis])  # [1, N, 6]
    found = _best(rows, min_score, most)
    size = f"{full[1]} x {full[0]} pixels"
    if image.shape[:2] != full:
        size += f", shrunk to {image.shape[1]} x {image.shape[0]}"
    if not found:
        best = float(rows[..., 5].max(initial=0.0))
        return ExplainedImage(f"{size}; no detection with a score above {min_score:g}, the best has {best:.3f}", ())
    progress = CountedProgress(f"{name}: masks", settings.masks)
    maps = saliency_maps(detector.detect_images, image, found, settings, progress.advance)
    names = dict(detector.label_map)
    above = int(np.sum((rows[0, :, 4] >= 0) & (rows[0, :, 5] > min_score)))
    explained = tuple(_explained(image, one, saliency, names) for one, saliency in zip(found, maps, strict=True))
    return ExplainedImage(f"{size}; {len(found)} of {above} detections above {min_score:g}", explained)


def _shrunk(image: npt.NDArray[np.uint8], longest_pixels: int) -> npt.NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = longest_pixels / max(height, width)
    if scale >= 1.0:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))


def _best(rows: Rows, min_score: float, most: int) -> list[Detection]:
    """Detections of one image, [1, N, 6], best first."""
    there = rows[0][(rows[0, :, 4] >= 0) & (rows[0, :, 5] > min_score)]  # [n, 6]
    there = there[np.argsort(-there[:, 5], kind="stable")][:most]
    return [
        Detection((float(ymin), float(xmin), float(ymax), float(xmax)), int(class_id), float(score))
        for ymin, xmin, ymax, xmax, class_id, score in there
    ]


def _explained(
    image: npt.NDArray[np.uint8], detection: Detection, saliency: npt.NDArray[np.float32], names: dict[int, str]
) -> ExplainedDetection:
    title = f"{names.get(detection.class_id, f'class {detection.class_id}')} {detection.score:.2f}"
    where = focus(saliency, detection.box_yxyx_normalized)
    peak = "in" if where.peak_in_box else "outside"
    said = f"{where.heat_in_box:.0%} of the heat in its box, the hottest pixel {peak} it" if saliency.any() else _FLAT
    picture = draw_heat_map(image, saliency, detection.box_yxyx_normalized, title)
    return ExplainedDetection(f"{title}; {said}", picture, saliency)
