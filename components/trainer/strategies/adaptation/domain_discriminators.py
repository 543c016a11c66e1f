"""Discriminators that tell an annotated domain from an unlabelled one by a detector's features, and their losses.

After Chen et al. 2018, "Domain Adaptive Faster R-CNN for Object Detection in the Wild" (CVPR), section 4: one on every
feature map of the backbone, location by location; where the detector proposes regions, one on what describes them, and
a term that asks both to say the same. The discriminators are helpers of a training, no part of the detector.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import keras
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.structures import DescribedProposals, Features
from components.trainer.strategies.adaptation.gradient_scaling import scale_gradient
from components.trainer.strategies.settings.adversarial import AdversarialSettings

_STEEPNESS: Final = 10.0
"""gamma of Ganin and Lempitsky's schedule."""
DOMAIN_ACCURACY: Final = "domain_accuracy"
PROPOSAL_DOMAIN_ACCURACY: Final = "proposal_domain_accuracy"
REVERSAL_WEIGHT: Final = "reversal_weight"


class DomainView(NamedTuple):
    """What the discriminators see of a batch of one domain.

    Attributes:
      features: of the detector's backbone, in training mode.
      valid_height_width: float32 [B, 2], the share of the canvas that is image; padding says nothing about a domain.
    """

    features: Features
    valid_height_width: tf.Tensor


class _Verdict(NamedTuple):
    """Logits (above 0: of the target) of one discriminator about a batch, and what of them counts: float32 [B, N]."""

    logits: tf.Tensor
    weights: tf.Tensor


def reversal_weight(progress: tf.Tensor, settings: AdversarialSettings) -> tf.Tensor:
    """The weight of the reversed gradient, float32 [], at a share of the phase's steps, float32 [] in 0..1."""
    if settings.reversal_schedule == "constant":
        return tf.constant(settings.reversal_weight, tf.float32)
    return settings.reversal_weight * (2.0 / (1.0 + tf.exp(-_STEEPNESS * progress)) - 1.0)


class DomainDiscriminators:
    """The discriminators for one detector.

    Args:
      detector: built; it is run once to know its features.
      settings: weights and width.
    """

    def __init__(self, detector: Detector, settings: AdversarialSettings) -> None:
        self._detector = detector
        self._settings = settings
        features = detector.features(tf.zeros((1, *detector.image_size, 3)), training=False)
        self._of_levels = {
            level: _discriminator(int(maps.shape[-1]), settings.discriminator_channels, f"domain_of_{level}")
            for level, maps in features.items()
        }
        proposals = detector.describe_proposals(features, tf.ones((1, 2)), training=False)
        self._of_proposals = (
            None
            if proposals is None
            else _discriminator(
                int(proposals.descriptions.shape[-1]), settings.discriminator_channels, "domain_of_proposals"
            )
        )

    @property
    def variables(self) -> list[keras.Variable]:
        """All of them learn."""
        models = [*self._of_levels.values(), *([self._of_proposals] if self._of_proposals else [])]
        return [variable for model in models for variable in model.trainable_variables]

    @property
    def measures(self) -> tuple[str, ...]:
        """Names among what ``losses`` gives that are no losses."""
        of_proposals = (PROPOSAL_DOMAIN_ACCURACY,) if self._of_proposals else ()
        return (REVERSAL_WEIGHT, DOMAIN_ACCURACY, *of_proposals)

    def losses(self, source: DomainView, target: DomainView, progress: tf.Tensor) -> dict[str, tf.Tensor]:
        """Losses, already weighted, and measures: scalar float32 [] by name.

        Discriminators learn from the whole gradient of ``domain_image`` and ``domain_proposals``, the detector from its
        reverse, weighted. ``domain_consistency`` is minimised by both (the detector's share is weighted alike).

        Args:
          source: annotated images.
          target: images of the other domain.
          progress: float32 [] in 0..1, the share of the phase's steps that is done.
        """
        settings, weight = self._settings, reversal_weight(progress, self._settings)
        views = (source, target)
        of_images = [self._about_images(view, -weight) for view in views]
        losses = {
            "domain_image": settings.image_weight
            * _mean([_domain_loss(*pair) for pair in zip(*of_images, strict=True)]),
            REVERSAL_WEIGHT: weight,
            DOMAIN_ACCURACY: _mean([_accuracy(*pair) for pair in zip(*of_images, strict=True)]),
        }
        described = [
            self._detector.describe_proposals(view.features, view.valid_height_width, training=True) for view in views
        ]
        there = [proposals for proposals in described if proposals is not None]
        if self._of_proposals is not None and there:
            of_proposals = [_about_proposals(self._of_proposals, proposals, -weight) for proposals in there]
            inconsistencies = [
                _inconsistency(
                    self._about_images(view, weight),
                    _about_proposals(self._of_proposals, proposals, weight),
                )
                for view, proposals in zip(views, there, strict=True)
            ]
            losses |= {
                "domain_proposals": settings.proposal_weight * _domain_loss(*of_proposals),
                "domain_consistency": settings.consistency_weight * _mean(inconsistencies),
                PROPOSAL_DOMAIN_ACCURACY: _accuracy(*of_proposals),
            }
        return losses

    def _about_images(self, view: DomainView, gradient_factor: tf.Tensor) -> list[_Verdict]:
        """What the discriminators say about every location of each level."""
        verdicts = []
        for level, maps in view.features.items():
            rows, columns, channels = (int(side) for side in maps.shape[1:])
            locations = tf.reshape(tf.cast(maps, tf.float32), (-1, rows * columns, channels))  # [B, N, C]
            logits = self._of_levels[level](scale_gradient(locations, gradient_factor))  # [B, N, 1]
            # Locations whose centre is on the image.
            in_rows, in_columns = (
                (tf.range(count, dtype=tf.float32) + 0.5) / count < view.valid_height_width[:, axis, tf.newaxis]
                for axis, count in enumerate((rows, columns))
            )  # [B, h], [B, w]
            inside = tf.reshape(in_rows[:, :, tf.newaxis] & in_columns[:, tf.newaxis], (-1, rows * columns))  # [B, N]
            verdicts.append(_Verdict(logits[..., 0], tf.cast(inside, tf.float32)))
        return verdicts


def _about_proposals(
    discriminator: keras.Sequential, proposals: DescribedProposals, gradient_factor: tf.Tensor
) -> _Verdict:
    logits = discriminator(scale_gradient(proposals.descriptions, gradient_factor))  # [B, P, 1]
    return _Verdict(logits[..., 0], tf.cast(proposals.is_real, tf.float32))


def _discriminator(inputs: int, channels: int, name: str) -> keras.Sequential:
    """[B, N, inputs] -> [B, N, 1]; for the locations of a feature map these are convolutions of 1 x 1."""
    layers = [
        keras.layers.Dense(channels, activation="relu", dtype="float32", name=f"{name}_hidden"),
        keras.layers.Dense(1, dtype="float32", name=f"{name}_logit"),
    ]
    model = keras.Sequential(layers, name=name)
    model.build((None, None, inputs))
    return model


def _mean(values: list[tf.Tensor]) -> tf.Tensor:
    return tf.add_n(values) / len(values)


def _weighted_mean(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights), tf.reduce_sum(weights))


def _domain_loss(source: _Verdict, target: _Verdict) -> tf.Tensor:
    """Binary cross-entropy, each domain as much as the other (Chen et al. 2018, equations 7 and 8)."""
    # -log(1 - sigmoid(x)) and -log(sigmoid(x)).
    of_source = _weighted_mean(tf.nn.softplus(source.logits), source.weights)
    of_target = _weighted_mean(tf.nn.softplus(-target.logits), target.weights)
    return (of_source + of_target) / 2.0


def _accuracy(source: _Verdict, target: _Verdict) -> tf.Tensor:
    """Share that is told right, each domain as much as the other: 0.5 where they are alike."""
    of_source = _weighted_mean(tf.cast(source.logits <= 0.0, tf.float32), source.weights)
    of_target = _weighted_mean(tf.cast(target.logits > 0.0, tf.float32), target.weights)
    return (of_source + of_target) / 2.0


def _inconsistency(images: list[_Verdict], proposals: _Verdict) -> tf.Tensor:
    """Mean distance of the proposals' probabilities from their image's (Chen et al. 2018, equation 9)."""
    of_image = _mean(
        [
            tf.math.divide_no_nan(
                tf.reduce_sum(tf.sigmoid(verdict.logits) * verdict.weights, axis=1),
                tf.reduce_sum(verdict.weights, axis=1),
            )
            for verdict in images
        ]
    )  # [B]
    distances = tf.abs(of_image[:, tf.newaxis] - tf.sigmoid(proposals.logits))  # [B, P]
    return _weighted_mean(distances, proposals.weights)
