"""Image files as a client sends and shows them, and as a model that runs here sees them.

Boxes are in the frame of the *upright* image. The exported graph turns JPEG files by their EXIF orientation itself, so
they are sent as they are, byte for byte; a client shows what `ImageOps.exif_transpose` makes of them, which is the same
frame. Files the graph does not decode, or does not turn, are sent as an upright PNG.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import io
import pathlib
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

_ORIENTATION_TAG: Final = 0x0112
_ON_ITS_SIDE: Final = (5, 6, 7, 8)
"""Values of the tag with which width and height change places."""
_SIXTEEN_BIT_GREY: Final = ("I;16", "I;16B", "I")
"""Pillow's modes of greyscale above 8 bit; ``I`` is what some of its versions read a 16-bit PNG as."""
IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
"""Of the files that are taken from a folder."""
_SENT_AS_THEY_ARE: Final = {
    "JPEG": None,
    "MPO": None,
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", *_SIXTEEN_BIT_GREY),
}
"""Pillow's format names, and the modes in which the graph reads them (None: all)."""
_DECODED_BY_THE_GRAPH: Final = ("JPEG", "PNG", "GIF", "BMP")
"""Pillow's format names; MPO is a kind of JPEG to it, and comes with that."""
_TURNED_BY_THE_GRAPH: Final = ("JPEG", "MPO")


class ImageFileError(Exception):
    """A file that cannot be sent; the message names it."""


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image to send: its path, the encoded bytes, and the upright picture to draw on."""

    path: pathlib.Path
    encoded: bytes
    upright: Image.Image


@dataclasses.dataclass(frozen=True)
class EncodedImage:
    """What is sent of an image that nobody looks at: the bytes, and the size in pixels of the upright image."""

    encoded: bytes
    width: int
    height: int


def find(patterns: Iterable[str], suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[pathlib.Path]:
    """Paths of files, folders (the images in them, at any depth) and glob patterns, each file once, in the order given.

    Args:
      patterns: of any of the three.
      suffixes: of the files that are taken from a folder; none: all are, but hidden ones.

    Raises:
      ImageFileError: a file does not exist, a folder holds no image, or a pattern matches none.
    """
    paths: dict[pathlib.Path, None] = {}
    for pattern in patterns:
        path = pathlib.Path(pattern)
        # A file whose name holds brackets is meant before a pattern is.
        if path.is_file():
            paths[path] = None
            continue
        if path.is_dir():
            images = sorted(file for file in path.rglob("*") if _is_taken(file, suffixes) and file.is_file())
            if not images:
                ending = f" that ends in {', '.join(suffixes)}" if suffixes else ""
                raise ImageFileError(f"{pattern}: the folder holds no file{ending}")
            paths.update(dict.fromkeys(images))
            continue
        found = sorted(pathlib.Path(name) for name in glob.glob(pattern, recursive=True))  # noqa: PTH207
        if not any(match.is_file() for match in found):
            raise ImageFileError(f"{pattern}: no such file, and no file matches it as a pattern")
        paths.update(dict.fromkeys(match for match in found if match.is_file()))
    return list(paths)


def _is_taken(file: pathlib.Path, suffixes: tuple[str, ...]) -> bool:
    return file.suffix.lower() in suffixes if suffixes else not file.name.startswith(".")


def read(path: pathlib.Path) -> ImageFile:
    """Reads and decodes an image file.

    Raises:
      ImageFileError: it cannot be read, or is not a whole image.
    """
    try:
        encoded = path.read_bytes()
        with _opened(encoded) as image:
            image.load()
            as_it_is = _is_sent_as_it_is(image)
            upright = _rgb(ImageOps.exif_transpose(image))
    except (OSError, ImageFileError) as error:
        raise ImageFileError(f"{path}: {_read_failure(error)}") from error
    return ImageFile(path, encoded if as_it_is else _png(upright), upright)


def encode(content: bytes, max_pixels: int, formats: tuple[str, ...] | None = None) -> EncodedImage:
    """What to send of an image file: most by their header alone, for the graph decodes them and finds what is damaged.

    Args:
      content: of the file.
      max_pixels: largest width x height that is decoded, here or there.
      formats: Pillow's names of those that are taken; None: all that it reads.

    Raises:
      ImageFileError: it is no image, a damaged one of those that are decoded here, or too large; names no file.
    """
    with _opened(content, formats) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise ImageFileError(f"has {width} x {height} pixels, the limit is {max_pixels}")
        if not _is_sent_as_it_is(image):
            upright = _rgb(ImageOps.exif_transpose(image))
            return EncodedImage(_png(upright), upright.width, upright.height)
        on_its_side = image.getexif().get(_ORIENTATION_TAG, 1) in _ON_ITS_SIDE
    return EncodedImage(content, height, width) if on_its_side else EncodedImage(content, width, height)


def decode(encoded: bytes) -> npt.NDArray[np.uint8]:
    """The pixels that the graph makes of an image file.

    But for JPEG files: TensorFlow decodes them by libjpeg's faster transform, which is off by about one grey value, and
    Pillow by its accurate one.

    Args:
      encoded: a JPEG, PNG, GIF (first frame) or BMP file; JPEG files are turned by their EXIF orientation.

    Returns:
      uint8 [h, w, 3], RGB.

    Raises:
      ImageFileError: it is none of these, or damaged; names no file.
    """
    with _opened(encoded, _DECODED_BY_THE_GRAPH) as image:
        image.load()
        is_turned = image.format in _TURNED_BY_THE_GRAPH
        return np.asarray(_rgb(ImageOps.exif_transpose(image) if is_turned else image))


@contextlib.contextmanager
def _opened(encoded: bytes, formats: tuple[str, ...] | None = None) -> Iterator[Image.Image]:
    """Pillow's image; what it raises, also later on, is an `ImageFileError`."""
    try:
        with Image.open(io.BytesIO(encoded), formats=formats) as image:
            yield image
    except UnidentifiedImageError as error:
        raise ImageFileError(f"is not an image ({len(encoded)} bytes)") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # Pillow reports broken PNG files as SyntaxError.
        raise ImageFileError(f"cannot be read as an image: {error}") from error


def _read_failure(error: Exception) -> str:
    return str(error) if isinstance(error, ImageFileError) else f"cannot be read as an image: {error}"


def _is_sent_as_it_is(image: Image.Image) -> bool:
    modes = _SENT_AS_THEY_ARE.get(image.format or "", ())
    return modes is None or (image.mode in modes and image.getexif().get(_ORIENTATION_TAG, 1) == 1)


def _png(upright: Image.Image) -> bytes:
    buffer = io.BytesIO()
    upright.save(buffer, "PNG")
    return buffer.getvalue()


def _rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB; of 16-bit greyscale the upper byte, as the graph reads it. (Pillow would clip it at 255.)"""
    if image.mode in _SIXTEEN_BIT_GREY:
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")
