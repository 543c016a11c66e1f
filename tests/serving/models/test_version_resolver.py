"""The version that a request means."""

from __future__ import annotations

import grpc
import pytest
from tensorflow_serving.apis import model_pb2

from serving.models.version_resolver import resolve
from serving.protocol.errors import RequestError

_AVAILABLE = [3, 5, 7]
_LABELS = {"stable": 5, "canary": 9}


def _spec(version: int | None = None, label: str | None = None) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name="detector")
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label
    return spec


def test_unset_and_zero_are_the_newest_and_others_what_they_say() -> None:
    assert resolve(_spec(), _AVAILABLE, {}) == 7
    assert resolve(_spec(0), _AVAILABLE, {}) == 7
    assert resolve(_spec(3), _AVAILABLE, {}) == 3
    assert resolve(_spec(label="stable"), _AVAILABLE, _LABELS) == 5


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        (_spec(4), grpc.StatusCode.NOT_FOUND, r"Specific\(detector, 4\) \(served here: detector version 3, 5, 7\)"),
        (_spec(-1), grpc.StatusCode.NOT_FOUND, r"Specific\(detector, -1\)"),
        (_spec(label="canary"), grpc.StatusCode.NOT_FOUND, r"Specific\(detector, 9\)"),
        (_spec(label="old"), grpc.StatusCode.INVALID_ARGUMENT, r"label: old \(known here: canary, stable\)"),
    ],
)
def test_what_is_not_there(spec: model_pb2.ModelSpec, code: grpc.StatusCode, words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        resolve(spec, _AVAILABLE, _LABELS)
    assert caught.value.code == code


def test_nothing_is_served_yet() -> None:
    with pytest.raises(RequestError, match=r"Latest\(detector\) \(served here: nothing yet\)"):
        resolve(_spec(), [], {})
