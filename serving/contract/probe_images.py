"""The images that a model is asked about: files of mixed sizes, and damaged ones."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

from schema import features

_SHAPES = 12
_JPEG_QUALITY = 92

Files = npt.NDArray[np.object_]
"""object [B] of `bytes`."""


class ImageError(Exception):
    """A file that is no image; the message names it."""


def probe_images(files: Sequence[pathlib.Path], sides_pixels: Sequence[int], at_least: int) -> Files:
    """Encoded images whose longer sides are those given, in turn; JPEG and PNG in turn.

    Args:
      files: what is in the images, in turn; none: shapes are drawn.
      sides_pixels: longer sides.
      at_least: how many images; more where there are more files.

    Returns:
      object [N] of `bytes`.

    Raises:
      ImageError: one of the files does not decode.
    """
    count = max(at_least, len(files))
    pictures = (_read(files[number % len(files)]) if files else _drawn(number) for number in range(count))
    return _array(
        _encode(_with_longer_side(picture, sides_pixels[number % len(sides_pixels)]), ("JPEG", "PNG")[number % 2])
        for number, picture in enumerate(pictures)
    )


def pixels_of(encoded: bytes) -> npt.NDArray[np.uint8]:
    """uint8 [h, w, 3]."""
    with Image.open(io.BytesIO(encoded)) as image:
        return np.asarray(image.convert("RGB"), np.uint8)


def as_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A file that decodes to exactly these pixels (uint8 [h, w, 3])."""
    return _encode(Image.fromarray(pixels), "PNG")


def damaged_files(encoded: bytes) -> Files:
    """What clients send when something went wrong: nothing, text, and a file that ends early."""
    return _array([b"", b"no image", encoded[: len(encoded) // 4]])


def records_of(images: Files) -> Files:
    """Serialised `tf.train.Example` s of images, as `evaluate` takes them."""
    # Here and not at the top: what only makes images needs no TensorFlow.
    import tensorflow as tf

    def record(encoded: bytes) -> bytes:
        example = tf.train.Example()
        example.features.feature[features.IMAGE_ENCODED].bytes_list.value.append(encoded)
        return bytes(example.SerializeToString())

    return _array(record(encoded) for encoded in images)


def _array(values: Iterator[bytes] | Sequence[bytes]) -> Files:
    return np.array([*values, None], object)[:-1]  # None: an array of bytes alone would be one of characters


def _read(file: pathlib.Path) -> Image.Image:
    try:
        with Image.open(file) as opened:
            return ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise ImageError(f"--images: {file} does not decode: {error}; give JPEG or PNG files") from error


def _drawn(number: int) -> Image.Image:
    """Shapes on noise, in which a detector may see something."""
    random = np.random.default_rng(number)
    height, width = ((480, 640), (640, 480), (512, 512))[number % 3]
    image = Image.fromarray(random.integers(60, 120, (height, width, 3), dtype=np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(_SHAPES):
        x, y = random.integers(0, width - 40), random.integers(0, height - 40)
        box = [int(x), int(y), int(x + random.integers(30, 160)), int(y + random.integers(30, 160))]
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        (draw.ellipse if random.random() < 0.5 else draw.rectangle)(box, fill=colour)
    return image


def _with_longer_side(image: Image.Image, side_pixels: int) -> Image.Image:
    scale = side_pixels / max(image.size)
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))


def _encode(image: Image.Image, file_format: str) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, quality=_JPEG_QUALITY)
    return file.getvalue()
