from __future__ import annotations

import pathlib
import types

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_model_analysis import constants

from components.evaluator.coco_metric import RESULTS_KEY
from components.evaluator.eval_config import build_eval_config
from components.evaluator.extractors import Extracts, compare_with_ground_truth, custom_extractors
from components.evaluator.settings import EvalSettings
from schema import features
from schema.label_map import LabelMap


def serialized(**changes: tf.train.Feature) -> bytes:
    """A record of one car on a 50 x 100 image, without the features an older record lacks."""
    record = {
        features.IMAGE_SOURCE_ID: text("street 7"),
        features.IMAGE_HEIGHT: integers(50),
        features.IMAGE_WIDTH: integers(100),
        features.OBJECT_CLASS_TEXT: text("car"),
        features.meta_key("weather"): text("Nebel über Köln"),
        features.meta_key("camera"): integers(3),
        features.meta_key("speed"): tf.train.Feature(float_list=tf.train.FloatList(value=[0.5])),
        features.meta_key("unset"): tf.train.Feature(),
    }
    record |= {key: floats(value) for key, value in zip(features.BOX_KEYS_YXYX, (0.2, 0.1, 0.6, 0.5), strict=True)}
    record |= {key.replace("__", "/"): value for key, value in changes.items()}
    return tf.train.Example(features=tf.train.Features(feature=record)).SerializeToString()


def text(*values: str) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))


def integers(*values: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def floats(*values: float) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def compare(record: bytes, predictions: object, label_maps: dict[str, LabelMap] | None = None) -> Extracts:
    extracts = {constants.INPUT_KEY: np.array([record], object), constants.PREDICTIONS_KEY: predictions}
    return compare_with_ground_truth(extracts, EvalSettings(), label_maps or {"": LabelMap.of_names(["bus", "car"])})


DETECTIONS = np.array([[0.2, 0.1, 0.6, 0.5, 2, 0.9], [-1] * 6], np.float32)


def test_record_and_detections_meet_in_pixels() -> None:
    extracts = compare(serialized(), DETECTIONS)
    named = extracts[RESULTS_KEY][""]
    assert (named.image_id, named.class_names) == ("street 7", ("bus", "car"))
    result = named.result
    np.testing.assert_allclose(result.truth_boxes_yxyx_pixels, [[10, 10, 30, 50]], rtol=1e-6)
    np.testing.assert_allclose(result.detection_boxes_yxyx_pixels, [[10, 10, 30, 50]], rtol=1e-6)
    np.testing.assert_allclose(result.truth_areas_pixels, [800], rtol=1e-6)
    assert result.truth_classes.tolist() == result.detection_classes.tolist() == [1]
    assert not result.truth_is_crowd.any()
    assert not result.truth_is_ignored.any()


def test_metadata_becomes_text_columns() -> None:
    columns = {key: list(values) for key, values in compare(serialized(), DETECTIONS)[constants.FEATURES_KEY].items()}
    assert columns == {
        "weather": ["Nebel über Köln"],
        "camera": ["3"],
        "speed": ["0.5"],
        "class": ["car"],
        "image_size": ["0-320"],
        "object_count": ["1"],
    }


def test_names_that_are_not_utf_8_break_nothing() -> None:
    def raw(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    latin = {number: f"stra\xdfe {number}.jpg".encode("latin-1") for number in (1, 2)}
    ids = {
        compare(serialized(image__source_id=raw(name)), DETECTIONS)[RESULTS_KEY][""].image_id for name in latin.values()
    }
    assert ids == {name.decode("utf-8", "surrogateescape") for name in latin.values()}
    extracts = compare(
        serialized(image__meta__weather=raw(b"gr\xfcn"), image__object__class__text=raw(b"\xff")), DETECTIONS
    )
    columns = extracts[constants.FEATURES_KEY]
    assert (*columns["weather"], *columns["class"]) == ("gr\ufffdn", "\ufffd")
    assert extracts[RESULTS_KEY][""].class_names == ("bus", "car", "\ufffd")


def test_the_span_and_what_was_known_before_go_along() -> None:
    extracts = {
        constants.INPUT_KEY: np.array([serialized(image__meta__span=integers(7))], object),
        constants.PREDICTIONS_KEY: DETECTIONS,
    }
    compared = compare_with_ground_truth(extracts, EvalSettings(), {"": LabelMap.of_names(["bus", "car"])}, ("car",))
    named = compared[RESULTS_KEY][""]
    assert (named.span, named.known_before) == (7, ("car",))
    assert compared[constants.FEATURES_KEY]["span"].tolist() == ["7"]
    assert compare(serialized(), DETECTIONS)[RESULTS_KEY][""].span is None


def test_two_models_share_a_vocabulary_and_truth_may_add_to_it() -> None:
    label_maps = {"candidate": LabelMap.of_names(["car"]), "baseline": LabelMap.of_names(["tram", "car"])}
    record = serialized(image__object__class__text=text("zebra"))
    row = [0.2, 0.1, 0.6, 0.5]
    predictions = {"candidate": np.array([[*row, 1, 0.9]]), "baseline": np.array([[*row, 2, 0.9]])}
    results = compare(record, predictions, label_maps)[RESULTS_KEY]
    for named in results.values():
        assert named.class_names == ("car", "tram", "zebra")
        assert named.result.detection_classes.tolist() == [0]
        assert named.result.truth_classes.tolist() == [2]


def test_unknown_class_id_names_the_record() -> None:
    with pytest.raises(ValueError, match=r"'street 7'.*answered class id 3.*\(1\.\.2\)"):
        compare(serialized(), np.array([[0, 0, 1, 1, 3, 0.5]]))


def test_record_without_size_is_refused() -> None:
    with pytest.raises(ValueError, match="'street 7': feature 'image/height' has 0 integers"):
        compare(serialized(image__height=integers()), DETECTIONS)


def test_features_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="'street 7': object features do not fit together"):
        compare(serialized(image__object__class__text=text("car", "bus")), DETECTIONS)


def test_model_without_labels_is_refused(tmp_path: pathlib.Path) -> None:
    model = types.SimpleNamespace(model_name="", model_path=str(tmp_path))
    with pytest.raises(ValueError, match=r"assets/labels\.txt: cannot read the class names"):
        custom_extractors(model, build_eval_config(EvalSettings()))
