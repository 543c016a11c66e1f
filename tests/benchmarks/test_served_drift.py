"""What the benchmark of drift makes of scenes and of what is said of them."""

from __future__ import annotations

import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from benchmarks import served_drift
from benchmarks.served_drift import FIGURES, HOME, Draw, Pool
from demo.signs import SIGN_CLASSES
from pipeline.cluster_settings import DriftSettings
from pipeline.served_drift.measured_images import MeasuredImages
from pipeline.served_drift.seen_images import Found


def test_a_scene_has_its_truth_and_the_weather_that_is_asked_for() -> None:
    day, night = (served_drift.scenes(2, seed=5, weather="clear", time_of_day=time) for time in ("day", "night"))
    for light, dark in zip(day, night, strict=True):
        assert np.array_equal(light.truth.boxes_yxyx_normalized, dark.truth.boxes_yxyx_normalized)
        assert set(light.truth.class_names) <= set(SIGN_CLASSES)
        assert np.all((light.truth.boxes_yxyx_normalized >= 0) & (light.truth.boxes_yxyx_normalized <= 1))
        means = [np.asarray(Image.open(io.BytesIO(scene.encoded))).mean() for scene in (dark, light)]
        assert means[0] < means[1]


def test_records_are_read_as_they_were_written(tmp_path: pathlib.Path) -> None:
    import tensorflow as tf

    from components.transform import features as transformed

    drawn = served_drift.scenes(3, seed=5)
    records = served_drift.write_records(tmp_path / "records.gz", drawn)
    serialized = tf.data.TFRecordDataset(list(records.patterns), "GZIP").batch(3).get_single_element()
    parsed = records.parse(serialized)
    for number, scene in enumerate(drawn):
        boxes = parsed[transformed.BOXES_YXYX][number].numpy()
        assert boxes == pytest.approx(scene.truth.boxes_yxyx_normalized)
        names = tuple(SIGN_CLASSES[index] for index in parsed[transformed.CLASS_INDEX][number].numpy())
        assert names == scene.truth.class_names


def _draw(beyond: set[str], true: float, estimated: float, by_agreement: float) -> Draw:
    return Draw(dict.fromkeys(FIGURES, 0.0), frozenset(beyond), true, estimated, by_agreement)


def test_shares_and_errors() -> None:
    made = [_draw({"brightness", "embedding"}, 0.8, 0.9, 0.8), _draw(set(), 0.6, 0.7, 0.5)]
    assert served_drift.shares(made) == ["0.50", "0.50", "0.00", "0.00", "0.00", "0.00", "0.50", "0.00"]
    assert served_drift.errors(made) == ["0.700", "0.800 (0.100)", "0.650 (0.071)"]


def _pool(count: int) -> Pool:
    """Images whose brightness is their number."""
    found = tuple(Found(np.array([[0.1, 0.1, 0.5, 0.5]]), ("stop",), np.array([0.9])) for _ in range(count))
    statistics = np.repeat(np.arange(count, dtype=np.float64)[:, None], 4, axis=1)
    return Pool(MeasuredImages(statistics, found, None, "", found), found)


def test_sets_of_a_draw_have_no_image_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Pool, Pool]] = []

    def judged(home: Pool, away: Pool, limits: DriftSettings) -> Draw:
        seen.append((home, away))
        return _draw(set(), 1, 1, 1)

    monkeypatch.setattr(served_drift, "judged", judged)
    served_drift.draws(_pool(170), None, 50, 3, DriftSettings())
    for home, away in seen:
        ours, theirs = (set(side.images.statistics[:, 0].tolist()) for side in (home, away))
        assert (len(ours), len(theirs)) == (HOME, 50)
        assert not ours & theirs


def test_a_model_that_sees_everything_is_estimated_so() -> None:
    draw = served_drift.judged(_pool(20), _pool(20), DriftSettings())
    assert (draw.true, draw.estimated, draw.by_agreement) == pytest.approx((1, 1, 1))
    assert draw.beyond == frozenset()
