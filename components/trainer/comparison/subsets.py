"""Smaller training sets: the first images of one shuffled order, so that 25 are among the 50 and these among the 100.

Every class is there from the first images on, as far as they reach: an image of each class, the rarest first, stands
before the rest of the order.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.data_profile import DATA_PROFILE_FILE, DataProfile, SplitProfile
from components.trainer.input.record_stream import ordered_records
from schema import features


def nested_order(classes: Sequence[frozenset[str]], seed: int) -> list[int]:
    """Indices of images in the order in which they join a training set.

    Args:
      classes: of the objects in each image.
      seed: decides the order.
    """
    order = np.random.default_rng(seed).permutation(len(classes)).tolist()
    counts = collections.Counter(name for names in classes for name in names)
    first: list[int] = []
    seen: set[str] = set()
    for name in sorted(counts, key=lambda name: (counts[name], name)):
        if name not in seen:
            index = next(index for index in order if name in classes[index])
            first.append(index)
            seen |= classes[index]
    taken = set(first)
    return [*first, *(index for index in order if index not in taken)]


def write_subsets(
    patterns: Sequence[str], sizes: Sequence[int], seeds: int, folder: pathlib.Path
) -> dict[tuple[int, int], str]:
    """Writes every subset of a split as ExampleGen would: records and data profile; those that are there stay.

    Args:
      patterns: globs of gzipped TFRecord files of the split.
      sizes: images of each subset, at most those of the split.
      seeds: how many orders.
      folder: receives a folder for each subset; records of other data have another one.

    Returns:
      The folder of each subset, which holds a split ``train``, by seed and size.
    """
    folders = {(seed, size): folder / f"{size}-{seed}" for seed in range(seeds) for size in sizes}
    missing = [key for key, of_subset in folders.items() if not of_subset.exists()]
    if missing:
        classes = [_classes(record) for record in ordered_records(patterns).as_numpy_iterator()]
        # Where an image stands in the order says in which subsets it is.
        places = {seed: np.argsort(nested_order(classes, seed)) for seed in {seed for seed, _ in missing}}
        partial = {key: folders[key].with_suffix(".partial") for key in missing}
        profiles = {key: SplitProfile() for key in missing}
        with contextlib.ExitStack() as stack:
            writers = {}
            for key, of_subset in partial.items():
                (of_subset / "Split-train").mkdir(parents=True, exist_ok=True)
                path = str(of_subset / "Split-train" / "records.gz")
                writers[key] = stack.enter_context(tf.io.TFRecordWriter(path, "GZIP"))
            for index, record in enumerate(ordered_records(patterns).as_numpy_iterator()):
                for seed, size in missing:
                    if places[seed][index] < size:
                        writers[seed, size].write(record)
                        _count(record, profiles[seed, size])
        for key, of_subset in partial.items():
            (of_subset / DATA_PROFILE_FILE).write_text(DataProfile({"train": profiles[key]}).to_json())
            of_subset.rename(folders[key])
    return {key: str(of_subset) for key, of_subset in folders.items()}


def _features(record: bytes) -> Any:
    return tf.train.Example.FromString(record).features.feature


def _texts(feature: Any) -> list[str]:
    return [value.decode("utf-8", "replace") for value in feature[features.OBJECT_CLASS_TEXT].bytes_list.value]


def _classes(record: bytes) -> frozenset[str]:
    return frozenset(_texts(_features(record)))


def _count(record: bytes, profile: SplitProfile) -> None:
    feature = _features(record)
    yxyx = [feature[key].float_list.value for key in features.BOX_KEYS_YXYX]
    flags = [feature[key].int64_list.value for key in (features.OBJECT_IS_CROWD, features.OBJECT_DIFFICULT)]
    profile.add(
        _texts(feature),
        np.stack([yxyx[1], yxyx[0], yxyx[3], yxyx[2]], axis=-1),
        height_pixels=feature[features.IMAGE_HEIGHT].int64_list.value[0],
        width_pixels=feature[features.IMAGE_WIDTH].int64_list.value[0],
        set_aside=sum(map(any, itertools.zip_longest(*flags))),
    )
