"""Rows on the disk: read as they were written, in any order; what was not committed is not there."""

from __future__ import annotations

import pathlib
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis.extra import numpy as numpy_strategies

from components.trainer.input.feature_store import BOX_COLUMNS, FeatureStore, remove_folder

LEVELS = {"level_3": (4, 3, 2), "level_4": (2, 2, 5)}
BOXES = numpy_strategies.arrays(
    np.float32,
    st.tuples(st.integers(0, 4), st.just(BOX_COLUMNS)),
    elements=st.floats(-1, 1, width=32),
)


def image(number: int, boxes: int) -> dict[str, Any]:
    random = np.random.default_rng(number)
    return {
        "features": {level: random.normal(size=(1, *shape)).astype(np.float16) for level, shape in LEVELS.items()},
        "valid_height_width": random.uniform(size=(1, 2)).astype(np.float32),
        "boxes": [random.uniform(size=(boxes, BOX_COLUMNS)).astype(np.float32)],
    }


@pytest.fixture
def store(tmp_path: pathlib.Path) -> FeatureStore:
    return FeatureStore(tmp_path / "rows", LEVELS, "float16")


def write(store: FeatureStore, counts: list[int], *, first: int = 0, complete: bool = False) -> None:
    with store.writer() as writer:
        for number, count in enumerate(counts, start=first):
            writer.append(**image(number, count))
        writer.commit(complete)


def assert_row(store: FeatureStore, row: int, boxes: int) -> None:
    found, expected = store.read([row]), image(row, boxes)
    for level, values in expected["features"].items():
        np.testing.assert_array_equal(found.features[level], values)
    np.testing.assert_array_equal(found.valid_height_width, expected["valid_height_width"])
    np.testing.assert_array_equal(found.boxes[0], expected["boxes"][0])


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(boxes=st.lists(BOXES, min_size=1, max_size=5))
def test_boxes_come_back(tmp_path_factory: pytest.TempPathFactory, boxes: list[np.ndarray]) -> None:
    store = FeatureStore(tmp_path_factory.mktemp("rows"), {"level_5": (1, 1, 1)}, "float32")
    with store.writer() as writer:
        writer.append({"level_5": np.zeros((len(boxes), 1, 1, 1))}, np.ones((len(boxes), 2), np.float32), boxes)
        writer.commit(complete=True)
    backwards = range(len(boxes) - 1, -1, -1)
    for found, row in zip(store.read(backwards).boxes, backwards, strict=True):
        np.testing.assert_array_equal(found, boxes[row])


def test_what_is_behind_the_last_commit_is_not_there(store: FeatureStore) -> None:
    assert store.progress() == (0, False)
    write(store, [2, 0])
    with store.writer() as writer:
        writer.append(**image(7, 3))
    assert store.progress() == (2, False)
    write(store, [1], first=2, complete=True)
    assert store.progress() == (3, True)
    for row, boxes in enumerate([2, 0, 1]):
        assert_row(store, row, boxes)
    assert sum(file.stat().st_size for file in store.folder.glob("*.bin")) == 3 * (store.row_bytes + 4 * BOX_COLUMNS)


@pytest.mark.parametrize("damaged", ["level_3.bin", "boxes.bin", "progress.json"])
def test_a_file_that_is_short_makes_it_nothing(store: FeatureStore, damaged: str) -> None:
    write(store, [2, 1], complete=True)
    path = store.folder / damaged
    path.write_bytes(path.read_bytes()[:-3])
    assert store.progress() == (0, False)
    write(store, [2, 1], complete=True)
    assert_row(store, 1, 1)


def test_a_folder_that_is_gone_is_made_anew(store: FeatureStore) -> None:
    write(store, [2], complete=True)
    remove_folder(store.folder)
    assert store.progress() == (0, False)
    write(store, [0], complete=True)
    assert_row(store, 0, 0)
