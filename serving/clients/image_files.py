"""Image files as a client sends and shows them.

Boxes are in the frame of the *upright* image. The exported graph turns JPEG files by their EXIF orientation itself, so
they are sent as they are, byte for byte; a client shows what `ImageOps.exif_transpose` makes of them, which is the same
frame. Files the graph does not decode, or does not turn, are sent as an upright PNG.
"""

from __future__ import annotations

import dataclasses
import glob
import io
import pathlib
from collections.abc import Iterable
from typing import Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

_ORIENTATION_TAG: Final = 0x0112
_SIXTEEN_BIT_GREY: Final = ("I;16", "I;16B", "I")
"""Pillow's modes of greyscale above 8 bit; ``I`` is what some of its versions read a 16-bit PNG as."""
_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
"""Of the files that are taken from a folder."""
_SENT_AS_THEY_ARE: Final = {
    "JPEG": None,
    "MPO": None,
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", *_SIXTEEN_BIT_GREY),
}
"""Pillow's format names, and the modes in which the graph reads them (None: all)."""


class ImageFileError(Exception):
    """A file that cannot be sent; the message names it."""


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image to send: its path, the encoded bytes, and the upright picture to draw on."""

    path: pathlib.Path
    encoded: bytes
    upright: Image.Image


def find(patterns: Iterable[str]) -> list[pathlib.Path]:
    """Paths of files, folders (the images in them, at any depth) and glob patterns, each file once, in the order given.

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
            images = sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())
            if not images:
                raise ImageFileError(f"{pattern}: the folder holds no file that ends in {', '.join(_SUFFIXES)}")
            paths.update(dict.fromkeys(images))
            continue
        found = sorted(pathlib.Path(name) for name in glob.glob(pattern, recursive=True))  # noqa: PTH207
        if not any(match.is_file() for match in found):
            raise ImageFileError(f"{pattern}: no such file, and no file matches it as a pattern")
        paths.update(dict.fromkeys(match for match in found if match.is_file()))
    return list(paths)


def read(path: pathlib.Path) -> ImageFile:
    """Reads and decodes an image file.

    Raises:
      ImageFileError: it cannot be read, or is not a whole image.
    """
    try:
        encoded = path.read_bytes()
        with Image.open(io.BytesIO(encoded)) as image:
            image.load()
            modes = _SENT_AS_THEY_ARE.get(image.format or "", ())
            turned = image.getexif().get(_ORIENTATION_TAG, 1) != 1
            as_it_is = modes is None or (image.mode in modes and not turned)
            upright = _rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise ImageFileError(f"{path}: is not an image ({len(encoded)} bytes)") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # Pillow reports broken PNG files as SyntaxError.
        raise ImageFileError(f"{path}: cannot be read as an image: {error}") from error
    if not as_it_is:
        buffer = io.BytesIO()
        upright.save(buffer, "PNG")
        encoded = buffer.getvalue()
    return ImageFile(path, encoded, upright)


def _rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB; of 16-bit greyscale the upper byte, as the graph reads it. (Pillow would clip it at 255.)"""
    if image.mode in _SIXTEEN_BIT_GREY:
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")
