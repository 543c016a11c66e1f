"""Smaller training sets: the first images of one shuffled order, so that 25 are among the 50 and these among the 100.

Every class is there from the first images on, as far as they reach: an image of each class, the rarest first, stands
before the rest of the order.
"""

from __future__ import annotations

import collections
import contextlib
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

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


def class_names_of(record: bytes) -> frozenset[str]:
    """The classes of a serialised record's objects."""
    values = tf.train.Example.FromString(record).features.feature[features.OBJECT_CLASS_TEXT].bytes_list.value
    return frozenset(value.decode("utf-8", "replace") for value in values)


def write_subsets(patterns: Sequence[str], sizes: Sequence[int], seeds: int, folder: pathlib.Path) -> list[list[str]]:
    """Writes every subset of a split as a record file; those that are there are left alone.

    Args:
      patterns: globs of gzipped TFRecord files of the split.
      sizes: images of each subset, at most those of the split.
      seeds: how many orders.
      folder: receives the files; records of other data have another one.

    Returns:
      The file of each size by seed: ``files[seed][nth size]``.
    """
    files = [[folder / f"{size}-{seed}.gz" for size in sizes] for seed in range(seeds)]
    missing = [seed for seed in range(seeds) if not all(file.exists() for file in files[seed])]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        classes = [class_names_of(record) for record in ordered_records(patterns).as_numpy_iterator()]
        # Where an image stands in the order says in which subsets it is.
        places = {seed: {index: place for place, index in enumerate(nested_order(classes, seed))} for seed in missing}
        with contextlib.ExitStack() as stack:
            writers = {
                (seed, size): stack.enter_context(tf.io.TFRecordWriter(f"{file}.partial", "GZIP"))
                for seed in missing
                for size, file in zip(sizes, files[seed], strict=True)
            }
            for index, record in enumerate(ordered_records(patterns).as_numpy_iterator()):
                for (seed, size), writer in writers.items():
                    if places[seed][index] < size:
                        writer.write(record)
        for seed in missing:
            for file in files[seed]:
                pathlib.Path(f"{file}.partial").replace(file)
    return [[str(file) for file in of_seed] for of_seed in files]
