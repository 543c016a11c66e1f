"""What the annotation check keeps of one record: name, size, boxes and two hashes, but no pixels."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.validation.perceptual_hash import perceptual_hash
from schema import features


@dataclasses.dataclass(frozen=True, slots=True)
class ImageFacts:
    """One record.

    Attributes:
      split: the split it is in.
      file: its file name, relative to the data folder.
      height_pixels: upright.
      width_pixels: upright.
      boxes_yxyx_normalized: float32 [N, 4].
      content_hash: 16 bytes: equal for files that are equal byte for byte.
      picture_hash: 32 bytes: nearly equal for pictures that look the same; None where not asked for or not possible.
    """

    split: str
    file: str
    height_pixels: int
    width_pixels: int
    boxes_yxyx_normalized: npt.NDArray[np.float32]
    content_hash: bytes
    picture_hash: bytes | None


def image_facts(serialized: bytes, split: str, with_pixels: bool) -> ImageFacts:
    """Reads a serialized record.

    Args:
      serialized: a ``tf.train.Example`` with the keys of ``schema.features``.
      split: the split it is in.
      with_pixels: decode the image at a fraction of its size and hash what is seen.

    Raises:
      ValueError: the four box features have different lengths; the message names the file.
    """
    values = tf.train.Example.FromString(serialized).features.feature

    def text(key: str) -> str:
        found = values[key].bytes_list.value
        return found[0].decode("utf-8", "replace") if found else ""

    def number(key: str) -> int:
        found = values[key].int64_list.value
        return int(found[0]) if found else 0

    file = text(features.IMAGE_FILENAME) or text(features.IMAGE_SOURCE_ID)
    corners = [np.asarray(values[key].float_list.value, np.float32) for key in features.BOX_KEYS_YXYX]
    lengths = {key: corner.size for key, corner in zip(features.BOX_KEYS_YXYX, corners, strict=True)}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{file} ({split}): the four box features must have one entry an object, found {lengths}")
    encoded = next(iter(values[features.IMAGE_ENCODED].bytes_list.value), b"")
    return ImageFacts(
        split=split,
        file=file,
        height_pixels=number(features.IMAGE_HEIGHT),
        width_pixels=number(features.IMAGE_WIDTH),
        boxes_yxyx_normalized=np.stack(corners, axis=-1),  # [N, 4]
        content_hash=hashlib.sha256(encoded).digest()[:16],
        picture_hash=perceptual_hash(encoded) if with_pixels else None,
    )
