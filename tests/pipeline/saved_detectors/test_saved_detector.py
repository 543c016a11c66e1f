"""Exports and SavedModels of the zoo behind one interface, and what is neither."""

from __future__ import annotations

import io
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.detector.registry import build_detector
from components.export.saved_model import export
from pipeline.saved_detectors.location import SavedModelError, locate_saved_model
from pipeline.saved_detectors.saved_detector import load_saved_detector
from schema import exported_model
from schema.label_map import LabelMap
from tests.pipeline.saved_detectors.fake_models import square_on_grey, write_red_square_export, write_zoo_model

BOXES = np.array([[[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.75, 1.0]], [[0.0, 0.0, 1.0, 1.0], [0.2, 0.2, 0.4, 0.4]]])
CLASSES = np.array([[1.0, 90.0], [3.0, 12.0]])
SCORES = np.array([[0.9, 0.25], [0.8, 0.7]])


def _png(first_value: int = 0) -> bytes:
    pixels = np.full((6, 8, 3), 100, np.uint8)
    pixels[0, 0] = first_value
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_real_export_answers_as_its_signatures_do(tmp_path: pathlib.Path) -> None:
    network = build_detector("ssd_mobilenet_v2", num_classes=2, image_size=(64, 64), alpha=0.35)
    export(str(tmp_path / "1"), network, LabelMap((1, 2), ("stop", "yield")), serving_batch_size=1)
    detector = load_saved_detector(tmp_path / "1")
    assert detector.kind == "export of this pipeline, 2 classes"
    assert detector.label_map.names == ("stop", "yield")
    rows = detector.detect_encoded([_png(), _png(9)])
    assert rows.shape[0::2] == (2, 6)
    signature = tf.saved_model.load(str(tmp_path / "1")).signatures[exported_model.SERVING_SIGNATURE]
    answer = {name: value.numpy() for name, value in signature(image_bytes=tf.constant([_png(), _png(9)])).items()}
    count = int(answer[exported_model.COUNTS][1])
    assert rows[1, :count, 5].tolist() == answer[exported_model.SCORES][1, :count].tolist()
    assert rows[1, :count, 4].tolist() == answer[exported_model.CLASSES][1, :count].tolist()
    assert np.all(rows[1, count:] == -1.0)
    with Image.open(io.BytesIO(_png(9))) as image:
        pixels = np.asarray(image)
    assert detector.detect_images(pixels[np.newaxis])[0] == pytest.approx(rows[1], abs=1e-4)


def test_what_an_export_finds(tmp_path: pathlib.Path) -> None:
    detector = load_saved_detector(write_red_square_export(tmp_path / "1"))
    rows = detector.detect_images(np.stack([square_on_grey(), np.full((96, 128, 3), 90, np.uint8)]))
    assert rows[0, 0] == pytest.approx([0.25, 0.5, 0.5, 0.6875, 2.0, 0.97])
    assert np.all(rows[0, 1] == -1.0)
    assert np.all(rows[1] == -1.0)
    with pytest.raises(SavedModelError, match=r"has its own names in .*labels.txt; leave out --labels"):
        load_saved_detector(tmp_path / "1", LabelMap((1,), ("stop",)))


def test_what_a_model_of_the_zoo_finds(tmp_path: pathlib.Path) -> None:
    detector = load_saved_detector(locate_saved_model(write_zoo_model(tmp_path / "zoo", BOXES, CLASSES, SCORES)))
    assert detector.kind == "SavedModel of the TF Object Detection API, COCO's 80 names"
    assert dict(detector.label_map)[90] == "toothbrush"
    assert not detector.nameless
    rows = detector.detect_encoded([_png(0), _png(1)])
    assert rows[0] == pytest.approx(np.array([[0.1, 0.2, 0.3, 0.4, 1, 0.9], [0.5, 0.5, 0.75, 1.0, 90, 0.25]]))
    # 12 is one of the ids that COCO's label map leaves out.
    assert rows[1] == pytest.approx(np.array([[0.0, 0.0, 1.0, 1.0, 3, 0.8], [-1] * 6]))
    assert detector.nameless == {12: 1}
    pixels = np.full((2, 6, 8, 3), 100, np.uint8)
    pixels[:, 0, 0, 0] = (0, 1)
    assert np.array_equal(detector.detect_images(pixels), rows)


@pytest.mark.parametrize(("num_classes", "is_named"), [(90, True), (None, True), (3, False)])
def test_names_of_a_model_of_the_zoo(tmp_path: pathlib.Path, num_classes: int | None, is_named: bool) -> None:
    folder = write_zoo_model(tmp_path / "zoo", BOXES, np.minimum(CLASSES, 3), SCORES, num_classes) / "saved_model"
    labels = LabelMap((1, 3), ("stop", "yield"))
    assert load_saved_detector(folder, labels).label_map == labels
    if is_named:
        assert len(load_saved_detector(folder).label_map) == 80
    else:
        with pytest.raises(SavedModelError, match="scores 3 classes and does not say what they are called"):
            load_saved_detector(folder)
        with pytest.raises(SavedModelError, match="scores 3 classes, but --labels names ids up to 4"):
            load_saved_detector(folder, LabelMap((1, 4), ("stop", "yield")))


class _Doubler(tf.Module):  # type: ignore[misc]
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": 2.0 * x}


def test_what_is_no_detector(tmp_path: pathlib.Path) -> None:
    module = _Doubler()
    tf.saved_model.save(module, str(tmp_path / "other"), signatures={"serving_default": module.__call__})
    with pytest.raises(SavedModelError, match=r"takes x float32 \(None,\) and gives y float32 .*; expected an export"):
        load_saved_detector(tmp_path / "other")
    tf.saved_model.save(module, str(tmp_path / "train"), signatures={"train": module.__call__})
    with pytest.raises(SavedModelError, match="has the signatures train; expected serving_default"):
        load_saved_detector(tmp_path / "train")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "saved_model.pb").write_bytes(b"no protobuf")
    with pytest.raises(SavedModelError, match="damaged: cannot be loaded as a SavedModel"):
        load_saved_detector(tmp_path / "damaged")
    folder = write_red_square_export(tmp_path / "nameless")
    (folder / "assets" / "labels.txt").write_text("\n")
    with pytest.raises(SavedModelError, match=r"without the names of its classes: .*no classes found"):
        load_saved_detector(folder)
