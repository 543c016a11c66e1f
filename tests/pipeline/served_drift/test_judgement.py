"""Two measured sets of images: what is beyond which limit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.cluster_settings import DriftSettings
from pipeline.served_drift.distances import ks_by_chance
from pipeline.served_drift.judgement import Judgement, compare
from pipeline.served_drift.measured_images import MeasuredImages
from pipeline.served_drift.seen_images import Found

BOX = (0.1, 0.1, 0.5, 0.5)


def _found(score: float) -> Found:
    return Found(np.array([BOX]), ("stop",), np.array([score]))


def _nothing() -> Found:
    return Found(np.zeros((0, 4)), (), np.zeros(0))


def _measured(count: int, *, seed: int = 0, brighter: float = 0.0, found_share: float = 1.0) -> MeasuredImages:
    random = np.random.default_rng(seed)
    found = tuple(_found(0.9) if number < found_share * count else _nothing() for number in range(count))
    statistics = random.normal(size=(count, 4))
    statistics[:, 0] += brighter
    return MeasuredImages(statistics, found, None, "made elsewhere", found)


def _compare(away: MeasuredImages, home: int = 100, **limits: float) -> Judgement:
    return compare(_measured(home), [_found(1.0)] * home, away, DriftSettings.model_validate(limits))


def test_the_same_kind_is_no_drift() -> None:
    assert not _compare(_measured(100, seed=1)).has_drifted


def test_what_is_brighter_is_drift_by_that_figure_alone() -> None:
    judgement = _compare(_measured(100, seed=1, brighter=2.0))
    assert [figure.name for figure in judgement.figures if figure.is_beyond] == ["brightness"]


@pytest.mark.parametrize(("count", "setting"), [(20, 0.1), (100, 0.1), (100, 0.6)])
def test_no_limit_is_below_chance(count: int, setting: float) -> None:
    judgement = _compare(_measured(count), max_image_distance=setting)
    (limit,) = [figure.limit for figure in judgement.figures if figure.name == "brightness"]
    assert limit == max(setting, ks_by_chance(100, count))


def test_half_of_what_was_found_is_found_no_more() -> None:
    judgement = _compare(_measured(100, seed=1, found_share=0.5))
    figures = {figure.name: figure for figure in judgement.figures}
    assert figures["AP50 measured at home"].value == pytest.approx(1)
    assert figures["AP50 drop"].value == pytest.approx(0.5, abs=0.02)
    assert figures["AP50 drop"].is_beyond
    assert figures["AP50 estimated"].value == pytest.approx(0.5, abs=0.02)


def test_what_cannot_be_embedded_is_unknown_and_no_drift() -> None:
    judgement = _compare(_measured(100, seed=1))
    (embedding,) = [figure for figure in judgement.figures if figure.name == "embedding"]
    assert math.isnan(embedding.value)
    assert not embedding.is_beyond
    assert embedding.detail == "made elsewhere"
    assert judgement.to_json()["embedding"]["value"] is None
