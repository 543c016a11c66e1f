"""Strong changes leave every object where it is, and depend on the seed alone."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from components.trainer.strategies.adaptation.strong_augmentation import strongly_augmented
from components.trainer.strategies.settings.mean_teacher import StrongAugmentationSettings

NOTHING = StrongAugmentationSettings(colour=0.0, greyscale=0.0, blur=0.0, erasing=0.0)
SEED = tf.constant([3, 7], tf.int64)


def painted(count: int = 4) -> np.ndarray:
    images = np.full((count, 32, 48, 3), 60.0, np.float32)
    images[:, 8:20, 10:30] = (220.0, 120.0, 40.0)
    return images


def changed(**settings: float) -> np.ndarray:
    return strongly_augmented(tf.constant(painted()), SEED, NOTHING.model_copy(update=settings)).numpy()


def test_with_nothing_to_do_nothing_is_done() -> None:
    np.testing.assert_allclose(changed(), painted(), atol=1e-2)


def test_the_seed_decides() -> None:
    settings = StrongAugmentationSettings()
    first, again, other = (
        strongly_augmented(tf.constant(painted()), seed, settings).numpy() for seed in (SEED, SEED, SEED + 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1.0
    assert np.abs(first[0] - first[1]).max() > 1.0
    assert first.min() >= 0.0
    assert first.max() <= 255.0


def test_colours_and_blur_leave_the_object_where_it_is() -> None:
    for settings in ({"colour": 0.4}, {"greyscale": 1.0}, {"blur": 1.0}):
        images = changed(**settings)
        inside, outside = images[:, 11:17, 13:27], images[:, 24:, 34:]
        assert inside.std(axis=(1, 2)).max() < 1e-2
        assert outside.std(axis=(1, 2)).max() < 1e-2
        edges = np.abs(np.diff(images.mean(axis=-1), axis=1)).mean(axis=(0, 2))
        assert set(np.argsort(edges)[-2:]) == {7, 19}


def test_a_grey_image_has_no_colours() -> None:
    images = changed(greyscale=1.0)
    np.testing.assert_allclose(images[..., 0], images[..., 2])


def test_rectangles_are_covered_as_often_as_asked() -> None:
    images = np.zeros((64, 32, 32, 3), np.float32)
    settings = NOTHING.model_copy(update={"erasing": 1.0})
    covered = strongly_augmented(tf.constant(images), SEED, settings).numpy().max(axis=-1) > 0.0
    shares = covered.mean(axis=(1, 2))
    assert shares.min() > 0.015
    # Three of 2 % to 20 %, which may overlap.
    assert 0.15 < shares.mean() < 0.33
