"""Subsets are nested, have every class where they can, and a profile as ExampleGen would write it."""

from __future__ import annotations

import pathlib

import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from components.trainer.comparison.subsets import nested_order, write_subsets
from components.trainer.training_profile import training_profile


@given(st.lists(st.frozensets(st.sampled_from("abcde")), max_size=30), st.integers(0, 5))
def test_an_order_of_all_images_with_every_class_in_front(classes: list[frozenset[str]], seed: int) -> None:
    order = nested_order(classes, seed)
    assert sorted(order) == list(range(len(classes)))
    there = frozenset().union(*classes)
    in_front = frozenset().union(*(classes[index] for index in order[: len(there)]))
    assert in_front == there


def test_seeds_give_other_orders() -> None:
    classes = [frozenset("a")] * 20
    assert nested_order(classes, 0) == nested_order(classes, 0) != nested_order(classes, 1)


def _records(folder: str) -> set[bytes]:
    return set(tf.data.TFRecordDataset(f"{folder}/Split-train/records.gz", "GZIP").as_numpy_iterator())


def test_small_sets_are_parts_of_larger_ones(squares, tmp_path: pathlib.Path) -> None:
    patterns = [squares("train", 12)]
    folders = write_subsets(patterns, [2, 5], 2, tmp_path / "subsets")
    small, large = (_records(folders[0, size]) for size in (2, 5))
    assert (len(small), len(large)) == (2, 5)
    assert small < large
    assert large != _records(folders[1, 5])
    profile = training_profile([f"{folders[0, 2]}/Split-train/*"])
    assert profile.images == 2
    assert profile.class_counts == {"green": 1, "red": 1}

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "subsets").rglob("*.gz")}
    assert write_subsets(patterns, [2, 5], 2, tmp_path / "subsets") == folders
    assert {path: path.stat().st_mtime_ns for path in before} == before
