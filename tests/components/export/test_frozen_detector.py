"""The exported graph: constants, folded batch normalisation, nothing of training; and the detector's numbers."""

from __future__ import annotations

import pathlib
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import saved_model_pb2

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.detector.structures import Detections, Preprocessed
from components.export import frozen_detector
from components.export.affine_folding import BATCH_NORMALIZATIONS, fold_affine
from components.export.frozen_detector import FrozenDetector, frozen_graph
from components.export.saved_model import export
from schema.exported_model import SAVED_MODEL_FILE
from schema.label_map import LabelMap
from serving.models.cpp_session import CppSession
from tests.tiny_detectors import TINY_DETECTORS

_LABELS = LabelMap.of_names(["red", "green"])
_OF_TRAINING = ("Grad", "Assign", "Dropout", "Random", "IdentityN")
"""Parts of the names of operations that a trained network has no use for."""


def _settle(detector: Detector) -> Detector:
    """Batch normalisation as of a training: folding it is not folding ones and zeros."""
    random = np.random.default_rng(0)
    for variable in detector.weights:
        if variable.name in ("moving_variance", "gamma"):
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
        elif variable.name in ("moving_mean", "beta"):
            variable.assign(random.normal(0.0, 0.1, variable.shape))
    return detector


def _operations(graph: graph_pb2.GraphDef) -> Counter[str]:
    """Of the graph and of all its functions."""
    functions = (node for function in graph.library.function for node in function.node_def)
    return Counter(node.op for node in (*graph.node, *functions))


@pytest.mark.parametrize("name", TINY_DETECTORS)
def test_the_graph_is_folded_and_has_nothing_of_training(name: str) -> None:
    detector = _settle(build_detector(name, num_classes=2, image_size=(128, 128), **TINY_DETECTORS[name]))
    graph, _, outputs = frozen_graph(detector)
    operations = _operations(graph)
    assert not [op for op in operations if any(part in op for part in _OF_TRAINING)]
    assert not operations.keys() & {"ReadVariableOp", "Placeholder", "VarHandleOp", *BATCH_NORMALIZATIONS}
    assert fold_affine(graph, [output.partition(":")[0] for output in outputs]) == 0


def test_suppression_stays_where_a_gpu_does_not_wait_for_it(make_detector: Callable[[], Detector]) -> None:
    graph, _, _ = frozen_graph(make_detector())
    loops = [node for node in graph.node if node.op in ("While", "StatelessWhile")]
    assert loops
    assert all("CPU" in loop.device for loop in loops)
    others = {node.device for node in graph.node if node.op in ("Conv2D", "DepthwiseConv2dNative", "BiasAdd", "Const")}
    assert all("GPU" not in device for device in others)
    assert all(node.device == "" for node in graph.node if node.op == "Conv2D")


@pytest.mark.parametrize("most_bytes", [0, 2**40], ids=["variables", "constants"])
def test_both_ways_of_keeping_weights_answer_like_the_detector(
    most_bytes: int,
    make_detector: Callable[[], Detector],
    make_square: Callable[..., tuple[bytes, list[float], int]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    monkeypatch.setattr(frozen_detector, "MOST_CONSTANT_BYTES", most_bytes)
    detector = _settle(make_detector())
    frozen = FrozenDetector(detector)
    assert bool(frozen.weights) == (most_bytes == 0)
    random = np.random.default_rng(1)
    images = random.uniform(0, 255, (3, *detector.image_size, 3)).astype(np.float32)
    frame = detector.preprocess(tf.constant(images))
    expected, found = detector.detect(frame), Detections(*tf.function(frozen.detect, autograph=False)(frame))
    np.testing.assert_array_equal(found.counts, expected.counts)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    # What the detector learns later is not in it.
    before = found.scores.numpy()
    for variable in detector.trainable_variables:
        variable.assign(variable * 1.1)
    again = Detections(*tf.function(frozen.detect, autograph=False)(Preprocessed(*frame)))
    np.testing.assert_array_equal(again.scores, before)

    export(str(tmp_path / "1"), detector, _LABELS, serving_batch_size=1)
    request = np.array([make_square(0, 64)[0]], object)
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    python = loaded.signatures["serving_default"](image_bytes=tf.constant(request))
    with CppSession(tmp_path / "1") as session:
        cpp = session.run("serving_default", {"image_bytes": request})
    np.testing.assert_allclose(python["detection_scores"], cpp["detection_scores"], atol=1e-6)
    assert python["num_detections"][0] > 0


def test_a_version_has_one_copy_of_the_network(make_detector: Callable[[], Detector], tmp_path: pathlib.Path) -> None:
    detector = make_detector()
    export(str(tmp_path / "1"), detector, _LABELS, serving_batch_size=1)
    saved = saved_model_pb2.SavedModel.FromString((tmp_path / "1" / SAVED_MODEL_FILE).read_bytes())
    # Around the functions, which compute, the graph restores what a checkpoint counts.
    operations = _operations(graph_pb2.GraphDef(library=saved.meta_graphs[0].graph_def.library))
    assert operations["Conv2D"] == _operations(frozen_graph(detector)[0])["Conv2D"]
    assert not operations.keys() & {"ReadVariableOp", *BATCH_NORMALIZATIONS}
    weights_bytes = sum(variable.numpy().nbytes for variable in detector.weights)
    assert (tmp_path / "1" / SAVED_MODEL_FILE).stat().st_size < 1.5 * weights_bytes + 2**20
