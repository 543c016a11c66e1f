"""The classes that a detector learns: those of a given label map or, without one, all of the analysed split.

``ClassNamesAnalyzer`` is the Beam transform that Transform runs over the analysed split, because the graph that turns
names into indices is made of its result. Everything else there is to know about the data is in its profile.
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
from apache_beam.io import filesystems
from tensorflow_transform.beam.experimental import PTransformAnalyzer

from components.transform.features import CLASS_NAMES_ASSET, LABEL_MAP_ASSET
from components.user_error import UserError
from schema.label_map import LabelMap


class NoObjectsError(UserError):
    """Nothing to learn: the analysed split holds no object of any class."""


def _names(batch: tuple[npt.NDArray[Any], ...]) -> set[str]:
    """Names in a batch of names [N] and whether they are usable [N]."""
    names, usable = batch
    return {name.decode("utf-8", "replace") for name in names[usable.astype(bool)].tolist()} - {""}


def _label_map(seen: set[str]) -> LabelMap:
    if not seen:
        raise NoObjectsError(
            "Transform found no object with a usable box and a class name in the analysed split (train). Check the "
            "annotation paths in the section `data` of the config and the findings of ExampleGen, or give a "
            "`data.label_map`."
        )
    broken = [name for name in sorted(seen) if "\n" in name or "\r" in name]
    if broken:
        raise ValueError(f"class names must be one line each, found {broken[0]!r} in image/object/class/text")
    return LabelMap.of_names(sorted(seen))


def _write(seen: set[str], given: LabelMap | None, directory: str) -> Iterator[beam.pvalue.TaggedOutput]:
    """Writes both assets and yields their paths."""
    label_map = given or _label_map(seen)
    for tag, name, text in (
        ("class_names", CLASS_NAMES_ASSET, "".join(f"{name}\n" for name in label_map.names)),
        ("label_map", LABEL_MAP_ASSET, json.dumps(dataclasses.asdict(label_map), ensure_ascii=False)),
    ):
        path = posixpath.join(directory, name)
        with filesystems.FileSystems.create(path, mime_type="text/plain") as file:
            file.write(text.encode("utf-8"))
        yield beam.pvalue.TaggedOutput(tag, np.array(path.encode("utf-8"), dtype=object))


class ClassNamesAnalyzer(PTransformAnalyzer):
    """Analyses a PCollection of batches of names and their usability into the two assets of the transform graph."""

    def __init__(self, label_map: LabelMap | None) -> None:
        super().__init__()
        self._label_map = label_map

    def expand(self, batches: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        written = (
            batches
            | "Names" >> beam.FlatMap(_names)
            | "Distinct" >> beam.combiners.ToSet()
            | "Write"
            >> beam.FlatMap(_write, given=self._label_map, directory=self.base_temp_dir).with_outputs(
                "class_names", "label_map"
            )
        )
        return written.class_names, written.label_map
