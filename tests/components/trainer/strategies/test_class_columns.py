"""Where novel classes start, and what learns how fast."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.trainer.strategies.class_columns import column_rates, start_from_other_classes

_CLASSES = 4
_NOVEL = [1, 3]


@pytest.fixture(params=["ssd_mobilenet_v2_fpnlite", "faster_rcnn_resnet50"])
def detector(request: pytest.FixtureRequest) -> Detector:
    keras.utils.set_random_seed(0)
    options = {
        "ssd_mobilenet_v2_fpnlite": {"alpha": 0.35, "fpn_depth": 16, "num_head_layers": 1},
        # With boxes of single classes.
        "faster_rcnn_resnet50": {
            "blocks": (1, 1, 1, 1), "width": 0.125, "proposal_depth": 8, "share_box_across_classes": False
        },
    }[request.param]  # fmt: skip
    made = build_detector(request.param, num_classes=_CLASSES, image_size=(64, 64), class_head="cosine", **options)
    for number, key in enumerate(made.class_rows()):
        variable = made.zoo_variables()[key]
        variable.assign(keras.random.normal(variable.shape, mean=1.0, seed=number))
    return made


def test_a_class_starts_from_what_the_others_have_in_common(detector: Detector) -> None:
    before = {key: np.array(variable) for key, variable in detector.zoo_variables().items()}
    start_from_other_classes(detector, _NOVEL, [0, 2])
    rows_by_key = detector.class_rows()
    for key, variable in detector.zoo_variables().items():
        if key not in rows_by_key:
            np.testing.assert_array_equal(np.array(variable), before[key])
            continue
        groups, background, values = rows_by_key[key]
        shape = (-1, groups, background + _CLASSES, values)
        old, new = before[key].reshape(shape), np.array(variable).reshape(shape)
        others, kept = [background, background + 2], [*range(background), background, background + 2]
        np.testing.assert_allclose(new[:, :, kept], old[:, :, kept], rtol=1e-6)
        first, second = (old[:, :, each] for each in others)
        for novel in _NOVEL:
            found = new[:, :, background + novel]
            if "/_class_predictor_layers/" in key and not key.endswith("bias"):
                lengths = [np.linalg.norm(one, axis=0) for one in (first, second)]
                np.testing.assert_allclose(np.linalg.norm(found, axis=0), np.mean(lengths, axis=0), rtol=1e-5)
                cosines = [
                    (found * one).sum(axis=0) / np.linalg.norm(found, axis=0) / length
                    for one, length in zip((first, second), lengths, strict=True)
                ]
                # The mean direction of two lies in the middle between them.
                np.testing.assert_allclose(cosines[0], cosines[1], rtol=1e-4)
            else:
                np.testing.assert_allclose(found, (first + second) / 2, rtol=1e-5)


def test_a_column_of_no_class_says_nothing(detector: Detector) -> None:
    """Ids need not be dense: index 1 is no class here, and its column has learnt that nothing is an object of it."""
    before = {key: np.array(detector.zoo_variables()[key]) for key in detector.class_rows()}
    start_from_other_classes(detector, [3], [0, 2])
    with_hole = {key: np.array(detector.zoo_variables()[key]) for key in before}
    for key, (_, background, values) in detector.class_rows().items():
        columns = before[key].reshape(*before[key].shape[:-1], -1, background + _CLASSES, values)
        columns[..., background + 1, :] = -100.0
        detector.zoo_variables()[key].assign(columns.reshape(before[key].shape))
    start_from_other_classes(detector, [3], [0, 2])
    for key, (_, background, values) in detector.class_rows().items():
        shape = (-1, background + _CLASSES, values)
        found = np.array(detector.zoo_variables()[key]).reshape(*before[key].shape[:-1], *shape)
        expected = with_hole[key].reshape(found.shape)
        np.testing.assert_array_equal(found[..., background + 3, :], expected[..., background + 3, :])


def test_only_columns_of_the_classes_learn_at_full_rate(detector: Detector) -> None:
    variables = [variable for layer in detector.prediction_layers for variable in layer.variables]
    rates = column_rates(detector, variables, _NOVEL, 0.25)
    rows_by_id = {id(detector.zoo_variables()[key]): rows for key, rows in detector.class_rows().items()}
    for variable, rate in zip(variables, rates, strict=True):
        if id(variable) not in rows_by_id:
            assert rate == 0.25
            continue
        groups, background, values = rows_by_id[id(variable)]
        own = np.full((groups, background + _CLASSES, values), 0.25, np.float32)
        own[:, [background + 1, background + 3]] = 1.0
        np.testing.assert_array_equal(rate, own.reshape(variable.shape[-1]))
