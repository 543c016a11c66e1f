"""What is cut out for pasting: the pixels in the boxes, at most so many, rare classes more often."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.detector.layers.resizing import resize_fixed, resize_keep_aspect_ratio
from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.input import object_bank as module
from components.trainer.input.object_bank import object_bank

HEIGHT, WIDTH = 60, 120
BOX = [0.25, 0.5, 0.75, 0.75]
COLOURS = ((250, 0, 0), (0, 250, 0))


def images(classes: list[int]) -> tf.data.Dataset:
    """An image for each object: a box of the class's colour on black."""
    encoded = []
    for class_index in classes:
        pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        pixels[15:45, 60:90] = COLOURS[class_index]
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    count = len(classes)
    return tf.data.Dataset.from_tensor_slices(
        (
            tf.constant(encoded),
            tf.constant([[HEIGHT, WIDTH]] * count, tf.int64),
            tf.constant([[BOX, [0, 0, 1, 1]]] * count, tf.float32),
            tf.constant([[class_index, 0] for class_index in classes], tf.int64),
            tf.constant([[True, False]] * count),
        )
    )


def stretch(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return resize_fixed(image, (64, 64))


def fit(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return resize_keep_aspect_ratio(image, min_dimension=64, max_dimension=64, image_size=(64, 64))


@pytest.mark.parametrize(
    ("resize", "share", "sides"),
    [(stretch, (1.0, 1.0), (0.5, 0.25)), (fit, (1.0, 1.0), (0.25, 0.25)), (stretch, (0.5, 0.5), (1.0, 0.5))],
)
def test_pixels_and_size_of_an_object(resize: object, share: tuple[float, float], sides: tuple[float, float]) -> None:
    bank = object_bank(images([1]), resize, AugmentationSettings(), seed=0, shown_share_yx=share)
    np.testing.assert_allclose(bank.sides_yx, [sides], atol=0.01)
    crop = tf.io.decode_jpeg(bank.crops[0], channels=3).numpy()
    # The file's own resolution where the canvas has more.
    assert crop.shape[0] <= 30
    assert crop.shape[1] <= 30
    np.testing.assert_allclose(crop, np.broadcast_to(COLOURS[1], crop.shape), atol=8)


@pytest.mark.parametrize(("rarity", "green"), [(0.0, 0.5), (1.0, 0.9)])
def test_rare_classes_are_preferred_as_asked(rarity: float, green: float) -> None:
    bank = object_bank(
        images([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]), stretch, AugmentationSettings(copy_paste_rarity=rarity), seed=0
    )
    probabilities = np.diff(bank.cumulative.numpy(), prepend=0)
    assert bank.cumulative.numpy()[-1] == pytest.approx(1.0)
    assert probabilities[bank.classes.numpy() == 1].sum() == pytest.approx(green, abs=1e-6)


def test_as_many_of_each_class_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_OBJECTS", 6)
    monkeypatch.setattr(module, "_FEWEST_OF_A_CLASS", 1)
    bank = object_bank(images([0] * 8 + [1] * 2), stretch, AugmentationSettings(), seed=0)
    assert sorted(bank.classes.numpy().tolist()) == [0, 0, 0, 1, 1]
