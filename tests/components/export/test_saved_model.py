"""The SavedModel keeps its contract: any sizes, any batch, the same detections as the detector it was made from."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.detector.detector import Detector
from components.detector.structures import Detections, Preprocessed
from components.detector.weights.zoo import restore
from components.export.saved_model import ServingModule, export
from components.image_decoding import decode_upright
from schema import exported_model
from schema.label_map import LabelMap, read_label_map
from schema.operating_points import OperatingPoints
from serving.models.cpp_session import CppSession
from tests.made_operating_points import made_operating_points

LABELS = LabelMap.of_names(["red", "green"])
POINTS = made_operating_points(LABELS)
MakeSquare = Callable[..., tuple[bytes, list[float], int]]


@pytest.fixture(scope="module")
def detector(make_detector: Callable[[], Detector]) -> Detector:
    """With class weights that spread the scores, for ties have no order, but do not push them all to 1."""
    keras.utils.set_random_seed(0)
    spread = make_detector()
    variables = spread.zoo_variables()
    for number, key in enumerate(sorted(spread.class_rows())):
        variables[key].assign(keras.random.normal(variables[key].shape, stddev=0.2, seed=number))
    return spread


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, detector: Detector) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("export") / "Format-Serving"
    folder.mkdir()
    (folder / "left over").write_text("from a run that was killed")
    export(str(folder), detector, LABELS, serving_batch_size=4, operating_points=POINTS)
    return folder


@pytest.fixture(scope="module")
def model(exported: pathlib.Path) -> tf.types.experimental.Callable:
    return tf.saved_model.load(str(exported))


@pytest.fixture(scope="module")
def images(make_square: MakeSquare) -> list[bytes]:
    return [make_square(number, size)[0] for number, size in ((0, 64), (1, 96), (2, 200))]


def answers(model: tf.types.experimental.Callable, images: list[bytes]) -> dict[str, np.ndarray]:
    outputs = model.signatures["serving_default"](image_bytes=tf.constant(images))
    return {name: value.numpy() for name, value in outputs.items()}


def assert_same_boxes(boxes: np.ndarray, expected: np.ndarray, scores: np.ndarray) -> None:
    """Equal row by row, but for rows whose scores are too close to have an order."""
    gaps = np.abs(np.diff(scores, prepend=np.inf, append=-np.inf))
    ordered = np.minimum(gaps[:-1], gaps[1:]) > 1e-5
    assert ordered.any()
    np.testing.assert_allclose(boxes[ordered], expected[ordered], atol=1e-5)


def test_names_types_and_shapes(model: tf.types.experimental.Callable, images: list[bytes]) -> None:
    found = answers(model, images)
    rows = found["detection_scores"].shape[1]
    assert {name: (value.dtype.kind, value.shape) for name, value in found.items()} == {
        "detection_boxes": ("f", (3, rows, 4)),
        "detection_scores": ("f", (3, rows)),
        "detection_classes": ("i", (3, rows)),
        "detection_class_names": ("O", (3, rows)),
        "num_detections": ("i", (3,)),
        "detection_thresholds": ("f", (3, rows)),
    }
    for classes, names, count in zip(
        found["detection_classes"], found["detection_class_names"], found["num_detections"], strict=True
    ):
        assert count > 0
        assert [LABELS.name_by_index[int(c) - 1] for c in classes[:count]] == [name.decode() for name in names[:count]]
        assert set(names[count:]) <= {b""}
        assert set(classes[count:]) <= {0}


def test_the_same_alone_in_a_batch_and_before_export(
    model: tf.types.experimental.Callable, images: list[bytes], detector: Detector
) -> None:
    together = answers(model, images)
    for index, image in enumerate(images):
        alone = answers(model, [image])
        canvas, share = detector.resize(decode_upright(tf.constant(image)))
        before = detector.detect(Preprocessed(detector.normalize(canvas[tf.newaxis]), share[tf.newaxis]))
        scores, boxes = together["detection_scores"][index], together["detection_boxes"][index]
        np.testing.assert_allclose(alone["detection_scores"][0], scores, atol=1e-5)
        np.testing.assert_allclose(before.scores[0], scores, atol=1e-5)
        assert_same_boxes(alone["detection_boxes"][0], boxes, scores)
        assert_same_boxes(before.boxes_yxyx_normalized[0].numpy(), boxes, scores)


def test_tensor_and_evaluate_signatures_agree_with_the_default(
    model: tf.types.experimental.Callable, images: list[bytes], make_record: Callable[..., bytes]
) -> None:
    expected = answers(model, images)
    pixels = decode_upright(tf.constant(images[1]))[tf.newaxis]
    by_tensor = model.signatures["serving_tensor"](images=pixels)
    assert_same_boxes(
        by_tensor["detection_boxes"][0].numpy(), expected["detection_boxes"][1], expected["detection_scores"][1]
    )
    records = [make_record(image, "x", [], []) for image in images]
    rows = model.signatures["evaluate"](examples=tf.constant(records))["detections"].numpy()
    for index, count in enumerate(expected["num_detections"]):
        found, scores = rows[index, :count], expected["detection_scores"][index, :count]
        np.testing.assert_allclose(found[:, 5], scores, atol=1e-5)
        # Classes are compared like boxes.
        expected_rows = np.concatenate(
            [expected["detection_boxes"][index, :count], expected["detection_classes"][index, :count, np.newaxis]],
            axis=-1,
        )
        assert_same_boxes(found[:, :5], expected_rows, scores)
        assert (rows[index, count:] == -1).all()


@pytest.fixture(params=["python", "cpp"])
def run(
    request: pytest.FixtureRequest, exported: pathlib.Path, model: tf.types.experimental.Callable
) -> Iterator[Callable[..., dict[str, np.ndarray]]]:
    """Runs a signature in either loader."""
    if request.param == "python":

        def run_in_python(signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
            fed = {alias: tf.constant(array) for alias, array in inputs.items()}
            return {alias: value.numpy() for alias, value in model.signatures[signature](**fed).items()}

        yield run_in_python
    else:
        with CppSession(exported) as session:
            yield lambda signature, **inputs: session.run(signature, inputs)


def test_a_damaged_image_fails_its_request_which_names_it(
    run: Callable[..., dict[str, np.ndarray]], images: list[bytes], make_record: Callable[..., bytes]
) -> None:
    batch = [images[0], b"no image", images[1], images[2][:500]]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"no readable JPEG.* at index\W+1 3\W+of a batch of\W+4"):
        run("serving_default", image_bytes=np.array(batch, object))
    records = np.array([make_record(image, "x", [], []) for image in batch], object)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"at index\W+1 3\W"):
        run("evaluate", examples=records)


def test_a_damaged_image_fails_alone_where_that_is_asked_for(
    run: Callable[..., dict[str, np.ndarray]], images: list[bytes]
) -> None:
    batch = np.array([images[0], b"", images[1], images[2][:500]], object)
    found = run("serving_tolerant", image_bytes=batch)
    expected = run("serving_default", image_bytes=batch[[0, 2]])
    unreadable = exported_model.UNREADABLE_IMAGE.encode()
    assert found.pop("image_errors").tolist() == [b"", unreadable, b"", unreadable]
    # Nothing reaches a threshold of 1.
    assert np.all(found["detection_thresholds"][[1, 3]] == 1)
    for name, array in expected.items():
        assert name == "detection_thresholds" or not np.any(found[name][[1, 3]])
        if name in ("detection_scores", "num_detections"):
            np.testing.assert_allclose(found[name][[0, 2]], array, atol=1e-5)
    for index, image in enumerate((0, 2)):
        assert_same_boxes(
            found["detection_boxes"][image], expected["detection_boxes"][index], expected["detection_scores"][index]
        )


def test_every_row_has_its_class_s_threshold(run: Callable[..., dict[str, np.ndarray]], images: list[bytes]) -> None:
    expected = np.array([1, *(point.threshold for point in POINTS.classes)], np.float32)
    seen = set()
    for signature in ("serving_default", "serving_tolerant"):
        found = run(signature, image_bytes=np.array(images, object))
        thresholds, classes = found["detection_thresholds"], found["detection_classes"]
        assert thresholds.dtype == np.float32
        np.testing.assert_array_equal(thresholds, expected[classes])
        seen |= set(classes.flat)
        # Padded rows are never believed, whatever the counts say.
        is_padding = np.arange(classes.shape[1]) >= found["num_detections"][:, np.newaxis]
        assert not np.any((found["detection_scores"] >= thresholds)[is_padding])
    assert seen >= {1, 2}


def test_no_image_at_all_is_answered_with_nothing(
    run: Callable[..., dict[str, np.ndarray]], images: list[bytes]
) -> None:
    for signature in ("serving_default", "serving_tolerant"):
        some = run(signature, image_bytes=np.array(images[:1], object))
        none = run(signature, image_bytes=np.array([], object))
        assert {name: (value.dtype, value.shape) for name, value in none.items()} == {
            name: (value.dtype, (0, *value.shape[1:])) for name, value in some.items()
        }


def test_what_lies_beside(exported: pathlib.Path, model: tf.types.experimental.Callable) -> None:
    assert read_label_map(exported / "assets" / "labels.txt") == LABELS
    logs = [
        prediction_log_pb2.PredictionLog.FromString(raw.numpy())
        for raw in tf.data.TFRecordDataset(str(exported / "assets.extra" / "tf_serving_warmup_requests"))
    ]
    requests = [log.predict_log.request for log in logs]
    assert [len(tf.make_ndarray(request.inputs["image_bytes"])) for request in requests] == [1, 4]
    for request in requests:
        answers(model, list(tf.make_ndarray(request.inputs["image_bytes"])))
    points = exported / "assets.extra" / "operating_points.json"
    assert OperatingPoints.of_json(points.read_text()) == POINTS
    described = json.loads((exported / "assets.extra" / "detector.json").read_text())
    assert described["detector"] == "ssd_mobilenet_v2_fpnlite"
    assert described["label_map"] == [[1, "red"], [2, "green"]]
    assert not list(exported.parent.glob("*.partial"))


def test_an_export_is_a_pretrained_source(
    exported: pathlib.Path, detector: Detector, make_detector: Callable[[], Detector]
) -> None:
    other = make_detector()
    report = restore(other, str(exported), label_map=LABELS)
    assert not report.reinitialized
    assert not report.missing
    for ours, theirs in zip(other.variables, detector.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_mixed_precision_ends_at_the_export(
    tmp_path: pathlib.Path,
    detector: Detector,
    make_detector: Callable[[], Detector],
    model: tf.types.experimental.Callable,
    images: list[bytes],
) -> None:
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = make_detector()
        mixed.set_weights(detector.get_weights())
        export(str(tmp_path / "1"), mixed, LABELS, serving_batch_size=1)
        assert keras.mixed_precision.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    found, expected = answers(tf.saved_model.load(str(tmp_path / "1")), images), answers(model, images)
    # Exported without operating points.
    assert set(found) == set(exported_model.OUTPUTS)
    assert not (tmp_path / "1" / exported_model.OPERATING_POINTS_FILE).exists()
    for name in ("detection_scores", "detection_boxes", "detection_classes"):
        np.testing.assert_array_equal(found[name], expected[name])


def test_an_export_replaces_what_is_there(exported: pathlib.Path) -> None:
    assert (exported / "saved_model.pb").exists()
    assert not (exported / "left over").exists()


def test_every_class_needs_a_threshold_and_an_id_without_a_class_has_none(
    tmp_path: pathlib.Path, detector: Detector
) -> None:
    with pytest.raises(ValueError, match="no operating point for blue; expected one for every class"):
        export(
            str(tmp_path / "1"),
            detector,
            LabelMap.of_names(["red", "blue"]),
            serving_batch_size=1,
            operating_points=OperatingPoints("f1", None, "eval", 5, POINTS.classes[:1]),
        )
    assert not (tmp_path / "1").exists()
    with_gap = LabelMap((2,), ("green",))
    module = ServingModule(detector, with_gap, str(tmp_path / "labels.txt"), made_operating_points(with_gap))
    none = np.zeros((1, 3))
    found = module._named(Detections(none[..., np.newaxis].repeat(4, 2), none, np.array([[1, 0, -1]]), np.array([2])))
    np.testing.assert_array_equal(found["detection_thresholds"], np.float32([[1 / 3, 1, 1]]))
