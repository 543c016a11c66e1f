"""Losses and measures of the discriminators beside numpy; who learns what from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.detector.structures import DescribedProposals, Features
from components.trainer.strategies.adaptation.domain_discriminators import (
    DomainDiscriminators,
    DomainView,
    reversal_weight,
)
from components.trainer.strategies.settings.adversarial import AdversarialSettings
from tests.components.trainer.tiny_detector import TinyDetector


class TwoStages(TinyDetector):
    """Proposes two regions an image, of which the second is padding, described by the mean of the features."""

    def describe_proposals(
        self, features: Features, valid_height_width: tf.Tensor, training: bool
    ) -> DescribedProposals:
        mean = tf.reduce_mean(features["level_4"], axis=(1, 2))  # [B, 4]
        real = tf.tile([[True, False]], [tf.shape(mean)[0], 1])
        return DescribedProposals(tf.stack([mean, 100.0 * mean], axis=1), real)


def views(shares: tuple[float, float] = (1.0, 1.0)) -> tuple[DomainView, DomainView]:
    random = np.random.default_rng(0)
    return tuple(
        DomainView({"level_4": tf.Variable(random.normal(mean, 1.0, (3, 4, 4, 4)), dtype=tf.float32)},
                   tf.constant([shares] * 3))
        for mean in (-0.5, 0.5)
    )  # fmt: skip


def logits(discriminator: keras.Sequential, features: np.ndarray) -> np.ndarray:
    return discriminator(features.reshape(features.shape[0], -1, features.shape[-1])).numpy()[..., 0]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.5, 1.0])
def test_the_weight_grows_as_ganin_has_it(progress: float) -> None:
    settings = AdversarialSettings(reversal_weight=0.3)
    expected = 0.3 * (2.0 / (1.0 + math.exp(-10.0 * progress)) - 1.0)
    assert float(reversal_weight(tf.constant(progress), settings)) == pytest.approx(expected, abs=1e-6)
    constant = settings.model_copy(update={"reversal_schedule": "constant"})
    assert float(reversal_weight(tf.constant(progress), constant)) == pytest.approx(0.3)


def test_losses_of_feature_maps_leave_padding_out() -> None:
    discriminators = DomainDiscriminators(TinyDetector(), AdversarialSettings(image_weight=2.0))
    source, target = views(shares=(0.5, 0.75))
    found = discriminators.losses(source, target, tf.constant(0.5))
    discriminator = discriminators._of_levels["level_4"]
    seen = [logits(discriminator, view.features["level_4"].numpy()[:, :2, :3]) for view in (source, target)]
    loss = (-np.log(1.0 - sigmoid(seen[0])).mean() - np.log(sigmoid(seen[1])).mean()) / 2.0
    accuracy = ((seen[0] <= 0).mean() + (seen[1] > 0).mean()) / 2.0
    assert float(found["domain_image"]) == pytest.approx(2.0 * loss, rel=1e-5)
    assert float(found["domain_accuracy"]) == pytest.approx(accuracy)
    assert set(found) == {"domain_image", *discriminators.measures}


def test_losses_of_proposals_and_their_consistency_leave_padding_out() -> None:
    settings = AdversarialSettings(proposal_weight=3.0, consistency_weight=0.5)
    discriminators = DomainDiscriminators(TwoStages(), settings)
    source, target = views()
    found = discriminators.losses(source, target, tf.constant(0.5))
    features = [view.features["level_4"].numpy() for view in (source, target)]
    of_images = [sigmoid(logits(discriminators._of_levels["level_4"], maps)).mean(axis=1) for maps in features]
    seen = [logits(discriminators._of_proposals, maps.mean(axis=(1, 2))[:, None])[:, 0] for maps in features]
    loss = (-np.log(1.0 - sigmoid(seen[0])).mean() - np.log(sigmoid(seen[1])).mean()) / 2.0
    distance = np.mean([np.abs(image - sigmoid(own)).mean() for image, own in zip(of_images, seen, strict=True)])
    assert float(found["domain_proposals"]) == pytest.approx(3.0 * loss, rel=1e-5)
    assert float(found["domain_consistency"]) == pytest.approx(0.5 * distance, rel=1e-5)
    assert set(found) > {"proposal_domain_accuracy"}


@pytest.mark.parametrize(
    ("part", "sign"), [("domain_image", -1.0), ("domain_proposals", -1.0), ("domain_consistency", 1.0)]
)
def test_features_get_the_weighted_gradient_and_discriminators_the_whole(part: str, sign: float) -> None:
    def gradients(weight: float) -> tuple[np.ndarray, list[np.ndarray]]:
        keras.utils.set_random_seed(0)
        settings = AdversarialSettings(reversal_weight=weight, reversal_schedule="constant")
        discriminators = DomainDiscriminators(TwoStages(), settings)
        source, target = views()
        features = target.features["level_4"]
        with tf.GradientTape() as tape:
            loss = discriminators.losses(source, target, tf.constant(0.5))[part]
        of_features, of_discriminators = tape.gradient(loss, [features, discriminators.variables])
        return of_features.numpy(), [g.numpy() for g in of_discriminators if g is not None]

    whole, learning = gradients(1.0)
    quarter, learning_too = gradients(0.25)
    assert np.abs(whole).max() > 0.0
    np.testing.assert_allclose(quarter, 0.25 * whole, rtol=1e-4, atol=1e-9)
    for one, other in zip(learning, learning_too, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-9)
    # A step down the gradient that the features get changes the loss in the direction of the sign.
    discriminators, (source, target) = DomainDiscriminators(TwoStages(), AdversarialSettings()), views()
    keras.utils.set_random_seed(0)
    discriminators = DomainDiscriminators(
        TwoStages(), AdversarialSettings(reversal_weight=1.0, reversal_schedule="constant")
    )
    before = discriminators.losses(source, target, tf.constant(0.5))[part]
    target.features["level_4"].assign_sub(1e-2 * whole / np.abs(whole).max())
    after = discriminators.losses(source, target, tf.constant(0.5))[part]
    assert np.sign(float(before - after)) == sign


def test_discriminators_that_learn_tell_the_domains_apart() -> None:
    keras.utils.set_random_seed(0)
    discriminators = DomainDiscriminators(TinyDetector(), AdversarialSettings(discriminator_channels=16))
    source, target = views()
    optimizer = keras.optimizers.Adam(0.02)

    def measured() -> Mapping[str, Any]:
        return {name: float(value) for name, value in discriminators.losses(source, target, tf.constant(0.0)).items()}

    before = measured()
    for _ in range(60):
        with tf.GradientTape() as tape:
            loss = discriminators.losses(source, target, tf.constant(0.0))["domain_image"]
        optimizer.apply(tape.gradient(loss, discriminators.variables), discriminators.variables)
    after = measured()
    assert after["domain_image"] < before["domain_image"]
    assert after["domain_accuracy"] > 0.8
