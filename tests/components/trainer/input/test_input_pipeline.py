"""Batches from records: boxes, order, randomness by seed, damaged images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.tiling_settings import TilingSettings
from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.input.input_pipeline import (
    Parser,
    TrainingBatch,
    UnusableRecordError,
    evaluation_batches,
    iterate,
    prepare_images,
    training_batches,
)
from components.trainer.input.object_bank import NothingToPasteError
from components.trainer.input.record_stream import NoRecordsError, ordered_records, shuffled_records
from components.trainer.settings import TrainSettings

Squares = Callable[[str, int], str]
NO_COLOUR = AugmentationSettings(brightness=0, contrast=0, saturation=0, hue=0, crop=0.6, zoom_out=0.4)


def batches(
    pattern: str, parse: Parser, detector: Detector, settings: TrainSettings, count: int, start_step: int = 0
) -> list[TrainingBatch]:
    return list(training_batches([pattern], parse, detector, settings, start_step=start_step).take(count))


def same(one: TrainingBatch, other: TrainingBatch) -> bool:
    return all(
        bool(tf.reduce_all(tf.equal(a, b))) for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True)
    )


def test_boxes_lie_on_the_objects(squares: Squares, parse: Parser, detector: Detector) -> None:
    settings = TrainSettings(batch_size=8, augmentation=NO_COLOUR)
    seen = 0
    for batch in batches(squares("train", 16), parse, detector, settings, 6):
        assert batch.images.dtype == tf.uint8
        assert batch.images.shape == (8, 64, 64, 3)
        for image, boxes, classes, weights, _ in zip(
            batch.images.numpy(), *(part.numpy() for part in batch.truth), strict=True
        ):
            other = 1 - classes[0]
            bright = (image[..., classes[0]] > 170) & (image[..., other] < 100)
            if weights[0] == 0 or bright.sum() < 30:
                continue
            rows, columns = np.where(bright)
            found = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]) / 64
            np.testing.assert_allclose(found, boxes[0], atol=0.06)
            seen += 1
    assert seen > 30


@pytest.mark.parametrize(
    ("kinds", "rows"), [({"mosaic": 0.7}, 4), ({"copy_paste": 0.7, "quarter_turn": 0.5, "erase": 0.3}, 4)]
)
def test_boxes_lie_on_the_objects_of_mixed_and_pasted_images(
    kinds: dict[str, float], rows: int, squares: Squares, parse: Parser, detector: Detector
) -> None:
    settings = TrainSettings(batch_size=8, augmentation=NO_COLOUR.model_copy(update=kinds))
    seen = 0
    for batch in batches(squares("train", 16), parse, detector, settings, 4):
        assert batch.truth.classes.shape == (8, rows)
        for image, boxes, classes, weights, _ in zip(
            batch.images.numpy(), *(part.numpy() for part in batch.truth), strict=True
        ):
            for box, class_index in zip(boxes[weights > 0], classes[weights > 0], strict=True):
                ymin, xmin, ymax, xmax = np.round(box * 64).astype(int)
                part = image[ymin + 1 : ymax - 1, xmin + 1 : xmax - 1].astype(int)
                bright = (part[..., class_index] > 150) & (part[..., 1 - class_index] < 120)
                # The rest may be hidden, or belong to an object pasted over it.
                assert bright.mean() > 0.3
                seen += 1
    assert seen > 40


@pytest.mark.parametrize("augmentation", [None, NO_COLOUR])
def test_boxes_lie_on_the_objects_of_tiles(
    augmentation: AugmentationSettings | None, squares: Squares, parse: Parser, detector: Detector
) -> None:
    settings = TrainSettings(batch_size=8, augmentation=augmentation)
    tiling = TilingSettings(rows=2, columns=2, whole_image=False)
    seen, cut = 0, 0
    for batch in training_batches([squares("train", 16)], parse, detector, settings, tiling=tiling).take(3):
        for image, boxes, classes, weights, _ in zip(
            batch.images.numpy(), *(part.numpy() for part in batch.truth), strict=True
        ):
            for box, class_index in zip(boxes[weights > 0], classes[weights > 0], strict=True):
                bright = (image[..., class_index] > 170) & (image[..., 1 - class_index] < 100)
                rows, columns = np.where(bright)
                found = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]) / 64
                np.testing.assert_allclose(found, box, atol=0.06)
                seen += 1
                cut += bool((box == 0).any() or (box == 1).any())
    assert seen > 10
    assert cut > 2


def test_all_kinds_of_augmentation_can_be_resumed(squares: Squares, parse: Parser, detector: Detector) -> None:
    every_kind = AugmentationSettings(
        quarter_turn=0.5, crop=0.4, crop_min_ious=(0.1, 0.3), scale_jitter=0.2, blur=0.5, noise=0.5, jpeg=0.5,
        erase=0.5, mosaic=0.5, mixup=0.5, copy_paste=0.5,
    )  # fmt: skip
    settings = TrainSettings(batch_size=4, augmentation=every_kind)
    pattern = squares("train", 9)
    first = batches(pattern, parse, detector, settings, 4)
    resumed = batches(pattern, parse, detector, settings, 2, start_step=2)
    assert all(same(one, other) for one, other in zip(first[2:], resumed, strict=True))


def test_nothing_is_mixed_at_the_end(squares: Squares, parse: Parser, detector: Detector) -> None:
    mosaics = AugmentationSettings(mosaic=1.0, mixing_until=0.5)
    settings = TrainSettings(batch_size=4, steps=4, augmentation=mosaics)
    counts = [
        (batch.truth.classes.numpy() >= 0).sum(axis=-1)
        for batch in batches(squares("train", 8), parse, detector, settings, 4)
    ]
    assert counts[0].sum() > 4
    assert counts[1].sum() > 4
    assert counts[2].max() <= 1
    assert counts[3].max() <= 1


def test_nothing_to_paste_is_said(
    write_records: Callable[..., str],
    make_record: Callable[..., bytes],
    make_square: Callable[..., tuple[bytes, list[float], int]],
    parse: Parser,
    detector: Detector,
) -> None:
    pattern = write_records("train", [make_record(make_square(0)[0], "crowd", [[0.1, 0.1, 0.5, 0.5]], [0], crowd=[1])])
    settings = TrainSettings(batch_size=1, augmentation=AugmentationSettings(copy_paste=0.5))
    with pytest.raises(NothingToPasteError, match=r"copy_paste.*has no object to paste"):
        training_batches([pattern], parse, detector, settings)


def test_a_batch_depends_on_seed_and_step_alone(squares: Squares, parse: Parser, detector: Detector) -> None:
    pattern = squares("train", 21)
    settings = TrainSettings(batch_size=4)
    # As the Trainer does; it must neither matter nor get in the way.
    tf.random.set_seed(1)
    first = batches(pattern, parse, detector, settings, 14)
    # 14 steps of 4 are past the second time around; the resumed stream must find the middle of it.
    for start in (3, 9):
        resumed = batches(pattern, parse, detector, settings, 14 - start, start_step=start)
        assert all(same(one, other) for one, other in zip(first[start:], resumed, strict=True))
    other_seed = batches(pattern, parse, detector, TrainSettings(batch_size=4, seed=1), 1)
    assert not same(first[0], other_seed[0])


def test_every_record_once_an_epoch_in_a_new_order(squares: Squares) -> None:
    stream = shuffled_records([squares("train", 10)], seed=0, shuffle_memory_megabytes=1)
    records = list(stream.take(20).as_numpy_iterator())
    assert sorted(records[:10]) == sorted(records[10:])
    assert len(set(records)) == 10
    assert records[:10] != records[10:]


def test_ignored_objects_have_no_weight(
    write_records: Callable[..., str],
    make_record: Callable[..., bytes],
    make_square: Callable[..., tuple[bytes, list[float], int]],
    parse: Parser,
    detector: Detector,
) -> None:
    encoded = make_square(0)[0]
    boxes = [[0.1, 0.1, 0.5, 0.5], [0.5, 0.5, 0.9, 0.9]]
    records = [make_record(encoded, "both", boxes, [0, 1], crowd=[0, 1]), make_record(encoded, "none", [], [])]
    settings = TrainSettings(batch_size=2, augmentation=None)
    (batch,) = batches(write_records("train", records), parse, detector, settings, 1)
    order = np.argsort(-batch.truth.weights.numpy().sum(axis=-1))
    np.testing.assert_array_equal(batch.truth.weights.numpy()[order], [[1, 0], [0, 0]])
    np.testing.assert_array_equal(batch.truth.classes.numpy()[order], [[0, 1], [-1, -1]])
    np.testing.assert_allclose(batch.truth.boxes_yxyx_normalized.numpy()[order], [boxes, np.zeros((2, 4))], atol=1e-6)


def test_without_augmentation_training_sees_what_evaluation_sees(
    squares: Squares, parse: Parser, detector: Detector
) -> None:
    pattern = squares("train", 4)
    (trained,) = batches(pattern, parse, detector, TrainSettings(batch_size=4, augmentation=None), 1)
    (evaluated,) = list(evaluation_batches([pattern], parse, detector, 4))
    prepared = prepare_images(detector, trained).numpy()
    expected = detector.normalize(evaluated.images).numpy()
    # The order differs; every training image is one of the evaluation's, up to rounding to whole values.
    for image in prepared:
        assert np.abs(expected - image).max(axis=(1, 2, 3)).min() < 0.01


def test_evaluation_sees_everything_once(squares: Squares, parse: Parser, detector: Detector) -> None:
    pattern = squares("eval", 7)
    sizes = [len(b.images) for b in evaluation_batches([pattern], parse, detector, 3)]
    assert sizes == [3, 3, 1]
    sizes = [len(b.images) for b in evaluation_batches([pattern], parse, detector, 3, max_images=4)]
    assert sizes == [3, 1]


def test_a_split_without_records_is_named(tmp_path: object, write_records: Callable[..., str]) -> None:
    with pytest.raises(NoRecordsError, match=r"nowhere"):
        ordered_records([f"{tmp_path}/nowhere/*"])
    with pytest.raises(NoRecordsError, match=r"train"):
        shuffled_records([write_records("train", [])], seed=0, shuffle_memory_megabytes=1)


def test_a_damaged_image_says_what_to_do(
    write_records: Callable[..., str],
    make_record: Callable[..., bytes],
    make_square: Callable[..., tuple[bytes, list[float], int]],
    parse: Parser,
    detector: Detector,
) -> None:
    encoded, box, index = make_square(0)
    # The header is whole, so that nobody notices before the pixels are wanted.
    pattern = write_records("train", [make_record(encoded[:700], "damaged", [box], [index])])
    settings = TrainSettings(batch_size=1)
    for dataset in (
        training_batches([pattern], parse, detector, settings),
        evaluation_batches([pattern], parse, detector, 1),
    ):
        with pytest.raises(UnusableRecordError, match=r"delete the folder of ExampleGen.* start the run again"):
            next(iterate(dataset))


@pytest.mark.parametrize("augmentation", [AugmentationSettings(), AugmentationSettings(mosaic=0.5)])
def test_workers_share_a_batch(
    squares: Squares, parse: Parser, detector: Detector, augmentation: AugmentationSettings
) -> None:
    pattern, settings = squares("train", 9), TrainSettings(batch_size=8, augmentation=augmentation)

    def second(share: tuple[int, int]) -> TrainingBatch:
        return next(iter(training_batches([pattern], parse, detector, settings, start_step=1, share=share)))

    shares = [second((number, 2)) for number in range(2)]
    assert [share.images.shape for share in shares] == [(4, 64, 64, 3)] * 2
    assert same(tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *shares), second((0, 1)))
