"""A detector whose boxes a classifier looks at once more: fitted, exported, served, and started from."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.detector.reclassified import ReclassifiedDetector
from components.detector.registry import build_detector
from components.detector.structures import Preprocessed
from components.detector.weights import zoo
from components.evaluator.coco import COCO_METRICS
from components.export.saved_model import export
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.settings import OptimizerSettings, TrainSettings
from components.trainer.state.checkpoint import CheckpointFolder, Progress
from components.trainer.state.progress_log import ProgressLog
from components.trainer.strategies.feature_extraction import FeatureExtraction
from components.trainer.strategies.settings.feature_extraction import FeatureExtractionSettings
from components.trainer.strategies.strategy import TrainingInputs
from components.trainer.training_loop import train
from components.user_error import UserError
from schema.label_map import LabelMap
from serving.contract.contract_check import check_contract
from serving.contract.options import ContractOptions
from serving.models.cpp_session import CppSession
from tests.made_operating_points import made_operating_points
from tests.tiny_detectors import TINY_DETECTORS

SIDE = 128
LABELS = LabelMap.of_names(["red", "green"])
Squares = Callable[[str, int], str]
MakeSquare = Callable[..., tuple[bytes, list[float], int]]


def reclassified(folder: pathlib.Path, records: str, name: str, **settings: Any) -> ReclassifiedDetector:
    """Trained for two steps, or not at all."""
    keras.utils.set_random_seed(1)
    options = {**TINY_DETECTORS[name], "batch_norm_momentum": 0.5}
    detector = build_detector(name, num_classes=2, image_size=(SIDE, SIDE), **options)
    # Statistics of a start, instead of activations that vanish or grow from layer to layer.
    noise = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3))
    images = detector.normalize(tf.constant(noise, tf.float32))
    pass_forward = tf.function(lambda: detector(images, training=True), autograph=False)
    for _ in range(8):
        pass_forward()
    strategy = FeatureExtraction(FeatureExtractionSettings(copies=0, **settings))
    strategy.prepare(detector)
    train_settings = TrainSettings(steps=2, batch_size=4, optimizer=OptimizerSettings(name="sgd"))
    inputs = TrainingInputs(
        train_settings, LABELS, AnnotatedRecords([records], parse_clean_records), str(folder / "kept")
    )
    train(
        detector,
        strategy.phases(detector, inputs),
        train_settings,
        evaluate=lambda: dict.fromkeys(COCO_METRICS, 0.5),
        checkpoints=CheckpointFolder(str(folder / "checkpoint"), detector.variables),
        progress=Progress(),
        log=ProgressLog(str(folder / "run"), steps=2, batch_size=4, line_every_seconds=1e9, history=[]),
    )
    finished = strategy.finish(detector)
    assert isinstance(finished, ReclassifiedDetector)
    assert finished.recipe == detector.recipe
    return finished


@pytest.mark.parametrize(
    ("name", "classifier", "train_heads"),
    [("ssd_mobilenet_v2", "knn", True), ("faster_rcnn_resnet50", "logistic", False), ("efficientdet_d0", "svm", False)],
)
def test_it_answers_the_same_before_and_after_export_in_either_loader(
    tmp_path: pathlib.Path, squares: Squares, make_square: MakeSquare, name: str, classifier: Any, train_heads: bool
) -> None:
    finished = reclassified(tmp_path, squares("train", 8), name, classifier=classifier, train_heads=train_heads)
    points = made_operating_points(LABELS)
    export(str(tmp_path / "1"), finished, LABELS, serving_batch_size=1, operating_points=points)
    pixels = np.stack([tf.io.decode_jpeg(make_square(number, SIDE)[0]).numpy() for number in (0, 1)])
    frame = finished.preprocess(tf.constant(pixels))
    expected = finished.detect(Preprocessed(*frame))
    assert (expected.counts.numpy() > 0).all()
    by_python = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_tensor"](images=tf.constant(pixels))
    with CppSession(tmp_path / "1") as session:
        by_cpp = session.run("serving_tensor", {"images": pixels})
        nothing = session.run("serving_tensor", {"images": pixels[:0]})
        alone = session.run("serving_tensor", {"images": pixels[1:]})
    for found in (by_cpp, {key: value.numpy() for key, value in by_python.items()}):
        np.testing.assert_allclose(found["detection_scores"], expected.scores, atol=1e-4)
        np.testing.assert_array_equal(found["num_detections"], expected.counts)
    np.testing.assert_allclose(alone["detection_scores"][0], by_cpp["detection_scores"][1], atol=1e-4)
    assert nothing["detection_boxes"].shape == (0, *by_cpp["detection_boxes"].shape[1:])
    contract = check_contract(tmp_path / "1", ContractOptions(sides_pixels=(80, 120), latency_runs=0))
    assert contract.passed, [check.line for check in contract.failures]

    # A push of it is a start for the detector that it was made of, and says what is left behind.
    other = build_detector(**finished.recipe)
    report = zoo.restore(other, str(tmp_path / "1"), label_map=LABELS)
    assert f"pushed version without its {classifier} classifier" in str(report)
    for ours, theirs in zip(other.weights, finished.detector.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert f"classified by {classifier}" in zoo.inspect(str(tmp_path / "1"))


def test_scores_are_roots_of_products_in_order(tmp_path: pathlib.Path, squares: Squares) -> None:
    """With a classifier that knows nothing, every class of a box has half of its root."""
    finished = reclassified(tmp_path, squares("train", 8), "ssd_mobilenet_v2", classifier="logistic")
    for variable in finished.box_classifier.variables:
        if variable.name in ("weights", "bias"):
            variable.assign(tf.zeros_like(variable))
    frame = finished.preprocess(tf.zeros((1, SIDE, SIDE, 3)))
    own, scores = finished.detector.detect(frame).scores[0].numpy(), finished.detect(frame).scores[0].numpy()
    assert scores[0] == pytest.approx(np.sqrt(own[0] / 3.0), rel=1e-4)
    assert (np.diff(scores) <= 0).all()


def test_heads_that_begin_at_random_have_to_learn() -> None:
    settings = FeatureExtractionSettings(classifier="knn", train_heads=False)
    FeatureExtraction(settings).check_start(())
    fresh = ("model/head/kernel", "model/head/bias")
    with pytest.raises(UserError, match=r"leave 2 variables of the detector at random \(first: model/head/kernel\)"):
        FeatureExtraction(settings).check_start(fresh)
    FeatureExtraction(FeatureExtractionSettings(classifier="knn")).check_start(fresh)


def test_nothing_that_learns_is_refused() -> None:
    with pytest.raises(ValueError, match="train_heads: false nothing learns"):
        FeatureExtractionSettings(train_heads=False)
