"""Blur against SciPy, noise by its statistics, JPEG against Pillow, and the erased rectangle by its pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import ndimage

from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.input.augmentation import pixels
from components.trainer.input.augmentation.pixels import PixelChanges

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
WHOLE = tf.constant([1.0, 1.0])
EVERY_KIND = AugmentationSettings(blur=1.0, noise=1.0, jpeg=1.0, erase=1.0)


def test_blur_is_that_of_scipy() -> None:
    found = pixels.blurred(tf.constant(IMAGE), tf.constant(1.2), 2.0).numpy()
    expected = ndimage.gaussian_filter(IMAGE.astype(float), (1.2, 1.2, 0), mode="reflect", truncate=5 / 1.2)
    np.testing.assert_allclose(found, expected, atol=0.51)


def test_noise_has_its_deviation_and_no_bias() -> None:
    grey = tf.fill([64, 65, 3], tf.constant(127, tf.uint8))
    difference = pixels.noisy(grey, tf.constant(12.0), tf.constant([1, 2])).numpy() - 127.0
    assert difference.std() == pytest.approx(12, abs=0.4)
    assert difference.mean() == pytest.approx(0, abs=0.4)
    other = pixels.noisy(grey, tf.constant(12.0), tf.constant([1, 3])).numpy() - 127.0
    assert abs(np.corrcoef(difference.ravel(), other.ravel())[0, 1]) < 0.05


def test_jpeg_loses_what_pillow_loses() -> None:
    smooth = ndimage.gaussian_filter(IMAGE, (3, 3, 0))
    found = pixels.coded_as_jpeg(tf.constant(smooth), tf.constant(30)).numpy()
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(buffer, "JPEG", quality=30)
    assert np.abs(found.astype(int) - np.asarray(Image.open(buffer)).astype(int)).mean() < 2.0
    assert np.abs(found.astype(int) - smooth).mean() > 0.5


@pytest.mark.parametrize("share", [[1.0, 1.0], [1.0, 0.5]])
def test_the_erased_rectangle_is_where_it_says(share: list[float]) -> None:
    white = tf.fill([32, 48, 3], tf.constant(255, tf.uint8))
    erase = AugmentationSettings(erase=1.0)
    for seed in range(10):
        (changes,) = zip(*pixels.random_pixel_changes(1, tf.constant([seed, 0]), erase), strict=True)
        changed, erased = pixels.change_pixels(white, tf.constant(share), PixelChanges(*changes), erase)
        rows, columns = np.where((changed.numpy() != 255).any(axis=-1))
        found = [rows.min() / 32, columns.min() / 48, (rows.max() + 1) / 32, (columns.max() + 1) / 48]
        np.testing.assert_allclose(found, erased, atol=1e-6)
        area = (erased[2] - erased[0]) * (erased[3] - erased[1]) / share[0] / share[1]
        assert 0.01 < area < 0.2
        assert erased[3] <= share[1] + 1e-6


def test_each_kind_as_often_as_asked() -> None:
    chosen = AugmentationSettings(blur=0.1, noise=0.2, jpeg=0.3, erase=0.4, blur_max_sigma=2.0, jpeg_min_quality=40)
    changes = pixels.random_pixel_changes(5000, tf.constant([1, 2]), chosen)
    assert np.mean(changes.blur_sigmas_pixels.numpy() > 0) == pytest.approx(0.1, abs=0.02)
    assert np.mean(changes.noise_deviations.numpy() > 0) == pytest.approx(0.2, abs=0.02)
    assert np.mean(changes.jpeg_qualities.numpy() > 0) == pytest.approx(0.3, abs=0.02)
    assert np.mean(changes.erased_yxyx.numpy().any(axis=-1)) == pytest.approx(0.4, abs=0.02)
    assert changes.blur_sigmas_pixels.numpy().max() <= 2.0
    drawn = changes.jpeg_qualities.numpy()[changes.jpeg_qualities.numpy() > 0]
    assert 40 <= drawn.min() <= 42
    assert 93 <= drawn.max() <= 95


def test_what_was_not_drawn_changes_nothing() -> None:
    nothing = PixelChanges(*(part[0] for part in PixelChanges.none(1)))
    changed, erased = pixels.change_pixels(tf.constant(IMAGE), WHOLE, nothing, EVERY_KIND)
    np.testing.assert_array_equal(changed, IMAGE)
    assert not erased.numpy().any()
