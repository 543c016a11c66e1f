"""What the client sends is what the server reads, and what the server writes is what the client reads."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from schema import exported_model
from serving.clients import rest_messages
from serving.clients.errors import MessageError
from serving.clients.transport import ModelChoice
from serving.protocol import tensors
from serving.wire import rest_json


@given(st.lists(st.binary(max_size=20), max_size=4))
def test_the_server_reads_the_images(images: list[bytes]) -> None:
    definition = meta_graph_pb2.SignatureDef()
    definition.inputs[exported_model.IMAGE_BYTES].dtype = 7
    request = predict_pb2.PredictRequest()
    document = rest_json.parse(rest_messages.predict_body(images))
    is_by_rows = rest_json.fill_request(request, document, {exported_model.SERVING_SIGNATURE: definition})
    assert not is_by_rows
    assert request.model_spec.signature_name == exported_model.SERVING_SIGNATURE
    assert list(request.inputs) == [exported_model.IMAGE_BYTES]
    assert tensors.to_array("x", request.inputs[exported_model.IMAGE_BYTES]).tolist() == images


@given(st.data())
def test_the_client_reads_the_arrays(data: st.DataObject) -> None:
    count, rows = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 3))
    floats = {"elements": st.floats(width=32, allow_nan=False)}
    names = st.lists(st.text(st.characters(codec="utf-8"), max_size=5), min_size=count * rows, max_size=count * rows)
    strings = np.empty(count * rows, object)
    strings[:] = [name.encode() for name in data.draw(names)]
    expected = {
        exported_model.BOXES: data.draw(hnp.arrays(np.float32, (count, rows, 4), **floats)),
        exported_model.SCORES: data.draw(hnp.arrays(np.float32, (count, rows), **floats)),
        exported_model.CLASSES: data.draw(hnp.arrays(np.int64, (count, rows))),
        exported_model.CLASS_NAMES: strings.reshape(count, rows),
        exported_model.COUNTS: data.draw(hnp.arrays(np.int64, (count,))),
        exported_model.THRESHOLDS: data.draw(hnp.arrays(np.float32, (count, rows), **floats)),
    }
    written = rest_json.predictions({name: tensors.to_message(array) for name, array in expected.items()}, False)
    found = rest_messages.outputs_of(json.loads(written))
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        # An empty level says nothing of those below it.
        assert found[name].tolist() == array.tolist()


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([1], "expected an object 'outputs'"),
        ({"detection_scores": [[0.5], []]}, "detection_scores: lists of one level differ in size"),
        ({"detection_scores": [["0.5"]]}, "detection_scores: expected numbers of the type float32, found"),
        ({"detection_classes": [[1.5]]}, "detection_classes: expected numbers of the type int64, found"),
        ({"num_detections": {"a": 1}}, "num_detections: expected numbers of the type int64, found"),
        ({"num_detections": [1 << 70]}, "num_detections: expected numbers of the type int64, found"),
        ({"detection_class_names": [["a", 1]]}, "detection_class_names: expected strings"),
        ({"detection_class_names": [["a"], ["b", "c"]]}, "detection_class_names: expected strings"),
    ],
)
def test_what_is_no_answer_of_a_detector_is_said(outputs: Any, expected: str) -> None:
    with pytest.raises(MessageError, match=expected):
        rest_messages.outputs_of({"outputs": outputs})


def test_paths() -> None:
    path = rest_messages.model_path
    assert path(ModelChoice("signs")) == path(ModelChoice("signs", 0)) == "/v1/models/signs"
    assert path(ModelChoice("a/b c", 7)) == "/v1/models/a%2Fb%20c/versions/7"
    assert path(ModelChoice("signs", label="a/b")) == "/v1/models/signs/labels/a%2Fb"
    with pytest.raises(ValueError, match="exclude each other"):
        ModelChoice("signs", 7, "stable")


@pytest.mark.parametrize("metadata", [{}, {"model_spec": 1}, {"model_spec": {"version": "x"}}, {"model_spec": {}}])
def test_metadata_without_a_version(metadata: dict[str, Any]) -> None:
    with pytest.raises(MessageError, match=r"expected the number of a version as model_spec\.version"):
        rest_messages.version_of(metadata)


def test_the_version_of_metadata() -> None:
    assert rest_messages.version_of({"model_spec": {"version": "7"}}) == 7
    assert rest_messages.version_of({"model_spec": {"version": 7}}) == 7
