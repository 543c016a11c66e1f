"""The messages without TensorFlow are, byte for byte, those of TF Serving."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow_serving.apis import predict_pb2

from schema import exported_model
from serving.clients import messages
from serving.protocol import tensors


@given(
    st.lists(st.binary(max_size=20), max_size=4), st.text(max_size=8), st.none() | st.integers(0, 2**63 - 1), st.text()
)
def test_a_request_has_the_same_bytes(images: list[bytes], name: str, version: int | None, label: str) -> None:
    label = "" if version is not None else label
    expected = predict_pb2.PredictRequest()
    expected.model_spec.name = name
    expected.model_spec.signature_name = exported_model.SERVING_SIGNATURE
    if version is not None:
        expected.model_spec.version.value = version
    if label:
        expected.model_spec.version_label = label
    expected.inputs[exported_model.IMAGE_BYTES].CopyFrom(tf.make_tensor_proto(images, tf.string, shape=[len(images)]))
    found = messages.predict_request(images, name, version, label).SerializeToString(deterministic=True)
    assert found == expected.SerializeToString(deterministic=True)


_ARRAYS = hnp.arrays(st.sampled_from([np.float32, np.int64]), hnp.array_shapes(min_side=0))


@given(_ARRAYS, st.booleans())
def test_an_answer_s_arrays_come_back(array: np.ndarray, packed: bool) -> None:
    tensor = tf.make_tensor_proto(array) if packed else tensors.to_message(array)
    response = predict_pb2.PredictResponse()
    response.outputs["x"].CopyFrom(tensor)
    read = messages.PredictResponse.FromString(response.SerializeToString())
    found = messages.to_array("x", read.outputs["x"])
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


def test_strings_and_values_that_were_left_out() -> None:
    response = predict_pb2.PredictResponse()
    response.outputs["s"].CopyFrom(tf.make_tensor_proto([[b"a", b"b"]]))
    response.outputs["ones"].CopyFrom(tf.make_tensor_proto(1.0, shape=[2, 2]))
    response.outputs["half"].CopyFrom(tf.make_tensor_proto(np.float16([1])))
    response.outputs["short"].CopyFrom(tf.make_tensor_proto([1.0, 2.0]))
    response.outputs["short"].tensor_content = b"\0" * 4
    read = messages.PredictResponse.FromString(response.SerializeToString())
    assert messages.to_array("s", read.outputs["s"]).tolist() == [[b"a", b"b"]]
    assert messages.to_array("ones", read.outputs["ones"]).tolist() == [[1, 1], [1, 1]]
    with pytest.raises(messages.MessageError, match="half has the type 19"):
        messages.to_array("half", read.outputs["half"])
    with pytest.raises(messages.MessageError, match=r"short has 1 values, expected 2 for the shape \[2\]"):
        messages.to_array("short", read.outputs["short"])
