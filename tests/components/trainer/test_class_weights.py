"""Factors of classes, against scikit-learn's and the paper's, and what they do in the losses of every detector."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from components.detector.registry import build_detector
from components.detector.structures import GroundTruth
from components.trainer.class_weights import ClassWeightsError, class_weights
from schema.label_map import LabelMap
from tests.tiny_detectors import TINY_DETECTORS

LABEL_MAP = LabelMap((1, 2, 4), ("bus", "car", "tram"))
COUNTS = st.fixed_dictionaries(dict.fromkeys(LABEL_MAP.names, st.integers(1, 60)))


@given(COUNTS)
def test_balanced_is_scikit_learns(counts: dict[str, int]) -> None:
    labels = [name for name, count in counts.items() for _ in range(count)]
    expected = compute_class_weight("balanced", classes=np.array(LABEL_MAP.names), y=labels)
    np.testing.assert_allclose(class_weights("balanced", counts, LABEL_MAP)[[0, 1, 3]], expected, rtol=1e-6)


@given(COUNTS)
def test_effective_number_is_the_papers(counts: dict[str, int]) -> None:
    # (1 - b) / (1 - b^n) is 1 / (1 + b + ... + b^(n - 1)).
    inverse = np.array([1.0 / sum(0.999**i for i in range(counts[name])) for name in LABEL_MAP.names])
    expected = inverse / inverse.mean()
    np.testing.assert_allclose(class_weights("effective_number", counts, LABEL_MAP)[[0, 1, 3]], expected, rtol=1e-5)


def test_by_name_and_without_boxes() -> None:
    np.testing.assert_allclose(class_weights({"car": 3.0}, {}, LABEL_MAP), [1, 3, 1, 1])
    np.testing.assert_allclose(class_weights("balanced", {"bus": 1, "car": 3}, LABEL_MAP), [2, 2 / 3, 1, 1], rtol=1e-6)
    with pytest.raises(ClassWeightsError, match="no class 'cars'; did you mean 'car'"):
        class_weights({"cars": 3.0}, {}, LABEL_MAP)


@pytest.mark.parametrize("name", ["ssd_mobilenet_v2_fpnlite", "efficientdet_d0", "faster_rcnn_resnet50", "dfine_nano"])
def test_weights_scale_the_classification_loss_of_objects_alone(name: str) -> None:
    """The loss is linear in the weights: of a factor f it is the background's part and f times the objects'."""
    options = {**TINY_DETECTORS[name], **({"seed": 3} if "rcnn" in name else {})}
    size = 128 if "efficientdet" in name else 64
    detector = build_detector(name, num_classes=2, image_size=(size, size), **options)
    truth = GroundTruth(
        tf.constant([[[0.1, 0.1, 0.6, 0.6], [0.0, 0.0, 0.0, 0.0]]]),
        tf.constant([[1, -1]]),
        tf.constant([[1.0, 0.0]]),
        tf.ones((1, 2)),
    )
    features = detector.features(tf.random.stateless_uniform((1, size, size, 3), (1, 2)), training=False)

    def losses(weights: list[float] | None) -> dict[str, float]:
        detector.class_weights = None if weights is None else np.array(weights, np.float32)
        for seed in (getattr(detector, part, None) for part in ("sampling_seed", "denoising_seed")):
            if seed is not None:
                seed.state.assign([3, 0])
        parts = detector.head_losses(features, truth)
        return {key: float(value) for key, value in parts.items()}

    plain, other, twice, thrice = losses(None), losses([5.0, 1.0]), losses([1.0, 2.0]), losses([1.0, 3.0])
    assert other == pytest.approx(plain, rel=1e-5)
    step = twice["classification"] - plain["classification"]
    assert thrice["classification"] == pytest.approx(plain["classification"] + 2 * step, rel=1e-4, abs=1e-6)
    assert step >= 0.0
    if "rcnn" not in name:  # whose proposals, untrained, need not meet the object
        assert step > 1e-3
    assert {**twice, "classification": 0.0} == pytest.approx({**plain, "classification": 0.0}, rel=1e-5)
