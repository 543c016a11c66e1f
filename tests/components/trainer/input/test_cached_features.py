"""Kept features are those that the backbone makes; whoever asks for the same finds them, whoever does not, not."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.input import cached_features
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.cached_features import CachedFeatures, FeatureRequest, features_key, shuffled_rows
from components.trainer.input.feature_folders import FeatureCacheError
from components.trainer.input.feature_store import FeatureWriter
from components.trainer.input.input_pipeline import prepare_images, training_batches
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.settings import OptimizerSettings, TrainSettings
from tests.tiny_detectors import TINY_DETECTORS

SETTINGS = TrainSettings(batch_size=4)
REQUEST = FeatureRequest(copies=2, storage="float32", limit_bytes=10**9)
CLASSES = ("red", "green")
IMAGES = 11


@pytest.fixture
def records(squares: Callable[[str, int], str]) -> AnnotatedRecords:
    return AnnotatedRecords([squares("train", IMAGES)], parse_clean_records)


def tiny(name: str = "ssd_mobilenet_v2_fpnlite", side: int = 64) -> Detector:
    keras.utils.set_random_seed(1)
    return build_detector(name, num_classes=2, image_size=(side, side), **TINY_DETECTORS[name])


@pytest.fixture(scope="module")
def detector() -> Detector:
    return tiny()


def kept(root: pathlib.Path, detector: Detector, records: AnnotatedRecords, **changes: Any) -> CachedFeatures:
    request = dataclasses.replace(REQUEST, **changes)
    return CachedFeatures(str(root), detector, records, SETTINGS, request, CLASSES)


@pytest.mark.parametrize("name", TINY_DETECTORS)
def test_they_are_what_the_backbone_makes(tmp_path: pathlib.Path, records: AnnotatedRecords, name: str) -> None:
    detector = tiny(name, 128)
    features = kept(tmp_path, detector, records, copies=0)
    assert features.rows == IMAGES
    found = next(iter(features.ordered(4)))
    plain = SETTINGS.model_copy(update={"augmentation": None, "batch_size": 8})
    direct = next(iter(training_batches(records.patterns, records.parse, detector, plain)))
    expected = detector.features(prepare_images(detector, direct), training=False)
    assert found.features.keys() == expected.keys()
    for level, values in expected.items():
        # Rounding differs with the size of the batch.
        np.testing.assert_allclose(found.features[level], values[:4], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.truth.boxes_yxyx_normalized, direct.truth.boxes_yxyx_normalized[:4], atol=1e-6)
    np.testing.assert_array_equal(found.truth.classes, direct.truth.classes[:4])
    np.testing.assert_array_equal(found.truth.weights, direct.truth.weights[:4])
    # Losses of heads have no other ground to stand on.
    of_kept = detector.head_losses({k: tf.constant(v) for k, v in found.features.items()}, found.truth)
    assert all(np.isfinite(loss) for loss in of_kept.values())


def test_every_image_and_each_of_its_copies_is_there(
    tmp_path: pathlib.Path, detector: Detector, records: AnnotatedRecords
) -> None:
    features = kept(tmp_path, detector, records)
    assert features.rows == 3 * IMAGES
    batches = list(features.ordered(8))
    assert [len(batch.truth.classes) for batch in batches] == [8, 8, 8, 8, 1]
    classes = np.concatenate([batch.truth.classes[:, 0] for batch in batches])
    assert [int((classes[start : start + IMAGES] == 0).sum()) for start in (0, 11, 22)] == [6, 6, 6]
    boxes = np.concatenate([batch.truth.boxes_yxyx_normalized[:, 0] for batch in batches])
    assert len(np.unique(boxes[:IMAGES], axis=0)) == IMAGES
    assert len(np.unique(boxes, axis=0)) > 2 * IMAGES


def test_the_second_training_finds_them(
    tmp_path: pathlib.Path, detector: Detector, records: AnnotatedRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = kept(tmp_path, detector, records)
    monkeypatch.setattr(cached_features, "_make", None)
    second = kept(tmp_path, detector, records)
    assert second.store.folder == first.store.folder
    one, other = (next(iter(features.batches(4, seed=3, start_step=5))) for features in (first, second))
    np.testing.assert_array_equal(one.features["level_3"], other.features["level_3"])


def test_workers_share_a_batch(tmp_path: pathlib.Path, detector: Detector, records: AnnotatedRecords) -> None:
    whole = next(iter(kept(tmp_path, detector, records).batches(4, seed=0)))
    for worker in range(2):
        part = kept(tmp_path, detector, dataclasses.replace(records, share=(worker, 2)))
        batch = next(iter(part.batches(4, seed=0)))
        np.testing.assert_array_equal(batch.features["level_4"], whole.features["level_4"][2 * worker : 2 * worker + 2])


def test_what_changes_the_key(
    detector: Detector, records: AnnotatedRecords, squares: Callable[[str, int], str]
) -> None:
    def key(
        of: Detector = detector,
        data: AnnotatedRecords = records,
        classes: tuple[str, ...] = CLASSES,
        request: dict[str, Any] | None = None,
        **settings: Any,
    ) -> str:
        asked = dataclasses.replace(REQUEST, **(request or {}))
        return features_key(of, data, SETTINGS.model_copy(update=settings), asked, classes)

    other_heads = build_detector(
        "ssd_mobilenet_v2_fpnlite", num_classes=5, image_size=(64, 64), alpha=0.35, fpn_depth=16, num_head_layers=1
    )
    for layer, theirs in zip(other_heads.backbone_layers, detector.backbone_layers, strict=True):
        layer.set_weights(theirs.get_weights())
    base = key()
    same = [
        key(seed=7),
        key(batch_size=2, steps=3),
        key(batch_parts=2, devices=("GPU:0",)),
        key(optimizer=OptimizerSettings(learning_rate=1.0)),
        key(of=other_heads),
        key(request={"limit_bytes": 5}),
        key(data=AnnotatedRecords([*records.patterns], parse_clean_records)),
    ]
    assert set(same) == {base}
    other_weights = tiny()
    variable = other_weights.backbone_layers[0].variables[0]
    variable.assign(variable + 1e-3)
    others = [
        base,
        key(of=other_weights),
        key(of=tiny(side=96)),
        key(augmentation=AugmentationSettings(crop=0.1)),
        key(augmentation=None),
        key(request={"copies": 3}),
        key(request={"storage": "float16"}),
        key(classes=("green", "red")),
        key(data=AnnotatedRecords([squares("other", IMAGES + 1)], parse_clean_records)),
        key(precision="mixed_bfloat16"),
    ]
    assert len(set(others)) == len(others)


def test_how_the_batches_of_the_training_are_divided_says_nothing_of_them(
    tmp_path: pathlib.Path, detector: Detector, records: AnnotatedRecords
) -> None:
    in_parts = SETTINGS.model_copy(update={"batch_size": 9, "batch_parts": 3, "devices": ("GPU:0",) * 3})
    request = dataclasses.replace(REQUEST, copies=0)
    assert CachedFeatures(str(tmp_path), detector, records, in_parts, request, CLASSES).rows == IMAGES


def test_a_share_of_the_copies_is_mixed(tmp_path: pathlib.Path, detector: Detector, records: AnnotatedRecords) -> None:
    """Copies are drawn at random, so that the end of a training has no others than its beginning."""
    mosaics = AugmentationSettings(crop=0.0, zoom_out=0.0, mosaic=1.0, mixing_until=0.5)
    settings = SETTINGS.model_copy(update={"augmentation": mosaics})
    store = CachedFeatures(str(tmp_path), detector, records, settings, REQUEST, CLASSES).store
    objects = [len(boxes) for boxes in store.read(range(3 * IMAGES)).boxes]
    # Two of the three batches of eight that make the copies.
    assert max(objects[IMAGES : IMAGES + 16]) > 1
    assert objects[:IMAGES] + objects[IMAGES + 16 :] == [1] * (IMAGES + 6)


def test_without_augmentation_there_are_no_copies(detector: Detector, records: AnnotatedRecords) -> None:
    plain = SETTINGS.model_copy(update={"augmentation": None})
    keys = {
        features_key(detector, records, plain, dataclasses.replace(REQUEST, copies=copies), CLASSES)
        for copies in (0, 4)
    }
    assert len(keys) == 1


def test_what_was_made_before_a_kill_is_kept(
    tmp_path: pathlib.Path, detector: Detector, records: AnnotatedRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = kept(tmp_path / "undisturbed", detector, records).store
    monkeypatch.setattr(cached_features, "_COMMIT_EVERY_SECONDS", 0.0)
    written: list[int] = []
    append = FeatureWriter.append

    def killed_at_the_fourth_batch(self: FeatureWriter, *rows: Any) -> None:
        append(self, *rows)
        written.append(self.rows)
        if len(written) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(FeatureWriter, "append", killed_at_the_fourth_batch)
        kept(tmp_path / "killed", detector, records)
    (folder,) = (path for path in (tmp_path / "killed").iterdir() if path.is_dir())
    assert written == [8, 11, 19, 27]
    monkeypatch.setattr(FeatureWriter, "append", lambda self, *rows: (append(self, *rows), written.append(self.rows)))
    again = kept(tmp_path / "killed", detector, records).store
    assert again.folder == folder
    assert written == [8, 11, 19, 27, 27, 33]
    everything = range(3 * IMAGES)
    for one, other in zip(whole.read(everything).boxes, again.read(everything).boxes, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        whole.read(everything).features["level_4"], again.read(everything).features["level_4"]
    )


def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: pathlib.Path, detector: Detector, records: AnnotatedRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: FeatureWriter, *rows: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FeatureWriter, "append", full)
    with pytest.raises(FeatureCacheError, match=r"the disk was full .*deleted.*transfer\.copies"):
        kept(tmp_path, detector, records)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("ssd") and path.is_dir()]


def test_a_value_beyond_float16_is_said(tmp_path: pathlib.Path, records: AnnotatedRecords) -> None:
    detector = tiny()
    layer = next(layer for layer in detector.backbone_layers if layer.name == "block_5_project_BN")
    layer.beta.assign(tf.fill(layer.beta.shape, 1e9))
    with pytest.raises(FeatureCacheError, match=r"no float16 numbers: set transfer\.storage to float32"):
        kept(tmp_path, detector, records, storage="float16")


def test_an_epoch_has_every_row_once() -> None:
    steps = [shuffled_rows(step, 4, 10, seed=1) for step in range(5)]
    rows = [row for step in steps for row in step]
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert rows[:10] != rows[10:]
    assert shuffled_rows(0, 4, 10, seed=2) != steps[0]
