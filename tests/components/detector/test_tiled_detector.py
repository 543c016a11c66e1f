"""Painted objects on tiles: one box each, wherever the tiles' borders are, and the same from the export."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from components.detector.options import DetectorOptions
from components.detector.registry import build_detector
from components.detector.structures import Detections, Preprocessed
from components.detector.tiled_detector import TiledDetector, merge_tiles, tiled
from components.detector.tiling_settings import TilingSettings
from components.detector.weights.zoo import restore
from components.export.saved_model import export
from schema import exported_model
from schema.label_map import LabelMap
from serving.contract.contract_check import check_contract
from serving.contract.options import ContractOptions
from serving.models.cpp_session import CppSession
from tests.made_operating_points import made_operating_points

TILE = 64
COLOURS = tf.constant([[255.0, 0.0, 0.0], [0.0, 255.0, 0.0], [0.0, 0.0, 255.0]])


@dataclasses.dataclass
class PaintDetector:
    """Finds the extent of each of three colours, which are its classes: all of it that a tile shows."""

    image_size: tuple[int, int] = (TILE, TILE)
    options: DetectorOptions = dataclasses.field(default_factory=lambda: DetectorOptions(max_detections=20))

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        return images

    def detect(self, preprocessed: Preprocessed) -> Detections:
        images = preprocessed.images[:, :, :, tf.newaxis]  # [B, H, W, 1, 3]
        mask = tf.reduce_max(tf.abs(images - COLOURS), axis=-1) < 100.0  # [B, H, W, 3]
        rows, columns = tf.reduce_any(mask, axis=2), tf.reduce_any(mask, axis=1)  # [B, H, 3], [B, W, 3]
        there = tf.reduce_any(rows, axis=1)  # [B, 3]

        def extent(lines: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            lines = tf.cast(lines, tf.int32)
            low, high = tf.argmax(lines, axis=1), TILE - tf.argmax(lines[:, ::-1], axis=1)
            return tf.cast(low, tf.float32) / TILE, tf.cast(high, tf.float32) / TILE

        (ymin, ymax), (xmin, xmax) = extent(rows), extent(columns)
        boxes = tf.stack([ymin, xmin, ymax, xmax], axis=-1)  # [B, 3, 4]
        areas = tf.reduce_sum(tf.cast(mask, tf.float32), axis=(1, 2)) / TILE**2  # [B, 3]
        return Detections(
            tf.where(there[..., tf.newaxis], boxes, 0.0),
            # A part of an object may score more than the whole of it.
            tf.where(there, 1.0 - areas, 0.0),
            tf.where(there, tf.range(3), -1),
            tf.reduce_sum(tf.cast(there, tf.int32), axis=-1),
        )


def painted(canvas: tuple[int, int], corners: np.ndarray, sides: tuple[int, int]) -> tf.Tensor:
    """Images [B, H, W, 3] with a box of each colour, by their corners [B, 3, 2]; the last is on top."""
    images = np.full((len(corners), *canvas, 3), 90.0, np.float32)
    for image, of_image in zip(images, corners, strict=True):
        for (y, x), colour in zip(of_image, COLOURS.numpy(), strict=True):
            image[y : y + sides[0], x : x + sides[1]] = colour
    return tf.constant(images)


def check_one_box_each(detector: TiledDetector, corners: np.ndarray, sides: tuple[int, int], tolerance: float) -> None:
    height, width = detector.image_size
    images = painted((height, width), corners, sides)
    detect = tf.function(lambda frames: detector.detect(Preprocessed(frames, tf.ones((16, 2)))), autograph=False)
    found = Detections(*(part.numpy() for part in detect(images)))
    np.testing.assert_array_equal(found.counts, [3] * len(corners))
    for classes, scores, boxes, expected in zip(
        found.classes, found.scores, found.boxes_yxyx_normalized, corners, strict=True
    ):
        assert sorted(classes[:3]) == [0, 1, 2], "an object has several boxes"
        assert np.all(classes[3:] == -1)
        assert np.all(np.diff(scores) <= 0)
        pixels = boxes[np.argsort(classes[:3])] * [height, width, height, width]
        np.testing.assert_allclose(pixels, np.concatenate([expected, expected + sides], axis=-1), atol=tolerance)


@pytest.mark.parametrize("whole_image", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (2, 2), (3, 2)])
def test_one_box_for_each_object_on_whichever_border(rows: int, columns: int, whole_image: bool) -> None:
    tiling = TilingSettings(rows=rows, columns=columns, overlap=0.3, whole_image=whole_image)
    detector = TiledDetector(PaintDetector(), tiling)
    # Smaller than the overlap of 19 pixels, in bands of their own, so that none is painted over.
    height, width = detector.image_size
    band, side = height // 3, 16
    corners = np.random.default_rng(rows).uniform(0, 1, (16, 3, 2)) * [band - side + 1, width - side + 1]
    corners[:, :, 0] += [0, band, 2 * band]
    # Of what is scaled down the edges are blurred.
    check_one_box_each(detector, corners.astype(int), (side, side), tolerance=3.0 if whole_image else 0.01)


def test_what_is_larger_than_the_overlap_needs_the_whole_image() -> None:
    detector = TiledDetector(PaintDetector(), TilingSettings(rows=2, columns=2, overlap=0.2))
    corners = np.tile([[0, 20], [40, 18], [80, 6]], (16, 1, 1))
    check_one_box_each(detector, corners, (30, 70), tolerance=3.0)


def test_parts_alone_are_put_together() -> None:
    # Two parts, side by side, each mostly inside the other's union: 60 % of each overlaps.
    found = merge_tiles(
        tf.constant([[0.0, 0.0, 0.2, 0.5], [0.0, 0.2, 0.2, 0.7], [0.5, 0.5, 0.6, 0.6]]),
        tf.constant([0.9, 0.8, 0.7]),
        tf.constant([1, 1, 1]),
        tf.constant([0, 1, 1]),
        tf.constant([True, True, False]),
        iou_threshold=0.6,
        rows=5,
    )
    assert int(found.counts) == 2
    np.testing.assert_allclose(found.boxes_yxyx_normalized[:2], [[0.0, 0.0, 0.2, 0.7], [0.5, 0.5, 0.6, 0.6]])
    np.testing.assert_allclose(found.scores, [0.9, 0.7, 0, 0, 0])


@pytest.mark.parametrize(
    ("classes", "tiles", "is_cut"),
    [([0, 1], [0, 1], [True, True]), ([0, 0], [1, 1], [True, True]), ([0, 0], [0, 1], [False, False])],
    ids=["other class", "same tile", "neither is cut"],
)
def test_two_objects_stay_two(classes: list[int], tiles: list[int], is_cut: list[bool]) -> None:
    found = merge_tiles(
        tf.constant([[0.0, 0.0, 0.2, 0.5], [0.0, 0.2, 0.2, 0.3]]),
        tf.constant([0.9, 0.8]),
        tf.constant(classes),
        tf.constant(tiles),
        tf.constant(is_cut),
        iou_threshold=0.6,
        rows=5,
    )
    assert int(found.counts) == 2


def test_no_more_rows_than_asked_and_none_of_padding() -> None:
    nothing = merge_tiles(
        tf.zeros((6, 4)), tf.zeros(6), tf.fill((6,), -1), tf.zeros(6, tf.int32), tf.zeros(6, tf.bool),
        iou_threshold=0.6, rows=2,
    )  # fmt: skip
    assert int(nothing.counts) == 0
    np.testing.assert_array_equal(nothing.boxes_yxyx_normalized, np.zeros((2, 4)))
    places = tf.constant([[n / 10, 0.0, (n + 1) / 10, 0.1] for n in range(6)])
    many = merge_tiles(
        places, tf.linspace(0.1, 0.6, 6), tf.zeros(6, tf.int32), tf.range(6), tf.zeros(6, tf.bool),
        iou_threshold=0.6, rows=2,
    )  # fmt: skip
    np.testing.assert_allclose(many.scores, [0.6, 0.5], atol=1e-6)


def test_tiles_cover_the_canvas() -> None:
    detector = TiledDetector(PaintDetector(), TilingSettings(rows=2, columns=3, overlap=0.25, whole_image=False))
    assert detector.image_size == (112, 160)
    assert detector._corners_yx == [(0, 0), (0, 48), (0, 96), (48, 0), (48, 48), (48, 96)]
    with pytest.raises(ValueError, match="one row of one column"):
        TilingSettings(rows=1, columns=1)


def test_exported_it_detects_the_same_in_batches_of_any_size(tmp_path: pathlib.Path) -> None:
    detector = build_detector(
        "ssd_mobilenet_v2_fpnlite", num_classes=2, image_size=(64, 64), alpha=0.35, fpn_depth=16, num_head_layers=1,
        class_prior_bias=0.0, max_detections=10,
    )  # fmt: skip
    tiling = TilingSettings(rows=1, columns=2)
    labels = LabelMap.of_names(["a", "b"])
    points = made_operating_points(labels)
    export(str(tmp_path / "1"), detector, labels, serving_batch_size=2, tiling=tiling, operating_points=points)
    images = np.random.default_rng(0).integers(0, 256, (3, 80, 120, 3), dtype=np.uint8)
    whole = tiled(detector, tiling)
    assert tiled(detector, None) is detector
    expected = whole.detect(whole.preprocess(tf.constant(images)))
    with CppSession(tmp_path / "1") as session:
        for count in (3, 1, 0):
            found = session.run(exported_model.TENSOR_SIGNATURE, {exported_model.IMAGES: images[:count]})
            np.testing.assert_allclose(found[exported_model.SCORES], expected.scores[:count], atol=1e-4)
            np.testing.assert_array_equal(found[exported_model.COUNTS], expected.counts[:count])
        encoded = np.array([tf.io.encode_png(image).numpy() for image in images], object)
        for signature in (exported_model.SERVING_SIGNATURE, exported_model.TOLERANT_SIGNATURE):
            for count in (3, 0):
                found = session.run(signature, {exported_model.IMAGE_BYTES: encoded[:count]})
                np.testing.assert_allclose(found[exported_model.SCORES], expected.scores[:count], atol=1e-4)
        encoded[1] = b"no image"
        found = session.run(exported_model.TOLERANT_SIGNATURE, {exported_model.IMAGE_BYTES: encoded})
        np.testing.assert_array_equal(found[exported_model.COUNTS], expected.counts * [1, 0, 1])
    contract = check_contract(tmp_path / "1", ContractOptions(sides_pixels=(80, 120), latency_runs=0))
    assert contract.passed, [check.line for check in contract.failures]
    description = json.loads((tmp_path / "1" / exported_model.DESCRIPTION_FILE).read_text())
    assert TilingSettings.model_validate(description["tiling"]) == tiling
    # A warm start from it, with or without tiles.
    fresh = build_detector(**detector.recipe)
    assert not restore(fresh, str(tmp_path / "1"), pretrained_classes="map", label_map=labels).missing
    for ours, theirs in zip(fresh.get_weights(), detector.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
