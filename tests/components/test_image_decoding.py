"""Every kind of file decodes to what Pillow, asked to turn it upright, decodes it to."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from components.image_decoding import (
    decode_upright,
    decode_upright_if_readable,
    decode_upright_window,
    exif_orientation,
)

_ORIENTATION = 0x0112
_MAKER = 0x010F
# Smooth, so that chroma subsampling does not matter at the edges of a window.
PIXELS = np.stack([*np.meshgrid(np.linspace(0, 255, 80), np.linspace(255, 0, 48)), np.full((48, 80), 90.0)], axis=-1)


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def upright(data: bytes) -> NDArray[np.int64]:
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"), np.int64)


def photo(orientation: int, **options: object) -> bytes:
    exif = Image.Exif()
    exif[_MAKER] = "a maker with a long name"
    exif[_ORIENTATION] = orientation
    return encoded(Image.fromarray(PIXELS.astype(np.uint8)), "JPEG", exif=exif, quality=95, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation: int) -> None:
    data = photo(orientation)
    np.testing.assert_allclose(decode_upright(tf.constant(data)), upright(data), atol=8)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_window_is_a_part_of_the_upright_image(orientation: int) -> None:
    data = photo(orientation)
    whole = upright(data)
    height, width = whole.shape[:2]
    part = decode_upright_window(tf.constant(data), tf.constant([0.25, 0.1, 0.9, 0.8]))
    expected = whole[round(0.25 * height) : round(0.9 * height), round(0.1 * width) : round(0.8 * width)]
    np.testing.assert_allclose(part, expected, atol=10)


def test_exif_behind_other_segments_is_found() -> None:
    jfif = encoded(Image.fromarray(PIXELS.astype(np.uint8)), "JPEG", comment=b"a comment")
    exif_segment = photo(6)[2:].split(b"\xff\xdb", 1)[0]
    start = jfif.index(b"\xff\xfe")
    data = jfif[:start] + exif_segment + jfif[start:]
    assert int(exif_orientation(tf.constant(data))) == 6


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [("L", "PNG"), ("L", "JPEG"), ("RGBA", "PNG"), ("P", "PNG"), ("1", "PNG"), ("CMYK", "JPEG"), ("RGB", "BMP")],
)
def test_other_modes_and_formats(mode: str, file_format: str) -> None:
    data = encoded(Image.fromarray(PIXELS.astype(np.uint8)).convert(mode), file_format)
    np.testing.assert_allclose(decode_upright(tf.constant(data)), upright(data), atol=6)


def test_sixteen_bit_png() -> None:
    data = encoded(Image.fromarray((PIXELS[..., 0] * 257).astype(np.uint16)), "PNG")
    found = decode_upright(tf.constant(data)).numpy()
    np.testing.assert_allclose(found[..., 1], PIXELS[..., 0], atol=2)


@pytest.mark.parametrize("data", [b"", b"no image", photo(1)[:300], b"\xff\xd8\xff\xe1\x00\x10Exif\x00\x00II"])
def test_what_is_no_image_is_an_error(data: bytes) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_upright(tf.constant(data))


@pytest.mark.parametrize(
    "data", [b"", b"no image", photo(1)[:200], photo(6)[:300], encoded(Image.new("RGB", (9, 7)), "PNG")[:50]]
)
def test_what_is_no_image_is_a_black_pixel_where_errors_are_asked_for(data: bytes) -> None:
    decode = tf.function(decode_upright_if_readable, autograph=False)
    image, is_readable = decode(tf.constant(data))
    assert not is_readable
    assert image.numpy().tolist() == [[[0, 0, 0]]]


def test_an_image_is_itself_where_errors_are_asked_for() -> None:
    image, is_readable = tf.function(decode_upright_if_readable, autograph=False)(tf.constant(photo(6)))
    assert is_readable
    np.testing.assert_array_equal(image, decode_upright(tf.constant(photo(6))))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_exif_content_gives_an_orientation(tail: bytes) -> None:
    length = (len(tail) + 8).to_bytes(2, "big")
    data = b"\xff\xd8\xff\xe1" + length + b"Exif\0\0" + tail
    assert 1 <= int(exif_orientation(tf.constant(data))) <= 8
