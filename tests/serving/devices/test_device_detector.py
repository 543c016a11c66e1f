"""Encoded images to detections by a device model, and the pixels that it sees."""

from __future__ import annotations

import io
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.image_decoding import decode_upright, exif_orientation, turn_upright
from serving.clients import image_files
from serving.clients.errors import ImageRefusedError
from serving.devices.device_detector import DeviceDetector
from serving.protocol.detections import Detection
from tests.serving.devices.tiny_device_models import SHARE_METADATA, write
from tests.serving.tiny_detector import jpeg

DATA = pathlib.Path(__file__).parents[4] / "shared" / "data"
ORIENTATION = 0x0112


@pytest.mark.parametrize("runtime", ["litert", "onnx", "openvino"])
def test_detections(runtime: str, device_models: dict[str, pathlib.Path]) -> None:
    detector = DeviceDetector.open(device_models[runtime], threads=1)
    (bright, dark), version = detector.detect([jpeg(204, 80, 40), jpeg(51)])
    assert version == 7
    assert bright == (Detection(1, "stop", pytest.approx(0.8, abs=1e-5), (0.25, 0.5, 0.75, 1.0), 0.3),)
    assert dark == (Detection(3, "Vorfahrt gewähren", pytest.approx(0.8, abs=1e-5), (0.0, 0.0, 0.5, 0.25), 0.6),)


def test_thresholds(device_models: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    detector = DeviceDetector.open(device_models["onnx"])
    image = jpeg(102)  # scores 0.4 of 0.3, and 0.6 of 0.6, on the edge
    assert [one.class_id for one in detector.detect([image], 0)[0][0]] == [3, 1]
    assert [one.class_id for one in detector.detect([image], 0.5)[0][0]] == [3]
    unmeasured = DeviceDetector.open(write("onnx", tmp_path, SHARE_METADATA))
    assert unmeasured.version == 0
    assert [(one.class_id, one.threshold) for one in unmeasured.detect([image])[0][0]] == [(3, None)]


def test_boxes_come_back_from_a_padded_canvas(tmp_path: pathlib.Path) -> None:
    detector = DeviceDetector.open(write("onnx", tmp_path, SHARE_METADATA))
    # 80 x 40 becomes 16 x 8 on the upper half of 16 x 16, whose lower half is nearly black; the box is on the image.
    ((best, *_),), _ = detector.detect([jpeg(204, 80, 40)], 0)
    assert best.box_yxyx_normalized == pytest.approx((0.0, 0.0, 0.5, 0.25))
    assert best.score == pytest.approx(1 - (204 + 9) / 2 / 255, abs=1e-4)


def test_an_image_that_does_not_decode_is_named(device_models: dict[str, pathlib.Path]) -> None:
    detector = DeviceDetector.open(device_models["onnx"])
    with pytest.raises(ImageRefusedError, match="no readable JPEG, PNG, GIF or BMP image at index 1 "):
        detector.detect([jpeg(), jpeg()[:-300]])
    with pytest.raises(ImageRefusedError, match=r"at index 0 \(is not an image \(3 bytes\)\)"):
        detector.detect([b"abc"])
    assert detector.detect([]) == ([], 7)


def _encoded(image: Image.Image, kind: str, orientation: int | None = None) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    if orientation:
        exif[ORIENTATION] = orientation
    image.save(buffer, kind, **({"exif": exif} if orientation else {}))
    return buffer.getvalue()


def _noise(mode: str) -> Image.Image:
    rng = np.random.default_rng(5)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 1 << 16, (13, 9), np.uint16))
    colours = Image.fromarray(rng.integers(0, 256, (13, 9, 3), np.uint8))
    if mode in ("RGBA", "LA"):
        colours.putalpha(Image.fromarray(rng.integers(0, 256, (13, 9), np.uint8)))
    return colours.convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_a_png_has_the_pixels_of_the_graph(mode: str) -> None:
    encoded = _encoded(_noise(mode), "PNG")
    np.testing.assert_array_equal(image_files.decode(encoded), decode_upright(encoded))


@pytest.mark.parametrize("kind", ["GIF", "BMP"])
def test_other_lossless_files_have_the_pixels_of_the_graph(kind: str) -> None:
    encoded = _encoded(_noise("P" if kind == "GIF" else "RGB"), kind)
    np.testing.assert_array_equal(image_files.decode(encoded), decode_upright(encoded))


def _accurately_decoded(encoded: bytes) -> np.ndarray:
    """By the transform that Pillow has; the graph's is the faster one, which is off by a grey value or so."""
    image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    return turn_upright(image, exif_orientation(tf.constant(encoded))).numpy()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_files_are_turned_as_the_graph_turns_them(orientation: int) -> None:
    encoded = _encoded(_noise("RGB"), "JPEG", orientation)
    np.testing.assert_array_equal(image_files.decode(encoded), _accurately_decoded(encoded))
    encoded = _encoded(_noise("RGB"), "PNG", orientation)
    np.testing.assert_array_equal(image_files.decode(encoded), decode_upright(encoded))


@pytest.mark.parametrize("kind", ["WEBP", "TIFF"])
def test_what_the_graph_does_not_decode_is_refused(kind: str) -> None:
    with pytest.raises(image_files.ImageFileError, match="is not an image"):
        image_files.decode(_encoded(_noise("RGB"), kind))


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
@pytest.mark.parametrize("folder", ["bccd_voc", "ro_trafficsigns_yolo", "vehicles"])
def test_photographs_have_the_pixels_of_the_graph(folder: str) -> None:
    for path in sorted((DATA / folder).rglob("*.jpg"))[::60]:
        encoded = path.read_bytes()
        found = image_files.decode(encoded)
        np.testing.assert_array_equal(found, _accurately_decoded(encoded))
        difference = np.abs(found.astype(int) - decode_upright(tf.constant(encoded)).numpy())
        assert difference.max() <= 8 and difference.mean() < 2
