"""The C++ loader through ctypes: answers, what it refuses, and a model that it cannot run."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from serving.models.cpp_session import CppSession
from tests.serving.tiny_detector import jpeg


def test_strings_and_numbers_of_a_batch_come_back(exports: dict[int, pathlib.Path]) -> None:
    with CppSession(exports[1]) as session:
        assert list(session.signature_defs) == ["serving_default"]
        outputs = session.run("serving_default", {"image_bytes": np.array([jpeg(255), jpeg(0, 10, 30)], object)})
    np.testing.assert_allclose(outputs["detection_scores"], [[1, 0], [0, 0]], atol=1e-6)
    np.testing.assert_array_equal(outputs["detection_boxes"][1, 0], np.float32([0.25, 0.5, 0.75, 1.0]))
    assert outputs["detection_class_names"].tolist() == [[b"stop", b"stop"], [b"stop", b"stop"]]
    assert outputs["num_detections"].dtype == np.int64


@pytest.fixture(scope="module")
def joining(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CppSession]:
    """Puts an x before each string; its numbers come back as they are."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None, 2], tf.float16)])
    def join(strings: tf.Tensor, numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"joined": tf.strings.join(["x", strings]), "strings": tf.identity(strings), "numbers": numbers}

    folder = str(tmp_path_factory.mktemp("joining") / "1")
    tf.saved_model.save(module, folder, signatures={"join": join})
    with CppSession(pathlib.Path(folder)) as session:
        yield session


@given(st.lists(st.binary(max_size=70), max_size=5))
def test_strings_of_any_length_come_back(joining: CppSession, strings: list[bytes]) -> None:
    # Up to 22 bytes the library keeps in the element itself; what it only passes on, it keeps as it was given.
    numbers = np.arange(6, dtype=np.float16).reshape(3, 2)
    outputs = joining.run("join", {"strings": np.array(strings, object), "numbers": numbers})
    assert outputs["joined"].tolist() == [b"x" + one for one in strings]
    assert outputs["strings"].tolist() == strings
    np.testing.assert_array_equal(outputs["numbers"], numbers)
    assert outputs["numbers"].dtype == np.float16


def test_values_that_do_not_fit_raise_and_the_session_goes_on(exports: dict[int, pathlib.Path]) -> None:
    with CppSession(exports[1]) as session:
        with pytest.raises(tf.errors.InvalidArgumentError):
            session.run("serving_default", {"image_bytes": np.array([b"no image"], object)})
        with pytest.raises(KeyError, match="classify"):
            session.run("classify", {})
        assert session.run("serving_default", {"image_bytes": np.array([jpeg()], object)})["num_detections"] == [1]


def test_what_cannot_be_loaded_raises(exports: dict[int, pathlib.Path], tmp_path: pathlib.Path) -> None:
    with pytest.raises(tf.errors.NotFoundError, match=str(tmp_path)):
        CppSession(tmp_path)
    with pytest.raises(tf.errors.NotFoundError, match="train"):
        CppSession(exports[1], tags=["train"])
