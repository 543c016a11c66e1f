"""Records with real images for the annotation check."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from schema import features

Box = tuple[float, float, float, float]


def _picture(seed: int, height: int = 96, width: int = 128) -> Image.Image:
    """A picture of coarse random colours, different for every seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def _jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    output = io.BytesIO()
    picture.save(output, "JPEG", quality=quality)
    return output.getvalue()


def _record(
    file: str, encoded: bytes, objects: Sequence[tuple[str, Box]] = (), weather: str = "clear"
) -> tf.train.Example:
    """A record with boxes (ymin, xmin, ymax, xmax)."""

    def strings(*values: str | bytes) -> tf.train.Feature:
        encoded_values = [value.encode() if isinstance(value, str) else value for value in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded_values))

    def ints(*values: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    with Image.open(io.BytesIO(encoded)) as image:
        width, height = image.size
    feature = {
        features.IMAGE_ENCODED: strings(encoded),
        features.IMAGE_FORMAT: strings("jpeg"),
        features.IMAGE_FILENAME: strings(file),
        features.IMAGE_SOURCE_ID: strings(file),
        features.IMAGE_HEIGHT: ints(height),
        features.IMAGE_WIDTH: ints(width),
        features.OBJECT_CLASS_TEXT: strings(*(name for name, _ in objects)),
        features.meta_key("weather"): strings(weather),
    }
    for column, key in enumerate(features.BOX_KEYS_YXYX):
        values = [box[column] for _, box in objects]
        feature[key] = tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Example(features=tf.train.Features(feature=feature))


@pytest.fixture
def picture() -> Callable[..., Image.Image]:
    """See ``_picture``."""
    return _picture


@pytest.fixture
def jpeg() -> Callable[..., bytes]:
    """See ``_jpeg``."""
    return _jpeg


@pytest.fixture
def record() -> Callable[..., tf.train.Example]:
    """See ``_record``."""
    return _record
