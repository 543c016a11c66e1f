"""Whose anchors a detector gets: the user's, those its start weights have learnt with, or the data's."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pydantic
import pytest

from components.data_profile import SplitProfile
from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.detector.tiling_settings import TilingSettings
from components.trainer.anchor_choice import choose_anchors
from components.trainer.settings import ModelSettings
from components.trainer.training_plan import TrainingPlan
from schema.exported_model import DESCRIPTION_FILE
from tests.tiny_detectors import TINY_DETECTORS

PUBLISHED = {"anchor_scale": 4.0, "anchor_aspect_ratios": (1.0, 2.0, 0.5)}


@pytest.fixture
def profile() -> SplitProfile:
    """Boxes of 8 x 8 pixels on a canvas of 64 x 64."""
    counted = SplitProfile()
    for _ in range(3):
        counted.add(["sign"], [(0.5, 0.5, 0.625, 0.625)], height_pixels=480, width_pixels=640)
    return counted


@pytest.fixture
def fresh(detector: Detector) -> Detector:
    published = detector.options.model_copy(update=dict.fromkeys(PUBLISHED))
    detector.use_anchors(published)
    return detector


def pushed(folder: pathlib.Path, detector: str, **options: object) -> str:
    path = folder / DESCRIPTION_FILE
    path.parent.mkdir(parents=True)
    description = {"detector": detector, "num_classes": 1, "image_size": [64, 64], "options": options}
    path.write_text(json.dumps({**description, "label_map": [[1, "sign"]]}))
    return str(folder)


def zoo(folder: pathlib.Path) -> str:
    folder.mkdir()
    (folder / "ckpt-0.index").write_bytes(b"")
    return str(folder)


@pytest.mark.parametrize("pretrained", ["imagenet", None])
def test_without_heads_that_learnt_the_data_decide(
    fresh: Detector, profile: SplitProfile, pretrained: str | None
) -> None:
    anchors = fresh.anchors_yxyx_normalized
    chosen = choose_anchors(fresh, ModelSettings(pretrained=pretrained), profile)
    assert chosen.origin == "for the boxes of the training images"
    assert chosen.options["anchor_scale"] < 2.0
    assert chosen.options == fresh.options.anchors
    assert not np.array_equal(anchors, fresh.anchors_yxyx_normalized)
    assert chosen.published is not None and chosen.used is not None
    assert chosen.used.recall > chosen.published.recall


def test_zoo_heads_keep_the_published_anchors(fresh: Detector, profile: SplitProfile, tmp_path: pathlib.Path) -> None:
    anchors = fresh.anchors_yxyx_normalized
    source = zoo(tmp_path / "zoo")
    chosen = choose_anchors(fresh, ModelSettings(pretrained=source), profile)
    assert (chosen.origin, chosen.options) == ("of the start weights' heads", PUBLISHED)
    np.testing.assert_array_equal(anchors, fresh.anchors_yxyx_normalized)
    assert choose_anchors(fresh, ModelSettings(pretrained=source, anchors="data"), profile).options != PUBLISHED


def test_a_warm_start_keeps_the_anchors_of_the_blessed_model(
    fresh: Detector, profile: SplitProfile, tmp_path: pathlib.Path
) -> None:
    blessed = pushed(tmp_path / "1", "ssd_mobilenet_v2_fpnlite", anchor_scale=3.0, alpha=0.35)
    chosen = choose_anchors(fresh, ModelSettings(pretrained="imagenet"), profile, blessed)
    assert chosen.options == {"anchor_scale": 3.0, "anchor_aspect_ratios": (1.0, 2.0, 0.5)}
    assert fresh.recipe["anchor_scale"] == 3.0
    other = pushed(tmp_path / "2", "ssd_mobilenet_v2", alpha=0.35)
    assert "boxes" in choose_anchors(fresh, ModelSettings(pretrained="imagenet"), profile, other).origin


def test_what_the_user_says_stands(fresh: Detector, profile: SplitProfile, tmp_path: pathlib.Path) -> None:
    given = ModelSettings(options={"anchor_scale": 5.0})
    blessed = pushed(tmp_path / "1", "ssd_mobilenet_v2_fpnlite", anchor_scale=3.0)
    assert choose_anchors(fresh, given, profile, blessed).options["anchor_scale"] == 5.0
    fresh.use_anchors(fresh.options.model_copy(update=dict.fromkeys(PUBLISHED)))
    assert choose_anchors(fresh, ModelSettings(anchors="options"), profile).options == PUBLISHED
    with pytest.raises(pydantic.ValidationError, match=r"data chooses what options gives \(anchor_scale\)"):
        ModelSettings(anchors="data", options={"anchor_scale": 5.0})


def test_a_plan_tells_recall_before_and_after(fresh: Detector, profile: SplitProfile) -> None:
    chosen = choose_anchors(fresh, ModelSettings(), profile)
    plan = TrainingPlan(600, 8, 30.0, "adam", 1e-3, 0.966, chosen)
    again = TrainingPlan.from_json(plan.to_json())
    assert again.lines() == plan.lines()
    assert plan.lines()[0] == (
        "600 steps of 8 images, 30 epochs; adam, learning rate up to 0.001; momentum of batch normalisation 0.966"
    )
    assert "best possible recall at IoU 0.5" in plan.lines()[2]
    assert TrainingPlan(600, 8, 0.0, "adam", 1e-3, 0.9, choose_anchors(fresh, ModelSettings(), SplitProfile())).lines()


def test_without_anchors_there_is_nothing_to_choose(profile: SplitProfile) -> None:
    settings = ModelSettings(detector="dfine_nano", pretrained=None)
    built = build_detector("dfine_nano", num_classes=1, image_size=(64, 64), **TINY_DETECTORS["dfine_nano"])
    assert built.anchor_levels(built.options) == []
    assert choose_anchors(built, settings, profile) is None
    plan = TrainingPlan(600, 8, 30.0, "adam", 2e-4, 0.966, None)
    assert TrainingPlan.from_json(plan.to_json()) == plan
    assert plan.lines()[1] == "no anchors: this detector finds objects without"


def test_boxes_are_larger_on_tiles(fresh: Detector, profile: SplitProfile) -> None:
    whole = choose_anchors(fresh, ModelSettings(pretrained=None), profile).options["anchor_scale"]
    tiling = TilingSettings(rows=2, columns=2, overlap=0.0)
    tiled = choose_anchors(fresh, ModelSettings(pretrained=None, tiling=tiling), profile).options["anchor_scale"]
    assert tiled == pytest.approx(2 * whole, rel=0.3)
