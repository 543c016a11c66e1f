"""Each classifier as TensorFlow ops gives what scikit-learn's gives."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.box_classifier import fitting
from components.trainer.box_classifier.fitting import ClassifierName, as_layer, fit_pipeline
from components.user_error import UserError

NAMES: tuple[ClassifierName, ...] = ("logistic", "svm", "mlp", "knn")


def boxes(kinds: list[int], count: int = 240, size: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Vectors around a center for each kind, in which numbers differ in size and one is always the same."""
    random = np.random.default_rng(len(kinds))
    columns = random.choice(kinds, count)
    centers = random.normal(size=(max(kinds) + 1, size))
    vectors = (centers[columns] + random.normal(size=(count, size))) * np.geomspace(0.01, 100, size)
    vectors[:, 3] = 2.5
    return vectors.astype(np.float32), columns.astype(np.int64)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kinds", [[0, 1], [0, 1, 2, 3], [0, 2, 3]], ids=["one class", "three", "one of them absent"])
def test_the_same_probabilities(name: ClassifierName, kinds: list[int]) -> None:
    vectors, columns = boxes(kinds)
    pipeline = fit_pipeline(name, vectors[40:], columns[40:], np.arange(len(columns) - 40), seed=0)
    layer = as_layer(pipeline, max(kinds) + 1)
    assert layer.name == name
    found = tf.function(layer)(tf.constant(vectors[:40])).numpy()
    expected = np.zeros_like(found)
    expected[:, pipeline.classes_] = pipeline.predict_proba(vectors[:40].astype(np.float64))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # And it has learnt something.
    assert (found.argmax(axis=1) == columns[:40]).mean() > 0.8
    assert layer(tf.zeros((0, vectors.shape[1]))).shape == (0, max(kinds) + 1)


def test_a_neighbor_that_is_the_box_itself_has_the_only_vote() -> None:
    vectors, columns = boxes([0, 1, 2])
    pipeline = fit_pipeline("knn", vectors, columns, np.arange(len(columns)), seed=0)
    found = as_layer(pipeline, 3)(tf.constant(vectors[:20])).numpy()
    np.testing.assert_allclose(found, np.eye(3)[columns[:20]], atol=1e-2)


def test_what_cannot_be_fitted_is_said() -> None:
    vectors, columns = boxes([0, 1])
    with pytest.raises(UserError, match=r"transfer\.classifier: svm needs at least two boxes .* found 240 of column 0"):
        fit_pipeline("svm", vectors, np.zeros_like(columns), np.arange(len(columns)), seed=0)


def test_what_calibrates_a_machine_shows_no_image_that_it_was_fitted_to() -> None:
    random = np.random.default_rng(0)
    images = np.repeat(np.arange(40), 6)
    columns = random.choice([0, 0, 0, 1, 3], len(images))
    folds = fitting._folds(columns, images, seed=0)
    assert len(folds) == 3
    assert sorted(np.concatenate([calibrated for _, calibrated in folds])) == list(range(len(images)))
    for fitted, calibrated in folds:
        assert not set(images[fitted]) & set(images[calibrated])
        assert set(columns[fitted]) == {0, 1, 3}


def test_a_class_in_one_image_is_fitted_all_the_same() -> None:
    vectors, columns = boxes([0, 1, 2])
    pipeline = fit_pipeline("svm", vectors, columns, np.where(columns == 2, 0, np.arange(len(columns))), seed=0)
    assert (pipeline.predict(vectors) == columns).mean() > 0.8
