"""Layers by depth and by expression, and their learning rates."""

from __future__ import annotations

import pytest

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.trainer.strategies.settings.fine_tune import LearningLayers
from components.trainer.strategies.trainable_layers import learning_rate_factors, set_trainable


@pytest.fixture(scope="module")
def detector() -> Detector:
    return build_detector(
        "ssd_mobilenet_v2_fpnlite", num_classes=2, image_size=(64, 64), alpha=0.35, fpn_depth=16, num_head_layers=1
    )


def learning(detector: Detector) -> set[str]:
    return {variable.path for variable in detector.trainable_variables}


def test_an_expression_freezes_wherever_it_is_found(detector: Detector) -> None:
    set_trainable(detector, LearningLayers())
    everything = learning(detector)
    set_trainable(detector, LearningLayers(freeze=("_head$", "^block_1_")))
    frozen = {path.split("/")[0] for path in everything - learning(detector)}
    assert {"class_head", "box_head", "block_1_expand", "block_1_project_BN"} <= frozen
    assert all(name.endswith("_head") or name.startswith("block_1_") for name in frozen)


def test_an_expression_learns_although_the_depth_froze_it(detector: Detector) -> None:
    set_trainable(detector, LearningLayers(trainable="heads"))
    heads = learning(detector)
    set_trainable(detector, LearningLayers(trainable="heads", learn=("_BN$",), freeze=("block_2_",)))
    also = {path.split("/")[0] for path in learning(detector) - heads}
    assert {"block_1_expand_BN", "block_16_project_BN"} <= also
    assert all(name.endswith("_BN") and not name.startswith("block_2_") for name in also)
    # Each says anew what learns.
    set_trainable(detector, LearningLayers(trainable="heads"))
    assert learning(detector) == heads


@pytest.mark.parametrize("key", ["learn", "freeze"])
def test_an_expression_that_fits_nothing_names_near_layers(detector: Detector, key: str) -> None:
    with pytest.raises(ValueError, match=rf"transfer.{key}: 'blok_12_expand' .* near are 'block_12_expand'"):
        set_trainable(detector, LearningLayers.model_validate({key: ("blok_12_expand",)}))


def test_nothing_that_learns_is_refused(detector: Detector) -> None:
    with pytest.raises(ValueError, match=r"nothing is left to learn with .*'freeze': "):
        set_trainable(detector, LearningLayers(freeze=(".",)))


def test_the_first_part_that_fits_gives_the_factor(detector: Detector) -> None:
    set_trainable(detector, LearningLayers())
    factors = dict(
        zip(
            [variable.path for variable in detector.trainable_variables],
            learning_rate_factors(detector, {"^block_16_": 0.5, "backbone": 0.1, "class_head": 3.0}, 1.0),
            strict=True,
        )
    )
    assert factors["block_16_project/kernel"] == 0.5
    assert factors["Conv1/kernel"] == factors["block_15_project_BN/gamma"] == 0.1
    assert factors["class_head/pointwise_kernel"] == 3.0
    assert factors["box_head/pointwise_kernel"] == 1.0


def test_the_rate_grows_by_the_same_factor_from_layer_to_layer(detector: Detector) -> None:
    set_trainable(detector, LearningLayers(freeze=("^Conv1$",)))
    paths = [variable.path for variable in detector.trainable_variables]
    factors = dict(zip(paths, learning_rate_factors(detector, {"heads": 2.0}, 0.01), strict=True))
    assert "Conv1/kernel" not in factors
    names = [layer.name for layer in detector.backbone_layers]
    for name, other in (("bn_Conv1", "block_3_expand"), ("block_3_expand", "block_16_project")):
        between = names.index(other) - names.index(name)
        kernel = {n: next(f for path, f in factors.items() if path.startswith(f"{n}/")) for n in (name, other)}
        assert kernel[other] / kernel[name] == pytest.approx(100.0 ** (between / (len(names) - 1)))
    assert factors["class_head/pointwise_kernel"] == 2.0


def test_a_rate_for_nothing_names_near_layers(detector: Detector) -> None:
    with pytest.raises(ValueError, match=r"transfer.learning_rates: 'clas_head' .* near are 'class_head'"):
        learning_rate_factors(detector, {"clas_head": 0.1}, 1.0)
    with pytest.raises(ValueError, match=r"'bakbone' .* near are 'backbone'"):
        learning_rate_factors(detector, {"bakbone": 0.1}, 1.0)
