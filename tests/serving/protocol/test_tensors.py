"""Messages to arrays: what is right comes back, whatever is wrong is INVALID_ARGUMENT."""

from __future__ import annotations

import math

import grpc
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework import tensor_pb2

from serving.protocol import tensors
from serving.protocol.errors import RequestError


def _message(dtype: int, *sizes: int, **values: object) -> tensor_pb2.TensorProto:
    return tensor_pb2.TensorProto(dtype=dtype, tensor_shape={"dim": [{"size": size} for size in sizes]}, **values)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (_message(7, -1, string_val=[b"a"]), "not fully known"),
        (_message(1, 1 << 40, float_val=[0]), "elements"),
        (_message(1, 1 << 20, 1 << 20, float_val=[0]), "elements"),
        (_message(1, 2, tensor_content=b"abc"), "parsing error"),
        (_message(20, 1), "type 20, expected one of bool"),
        (_message(21, 1), "type 21"),
        (_message(0, 1), "type 0"),
        (_message(4, 1, int_val=[256]), "parsing error"),
        (_message(4, 1, int_val=[-1]), "parsing error"),
    ],
)
def test_what_is_wrong_is_an_invalid_argument(message: tensor_pb2.TensorProto, words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        tensors.to_array("images", message)
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT and "images" in caught.value.message


@given(hnp.arrays(st.sampled_from([np.float32, np.int64, np.uint8, np.bool_]), hnp.array_shapes(min_side=0)))
def test_arrays_go_round(array: np.ndarray) -> None:
    found = tensors.to_array("x", tensors.to_message(array))
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(tf.make_ndarray(tensors.to_message(array)), array)


@given(hnp.array_shapes(min_dims=0, min_side=0, max_side=3), st.data())
def test_strings_go_round(shape: tuple[int, ...], data: st.DataObject) -> None:
    size = math.prod(shape)
    values = data.draw(st.lists(st.binary(max_size=30), min_size=size, max_size=size))
    array = np.array([*values, None], object)[:size].reshape(shape)
    message = tensors.to_message(array)
    assert message == tf.make_tensor_proto(array, tf.string)
    found = tensors.to_array("x", message)
    assert found.tolist() == array.tolist() and found.shape == shape and found.dtype == object


def test_few_strings_fill_a_tensor_as_they_do_in_tensorflow() -> None:
    message = _message(7, 3, string_val=[b"a", b"b"])
    assert tensors.to_array("x", message).tolist() == tf.make_ndarray(message).tolist() == [b"a", b"b", b"b"]


@given(st.integers(0, 40), st.lists(st.integers(-2, 4), max_size=4), st.binary(max_size=32))
def test_any_message_is_an_array_or_an_invalid_argument(dtype: int, sizes: list[int], content: bytes) -> None:
    try:
        tensors.to_array("x", _message(dtype, *sizes, tensor_content=content))
    except RequestError as error:
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT
