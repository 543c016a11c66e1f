"""A trained detector as a device model finds, from the file to the boxes, what its SavedModel finds."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.export.device_model import metadata_of, write_device_model
from components.export.saved_model import export
from demo.glyphs import GLYPH_CLASSES, render_glyphs
from demo.pretrain import CHECKPOINT, DETECTOR_OPTIONS
from schema.label_map import LabelMap
from serving.devices.device_detector import DeviceDetector
from serving.models.saved_model_detector import SavedModelDetector
from serving.protocol.detections import Detection
from tests.made_operating_points import made_operating_points
from tests.tiny_detectors import TINY_DETECTORS

LABELS = LabelMap.of_names(GLYPH_CLASSES)
POINTS = made_operating_points(LABELS)
TIE = 1e-4


def _trained() -> Detector:
    """Of one stage, on a stretched canvas."""
    classes = len(GLYPH_CLASSES)
    detector = build_detector(
        "ssd_mobilenet_v2_fpnlite", num_classes=classes, image_size=(160, 160), **DETECTOR_OPTIONS
    )
    detector.load_weights(CHECKPOINT)
    return detector


def _of_two_stages() -> Detector:
    """On a padded canvas, whose share of image the network takes; classes have boxes of their own.

    With class weights that spread the scores, and settled batch statistics.
    """
    keras.utils.set_random_seed(1)
    name, size = "faster_rcnn_resnet50", (128, 128)
    options = {**TINY_DETECTORS[name], "batch_norm_momentum": 0.5}
    detector = build_detector(name, num_classes=len(GLYPH_CLASSES), image_size=size, **options)
    variables = detector.zoo_variables()
    for number, key in enumerate(sorted(detector.class_rows())):
        variables[key].assign(keras.random.normal(variables[key].shape, stddev=0.2, seed=number))
    images = detector.preprocess(tf.constant([render_glyphs(n, size[0], seed=1).pixels for n in range(4)])).images
    pass_forward = tf.function(lambda: detector(images, training=True), autograph=False)
    for _ in range(8):
        pass_forward()
    return detector


def _png(seed: int, width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(render_glyphs(seed, 320, seed=2).pixels).crop((0, 0, width, height)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(("make", "format_name"), [(_trained, "litert"), (_of_two_stages, "openvino")])
def test_the_same_as_the_saved_model(make: Callable[[], Detector], format_name: str, tmp_path: pathlib.Path) -> None:
    detector = make()
    export(str(tmp_path / "saved" / "3"), detector, LABELS, serving_batch_size=1, operating_points=POINTS)
    write_device_model(str(tmp_path / "device" / "4"), format_name, detector, metadata_of(detector, LABELS, POINTS))
    saved = SavedModelDetector(tmp_path / "saved" / "3")
    device = DeviceDetector.open(tmp_path / "device" / "4")
    assert (saved.version, device.version) == (3, 4)
    images = [_png(0, 320, 320), _png(1, 320, 190), _png(2, 77, 300)]
    for expected, found in zip(saved.detect(images, 0)[0], device.detect(images, 0)[0], strict=True):
        _assert_same(found, expected)


def _assert_same(found: tuple[Detection, ...], expected: tuple[Detection, ...]) -> None:
    """Row by row, but for those that score alike: the last bit of a sum decides which of them comes first."""
    scores = np.array([one.score for one in expected])
    np.testing.assert_allclose([one.score for one in found], scores, atol=TIE)
    gaps = np.concatenate([[np.inf], -np.diff(scores), [np.inf]])
    clear = np.flatnonzero((gaps[:-1] > 2 * TIE) & (gaps[1:] > 2 * TIE) & (scores > 0.01))
    assert len(clear) > 5
    for ours, theirs in ((found[row], expected[row]) for row in clear):
        assert (ours.class_id, ours.class_name) == (theirs.class_id, theirs.class_name)
        assert ours.threshold == pytest.approx(theirs.threshold)
        np.testing.assert_allclose(ours.box_yxyx_normalized, theirs.box_yxyx_normalized, atol=1e-3)
