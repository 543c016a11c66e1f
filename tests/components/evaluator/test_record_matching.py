from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_model_analysis import constants

from components.clusters import EACH_BY_ITSELF, Clusters
from components.evaluator.matched_images import MatchedImage
from components.evaluator.record_matching import MATCHED_IMAGE_KEY, Extracts, labels_of, match_record
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


def compare(
    record: bytes,
    predictions: object,
    label_maps: dict[str, LabelMap] | None = None,
    clusters: Clusters = EACH_BY_ITSELF,
) -> Extracts:
    extracts = {constants.INPUT_KEY: np.array([record], object), constants.PREDICTIONS_KEY: predictions}
    label_maps = label_maps or {"candidate": LabelMap.of_names(["bus", "car"])}
    return match_record(extracts, EvalSettings(), label_maps, clusters)


def matched(*args: object, **kwargs: object) -> MatchedImage:
    image = compare(*args, **kwargs)[MATCHED_IMAGE_KEY]
    assert isinstance(image, MatchedImage)
    return image


DETECTIONS = np.array([[0.2, 0.1, 0.6, 0.5, 2, 0.9], [-1] * 6], np.float32)


def test_record_and_detections_meet_in_pixels() -> None:
    image = matched(serialized(), DETECTIONS)
    assert (image.facts.image_id, image.class_names) == ("street 7", ("bus", "car"))
    truths, detections = image.truths, image.detections["candidate"]
    np.testing.assert_allclose(truths.boxes_yxyx_pixels, [[10, 10, 30, 50]], rtol=1e-6)
    np.testing.assert_allclose(detections.boxes_yxyx_pixels, [[10, 10, 30, 50]], rtol=1e-6)
    np.testing.assert_allclose(truths.areas_pixels, [800], rtol=1e-6)
    assert truths.classes.tolist() == detections.classes.tolist() == [1]
    assert not truths.is_crowd.any()
    assert not truths.is_ignored.any()
    assert detections.matched_counting[0] & 0b11_1111_1111 == 0b11_1111_1111, "matched at every IoU"


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
    ids = {matched(serialized(image__source_id=raw(name)), DETECTIONS).facts.image_id for name in latin.values()}
    assert ids == {name.decode("utf-8", "surrogateescape") for name in latin.values()}
    extracts = compare(
        serialized(image__meta__weather=raw(b"gr\xfcn"), image__object__class__text=raw(b"\xff")), DETECTIONS
    )
    columns = extracts[constants.FEATURES_KEY]
    assert (*columns["weather"], *columns["class"]) == ("gr\ufffdn", "\ufffd")
    assert extracts[MATCHED_IMAGE_KEY].class_names == ("bus", "car", "\ufffd")


def test_the_span_and_the_cluster_go_along() -> None:
    record = serialized(image__meta__span=integers(7), image__filename=text("a/7_frame12.jpg"))
    by_column = matched(record, DETECTIONS, clusters=Clusters(column="camera"))
    assert (by_column.facts.span, by_column.facts.columns["span"], by_column.facts.cluster) == (7, ("7",), "camera=3")
    assert matched(record, DETECTIONS, clusters=Clusters(pattern=r"(.*)_frame")).facts.cluster == "a/7"
    alone = matched(serialized(), DETECTIONS, clusters=Clusters(column="video")).facts
    assert (alone.span, alone.cluster) == (None, "street 7")


def test_two_models_share_a_vocabulary_and_truth_may_add_to_it() -> None:
    label_maps = {"candidate": LabelMap.of_names(["car"]), "baseline": LabelMap.of_names(["tram", "car"])}
    record = serialized(image__object__class__text=text("zebra"))
    row = [0.2, 0.1, 0.6, 0.5]
    predictions = {"candidate": np.array([[*row, 1, 0.9]]), "baseline": np.array([[*row, 2, 0.9]])}
    image = matched(record, predictions, label_maps)
    assert image.class_names == ("car", "tram", "zebra")
    assert image.truths.classes.tolist() == [2]
    for detections in image.detections.values():
        assert detections.classes.tolist() == [0]


@pytest.mark.parametrize("strange", [[np.nan] * 4, [0.6, 0.5, 0.2, 0.1], [0.1, np.inf, 0.2, 0.3]])
def test_boxes_that_are_none_are_false_alarms(strange: list[float]) -> None:
    rows = np.array([[*strange, 2, 0.95], [0.2, 0.1, 0.6, 0.5, 2, 0.9]])
    detections = matched(serialized(), rows).detections["candidate"]
    assert detections.matched_counting.astype(bool).tolist() == [False, True]


def test_a_score_that_is_none_comes_last() -> None:
    rows = np.array([[0.2, 0.1, 0.6, 0.5, 2, score] for score in (np.nan, 0.1)])
    detections = matched(serialized(), rows).detections["candidate"]
    assert detections.matched_counting.astype(bool).tolist() == [False, True]


def test_of_too_many_detections_the_best_hundred_a_class_stay() -> None:
    rows = np.array([[0.2, 0.1, 0.6, 0.5, 1 + n % 2, n / 1000] for n in range(500)])
    detections = matched(serialized(), rows).detections["candidate"]
    assert len(detections.scores) == 200
    assert detections.scores.min() == pytest.approx(0.3)
    assert len(detections.boxes_yxyx_pixels) == len(detections.ranks) == 200


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
    with pytest.raises(ValueError, match=r"assets/labels\.txt: cannot read the class names"):
        labels_of(str(tmp_path))
