"""Limits are looked at before memory is taken; whatever bytes come, the answer is a refusal in words or a pass."""

from __future__ import annotations

import io

import grpc
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from schema.exported_model import EXAMPLES, IMAGE_BYTES, IMAGES
from schema.features import IMAGE_ENCODED
from serving.protocol.errors import RequestError
from serving.protocol.limits import Limits
from tests.serving.tiny_detector import jpeg, png_header

_LIMITS = Limits(max_images=4, max_image_pixels=1000)


def _refusal(alias: str, *images: bytes) -> str:
    with pytest.raises(RequestError) as caught:
        _LIMITS.check_images(alias, np.array(images, object))
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    return caught.value.message


def _record(*images: bytes) -> bytes:
    example = tf.train.Example()
    example.features.feature[IMAGE_ENCODED].bytes_list.value.extend(images)
    return bytes(example.SerializeToString())


def test_what_a_shape_declares_is_refused_by_the_limit_s_name() -> None:
    _LIMITS.check_shape(IMAGES, [4, 20, 50, 3])
    with pytest.raises(RequestError, match=r"800 images in one request, the limit is 4 \(--max_images\)"):
        _LIMITS.check_shape(IMAGE_BYTES, [800])
    with pytest.raises(RequestError, match=r"images of 51 x 20 pixels, the limit is 1000 pixels"):
        _LIMITS.check_shape(IMAGES, [1, 20, 51, 3])


def test_an_image_too_large_or_none_is_told_by_its_index() -> None:
    small, large = jpeg(width=40, height=25), jpeg(width=41, height=25)
    assert _LIMITS.check_images(IMAGE_BYTES, np.array([small], object)).tolist() == [small]
    assert "image 1 has 41 x 25 pixels" in _refusal(IMAGE_BYTES, small, large)
    assert "no readable JPEG, PNG, GIF or BMP image at index 1 3" in _refusal(IMAGE_BYTES, small, b"text", small, b"")
    assert "30000 x 30000" in _refusal(IMAGE_BYTES, png_header(30000, 30000))
    assert "image 0 has 41 x 25 pixels" in _refusal(EXAMPLES, _record(large))
    assert "has 2 values of image/encoded" in _refusal(EXAMPLES, _record(small, small))
    assert "is no tf.train.Example" in _refusal(EXAMPLES, b"\xff")


def test_where_the_caller_asks_for_it_what_is_no_image_becomes_empty_and_what_is_too_large_is_refused() -> None:
    small = jpeg(width=40, height=25)
    images = np.array([b"text", small], object)
    assert _LIMITS.check_images(IMAGE_BYTES, images, tolerant=True).tolist() == [b"", small]
    with pytest.raises(RequestError, match="41 x 25"):
        _LIMITS.check_images(IMAGE_BYTES, np.array([jpeg(width=41, height=25)], object), tolerant=True)


@given(st.sampled_from(["JPEG", "PNG", "GIF", "BMP"]), st.lists(st.tuples(st.integers(0), st.integers(0, 255))))
def test_damaged_files_pass_or_are_refused_and_nothing_else(form: str, changes: list[tuple[int, int]]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, form)
    damaged = bytearray(buffer.getvalue())
    for position, value in changes:
        damaged[position % len(damaged)] = value
    try:
        _LIMITS.check_images(IMAGE_BYTES, np.array([bytes(damaged)], object))
    except RequestError as error:
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT
