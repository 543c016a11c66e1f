"""Exactly k objects of every class, whatever stands beside them."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from components.detector.tiling_settings import TilingSettings
from components.trainer.input.annotated_records import AnnotatedRecords
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.input.record_stream import ordered_records
from components.trainer.input.shots import NotEnoughShotsError, choose_shots, draw_shots, ignoring_classes
from components.transform import features
from schema.label_map import LabelMap

NAMES = {0: "a", 1: "b", 2: "c"}
OBJECTS = st.lists(st.lists(st.integers(-1, 2), max_size=6), max_size=20).map(
    lambda images: {f"image-{number}": classes for number, classes in enumerate(images)}
)


@given(OBJECTS, st.integers(1, 5), st.integers(0, 3))
def test_exactly_k_of_every_class_or_an_error_with_the_counts(
    objects: dict[str, list[int]], shots: int, seed: int
) -> None:
    there = collections.Counter(index for of_image in objects.values() for index in of_image)
    if any(there[index] < shots for index in NAMES):
        with pytest.raises(NotEnoughShotsError) as raised:
            choose_shots(objects, NAMES, shots, seed)
        assert all((f"{name} {there[i]}" in str(raised.value)) == (there[i] < shots) for i, name in NAMES.items())
        return
    drawn = choose_shots(objects, NAMES, shots, seed)
    learnt = [
        index
        for source_id, marks in drawn.items()
        for index, mark in zip(objects[source_id], marks, strict=True)
        if mark
    ]
    assert collections.Counter(learnt) == dict.fromkeys(NAMES, shots)
    assert all(any(marks) for marks in drawn.values())
    # Neither the files nor their order decide.
    assert choose_shots(dict(reversed(objects.items())), NAMES, shots, seed) == drawn


def test_whole_images_are_taken_before_parts_of_images() -> None:
    objects = {f"crowded-{number}": [0, 0, 1] for number in range(20)} | {"x": [0], "y": [1]}
    for seed in range(10):
        assert choose_shots(objects, {0: "a", 1: "b"}, 1, seed) == {"x": [True], "y": [True]}


def test_seeds_draw_differently() -> None:
    objects = {f"image-{number}": [number % 3] for number in range(60)}
    draws = [tuple(sorted(choose_shots(objects, NAMES, 2, seed))) for seed in range(10)]
    assert len(set(draws)) == 10


@pytest.fixture
def records(write_records: Callable[..., str], make_record: Callable[..., bytes], make_square: Any) -> AnnotatedRecords:
    """Twelve images with two objects of one class each, every third with a crowd of the other, in three shards."""
    written = []
    for number in range(12):
        encoded, box, index = make_square(number)
        boxes, classes, crowd = [box, [0.0, 0.0, 0.2, 0.2]], [index, index], [0, 0]
        if number % 3 == 0:
            boxes, classes, crowd = [*boxes, [0.5, 0.5, 0.9, 0.9]], [*classes, 1 - index], [0, 0, 1]
        written.append(make_record(encoded, f"image-{number}", boxes, classes, crowd))
    return AnnotatedRecords([write_records("train", written, shards=3)], parse_clean_records)


def learnt_classes(records: AnnotatedRecords) -> tuple[list[int], int]:
    """0-based classes of the objects that are learnt, and how many images there are."""
    learnt, images = [], 0
    for batch in ordered_records(records.patterns).batch(5):
        parsed = records.parse(batch)
        set_aside = (parsed[features.IS_CROWD] + parsed[features.DIFFICULT]).flat_values
        learnt += tf.boolean_mask(parsed[features.CLASS_INDEX].flat_values, set_aside == 0).numpy().tolist()
        images += len(batch)
    return sorted(learnt), images


def test_the_drawn_records_teach_the_shots_alone(records: AnnotatedRecords, tmp_path: pathlib.Path) -> None:
    folder, label_map = tmp_path / "kept", LabelMap.of_names(["red", "green"])
    assert learnt_classes(draw_shots(records, label_map, 3, 0, str(folder))) == ([0, 0, 0, 1, 1, 1], 4)
    (file,) = folder.iterdir()
    written = file.stat().st_mtime_ns
    again = draw_shots(records, label_map, 3, 0, str(folder))
    assert file.stat().st_mtime_ns == written
    assert learnt_classes(again) == ([0, 0, 0, 1, 1, 1], 4)
    with pytest.raises(NotEnoughShotsError, match="of red 12, green 12"):
        draw_shots(records, label_map, 13, 0, str(tmp_path / "other"))


def test_drawn_records_are_read_as_all_records_are(records: AnnotatedRecords, tmp_path: pathlib.Path) -> None:
    """In tiles, where the detector learns from tiles; a worker's part of each batch."""
    records = dataclasses.replace(records, tiling=TilingSettings(rows=2, columns=2), share=(1, 2))
    drawn = draw_shots(records, LabelMap.of_names(["red", "green"]), 1, 0, str(tmp_path))
    assert (drawn.tiling, drawn.share) == (records.tiling, records.share)


def test_a_class_can_be_ignored(records: AnnotatedRecords) -> None:
    assert learnt_classes(ignoring_classes(records, [1])) == ([0] * 12, 12)
