"""What a request may ask for, looked at before memory is taken or a pixel is decoded."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable
from typing import NoReturn

import grpc
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf import message
from PIL import Image

from schema.exported_model import EXAMPLES, IMAGE_BYTES, IMAGES, UNREADABLE_IMAGE
from schema.features import IMAGE_ENCODED
from serving.protocol.errors import RequestError

_DECODED = ("JPEG", "PNG", "GIF", "BMP")
"""Pillow's names of what TensorFlow decodes."""
# Pillow's own limit is for those who decode with it. Here headers alone are read, and it would hide what they say.
Image.MAX_IMAGE_PIXELS = None


@dataclasses.dataclass(frozen=True)
class Limits:
    """Upper bounds of a request.

    Attributes:
      max_images: images in a request.
      max_image_pixels: width x height of an image, encoded or not.
      max_message_mib: bytes of a request, in MiB.
    """

    max_images: int = 64
    max_image_pixels: int = 64_000_000
    max_message_mib: int = 64

    def check_shape(self, alias: str, sizes: Iterable[int]) -> None:
        """Looks at the shape that a message declares; a few bytes can declare a very large one.

        Raises:
          RequestError: INVALID_ARGUMENT, it has more images, or larger ones, than may be.
        """
        shape = list(sizes)
        if shape and shape[0] > self.max_images:
            _refuse(
                f"input {alias}: {shape[0]} images in one request, the limit is {self.max_images} (--max_images); "
                "send several requests"
            )
        if alias == IMAGES and len(shape) == 4 and shape[1] * shape[2] > self.max_image_pixels:
            _refuse(f"input {alias}: images of {shape[2]} x {shape[1]} pixels, {self._pixel_limit()}")

    def check_images(
        self, alias: str, values: npt.NDArray[np.generic], *, tolerant: bool = False
    ) -> npt.NDArray[np.generic]:
        """Looks at the headers of encoded images.

        Args:
          alias: of the input; others than images and records pass.
          values: [B], bytes.
          tolerant: what is no image is to fail alone: it becomes an empty string, which no decoder takes.

        Returns:
          [B], bytes.

        Raises:
          RequestError: INVALID_ARGUMENT with the index; an image is larger than may be, or none.
        """
        if alias not in (IMAGE_BYTES, EXAMPLES):
            return values
        checked, unreadable = [], []
        for index, value in enumerate(values.ravel().tolist()):
            encoded = value if alias == IMAGE_BYTES else _image_of_record(alias, index, value)
            size = _size_pixels(encoded)
            if size is None:
                unreadable.append(index)
            elif size[0] * size[1] > self.max_image_pixels:
                _refuse(f"input {alias}: image {index} has {size[0]} x {size[1]} pixels, {self._pixel_limit()}")
            checked.append(value if size else b"")
        if unreadable and not tolerant:
            _refuse(f"input {alias}: {UNREADABLE_IMAGE} at index {' '.join(map(str, unreadable))}")
        return np.array(checked, object)

    def _pixel_limit(self) -> str:
        return f"the limit is {self.max_image_pixels} pixels (--max_image_pixels)"


def _size_pixels(encoded: bytes) -> tuple[int, int] | None:
    """Width and height by the header of an image file; None: it is none."""
    try:
        with Image.open(io.BytesIO(encoded), formats=_DECODED) as image:
            return image.size
    except Exception:
        # Pillow's readers raise whatever comes up in a header that breaks off or holds nonsense: none is an image.
        return None


def _image_of_record(alias: str, index: int, serialized: bytes) -> bytes:
    """The image in a serialised tf.train.Example."""
    try:
        values = tf.train.Example.FromString(serialized).features.feature[IMAGE_ENCODED].bytes_list.value
    except message.DecodeError as error:
        _refuse(f"input {alias}: record {index} is no tf.train.Example ({error})")
    if len(values) != 1:
        _refuse(f"input {alias}: record {index} has {len(values)} values of {IMAGE_ENCODED}, expected 1")
    image: bytes = values[0]
    return image


def _refuse(text: str) -> NoReturn:
    raise RequestError(grpc.StatusCode.INVALID_ARGUMENT, text)
