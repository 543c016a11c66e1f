"""Mosaic and mixup of painted canvases: the paint is where the boxes say."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.detector.structures import GroundTruth
from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.input.augmentation.mixing import mix, random_mixing

SIDE = 64
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255], [0, 255, 255]], np.uint8)
ACTIVE = tf.constant(True)


def painted(share: tuple[float, float] = (1.0, 1.0)) -> tuple[tf.Tensor, GroundTruth]:
    """Six canvases, black but for one box of a colour that is also its class, and a crowd on the upper left pixel."""
    random = np.random.default_rng(3)
    images, boxes = np.zeros((6, SIDE, SIDE, 3), np.uint8), np.zeros((6, 2, 4), np.float32)
    for image, box, colour in zip(images, boxes, COLOURS, strict=True):
        sides = (random.uniform(0.3, 0.5, 2) * share * SIDE).astype(int)
        corner = (random.uniform(0, 1, 2) * (np.array(share) * SIDE - sides)).astype(int)
        image[corner[0] : corner[0] + sides[0], corner[1] : corner[1] + sides[1]] = colour
        box[0] = np.concatenate([corner, corner + sides]) / SIDE
        box[1] = np.array([0, 0, 1, 1]) / SIDE
    truth = GroundTruth(
        tf.constant(boxes),
        tf.constant([[number, 0] for number in range(6)]),
        tf.constant([[1.0, 0.0]] * 6),
        tf.tile([share], [6, 1]),
    )
    return tf.constant(images), truth


def extent(mask: np.ndarray) -> list[int]:
    rows, columns = np.where(mask)
    return [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]


@pytest.mark.parametrize("share", [(1.0, 1.0), (0.6, 1.0)])
@pytest.mark.parametrize("seed", range(4))
def test_paint_of_a_mosaic_is_where_the_boxes_say(seed: int, share: tuple[float, float]) -> None:
    images, truth = painted(share)
    chosen = AugmentationSettings(mosaic=1.0, min_visible=0.4)
    mixing = random_mixing(truth.valid_height_width, tf.constant([seed, 0]), chosen, ACTIVE)
    mixed, of_mixed = mix(images, truth, mixing, chosen)
    seen = 0
    assert of_mixed.classes.shape == (6, 8)
    np.testing.assert_array_equal(of_mixed.valid_height_width, np.ones((6, 2)))
    for image, boxes, classes, weights in zip(mixed.numpy(), *(part.numpy() for part in of_mixed[:3]), strict=True):
        for index, colour in enumerate(COLOURS):
            # Bilinear edges are dimmer. A crowd has class 0 and no paint: the objects stand in even rows.
            mask = (np.abs(image.astype(int) - colour).max(axis=-1) < 128) & (image.max(axis=-1) > 128)
            rows = [row for row in range(0, 8, 2) if classes[row] == index]
            assert bool(rows) == bool(mask.any())
            if rows:
                expected = np.concatenate([boxes[rows, :2].min(axis=0), boxes[rows, 2:].max(axis=0)]) * SIDE
                np.testing.assert_allclose(extent(mask), expected, atol=1.5)
                seen += 1
        assert not weights[1::2].any()
    assert seen > 12


def test_a_part_of_a_mosaic_that_shows_too_little_of_an_object_does_not_teach_it() -> None:
    images, truth = painted()
    chosen = AugmentationSettings(mosaic=1.0, min_visible=1.0)
    mixing = random_mixing(truth.valid_height_width, tf.constant([0, 0]), chosen, ACTIVE)
    _, strict = mix(images, truth, mixing, chosen)
    _, lenient = mix(images, truth, mixing, chosen.model_copy(update={"min_visible": 0.0}))
    in_sight = strict.classes.numpy()[:, ::2] >= 0
    np.testing.assert_array_equal(strict.classes, lenient.classes)
    np.testing.assert_array_equal(lenient.weights.numpy()[:, ::2] > 0, in_sight)
    assert 0 < strict.weights.numpy().sum() < lenient.weights.numpy().sum()


def test_mixup_shows_and_teaches_both() -> None:
    images, truth = painted()
    chosen = AugmentationSettings(mixup=1.0)
    mixing = random_mixing(truth.valid_height_width, tf.constant([0, 0]), chosen, ACTIVE)
    mixed, of_mixed = mix(images, truth, mixing, chosen)
    shares, partners = mixing.partner_shares.numpy(), mixing.partners.numpy()
    assert np.all(partners != np.arange(6))
    for index in range(6):
        expected = images[index].numpy() * (1 - shares[index]) + images[partners[index]].numpy() * shares[index]
        np.testing.assert_allclose(mixed[index], expected, atol=0.51)
        for part, mixed_part in zip(truth[:3], of_mixed[:3], strict=True):
            np.testing.assert_array_equal(mixed_part[index, :2], part[index])
            np.testing.assert_array_equal(mixed_part[index, 2:], part[partners[index]])


def test_after_its_time_nothing_is_mixed() -> None:
    images, truth = painted()
    chosen = AugmentationSettings(mosaic=1.0, mixup=1.0)
    mixing = random_mixing(truth.valid_height_width, tf.constant([0, 0]), chosen, tf.constant(False))
    mixed, of_mixed = mix(images, truth, mixing, chosen)
    np.testing.assert_array_equal(mixed, images)
    np.testing.assert_array_equal(of_mixed.boxes_yxyx_normalized[:, :2], truth.boxes_yxyx_normalized)
    assert np.all(of_mixed.classes.numpy()[:, 2:] == -1)
    assert not of_mixed.weights.numpy()[:, 2:].any()


def test_each_as_often_as_asked() -> None:
    chosen = AugmentationSettings(mosaic=0.3, mixup=0.2)
    mixing = random_mixing(tf.ones([4000, 2]), tf.constant([1, 2]), chosen, ACTIVE)
    assert np.mean(mixing.is_mosaic.numpy()) == pytest.approx(0.3, abs=0.03)
    assert np.mean(mixing.partner_shares.numpy() > 0) == pytest.approx(0.2, abs=0.03)
    assert np.all(mixing.sources.numpy()[:, 0] == np.arange(4000))
    assert np.all(mixing.sources.numpy()[:, 1:] != np.arange(4000)[:, np.newaxis])
