"""What training needs to know about all objects at once: classes, their counts, quantiles of box sizes and shapes.

``ObjectSummary`` is the result, ``ObjectSummaryAnalyzer`` the Beam transform that Transform runs over the analysed
split. The state is a count a class and three fixed histograms, whatever the size of the data set, and the result does
not depend on the order of the records.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import posixpath
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
from apache_beam.io import filesystems
from tensorflow_transform.beam.experimental import PTransformAnalyzer

from components.transform.features import CLASS_NAMES_ASSET, OBJECT_SUMMARY_ASSET
from components.transform.log_histogram import LogHistogram
from components.user_error import UserError
from schema.label_map import LabelMap

QUANTILE_LEVELS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
"""The shares of objects at which sizes and shapes are reported."""

_Batch = tuple[npt.NDArray[Any], ...]


class NoObjectsError(UserError):
    """Nothing to learn: the analysed split holds no object of any class."""


@dataclasses.dataclass(frozen=True)
class ObjectSummary:
    """Counts and measures over the analysed split.

    Attributes:
      class_ids: 1-based ids of the label map.
      class_names: names, same order.
      class_counts: objects a class, crowds not counted; 0 for a class that only the given label map knows.
      crowds: boxes that stand for many objects.
      unusable_boxes: objects left out because their box has no area or is not finite.
      unlisted_classes: objects left out because the given label map does not hold their class, by name.
      quantile_levels: the shares (0..1) that the quantiles below belong to.
      size_relative: quantiles of sqrt(box area / image area), 0..1.
      size_pixels: quantiles of sqrt(box area) in pixels of the image as stored.
      aspect_ratio: quantiles of width / height in pixels.
    """

    class_ids: tuple[int, ...]
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    crowds: int
    unusable_boxes: int
    unlisted_classes: dict[str, int]
    quantile_levels: tuple[float, ...]
    size_relative: tuple[float, ...]
    size_pixels: tuple[float, ...]
    aspect_ratio: tuple[float, ...]

    @property
    def label_map(self) -> LabelMap:
        """The classes with their ids."""
        return LabelMap(self.class_ids, self.class_names)

    def to_json(self) -> str:
        """One JSON object with the attributes' names."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> ObjectSummary:
        """What ``to_json`` wrote."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**{key: _tuple_of_list(value) for key, value in fields.items()})


def _tuple_of_list(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class _State:
    """What is kept while counting."""

    def __init__(self) -> None:
        self.objects: collections.Counter[str] = collections.Counter()
        self.crowds: collections.Counter[str] = collections.Counter()
        self.unusable = 0
        self.size_relative = LogHistogram()
        self.size_pixels = LogHistogram()
        self.aspect_ratio = LogHistogram()


class _SummarizeFn(beam.CombineFn):
    """Batches of objects -> ``ObjectSummary``."""

    def __init__(self, label_map: LabelMap | None) -> None:
        self._label_map = label_map

    def create_accumulator(self) -> _State:
        return _State()

    def add_input(self, state: _State, batch: _Batch) -> _State:
        """Adds one batch: names [N], boxes_yxyx [N, 4], usable, is_crowd, image height and width in pixels, all [N]."""
        names, boxes, usable, is_crowd, height, width = batch
        decoded = np.array([name.decode("utf-8", "replace") for name in names.tolist()], dtype=object)  # [N]
        usable = usable.astype(bool)
        state.unusable += int((~usable).sum())
        listed = decoded != ""
        if self._label_map is not None:
            known = frozenset(self._label_map.names)
            listed &= np.array([name in known for name in decoded], dtype=bool)
        crowd = is_crowd.astype(bool)
        state.objects.update(decoded[usable & ~crowd].tolist())
        state.crowds.update(decoded[usable & crowd].tolist())

        measured = usable & listed & ~crowd
        sides = (boxes[measured, 2:] - boxes[measured, :2]).astype(np.float64)  # [K, 2], height and width
        sides_pixels = sides * np.stack([height[measured], width[measured]], axis=-1)  # [K, 2]
        state.size_relative.add(np.sqrt(sides.prod(axis=-1)))
        state.size_pixels.add(np.sqrt(sides_pixels.prod(axis=-1)))
        state.aspect_ratio.add(sides_pixels[:, 1] / sides_pixels[:, 0])
        return state

    def merge_accumulators(self, states: Iterable[_State]) -> _State:
        merged = _State()
        for state in states:
            merged.objects.update(state.objects)
            merged.crowds.update(state.crowds)
            merged.unusable += state.unusable
            merged.size_relative.merge(state.size_relative)
            merged.size_pixels.merge(state.size_pixels)
            merged.aspect_ratio.merge(state.aspect_ratio)
        return merged

    def extract_output(self, state: _State) -> ObjectSummary:
        seen = sorted({*state.objects, *state.crowds} - {""})
        if self._label_map is None and not seen:
            raise NoObjectsError(
                "Transform found no object with a usable box and a class name in the analysed split (train). Check the "
                "annotation paths in the section `data` of the config and the findings of ExampleGen, or give a "
                "`data.label_map`."
            )
        broken = [name for name in seen if "\n" in name or "\r" in name]
        if broken:
            raise ValueError(f"class names must be one line each, found {broken[0]!r} in image/object/class/text")
        label_map = self._label_map or LabelMap.of_names(seen)
        total = state.objects + state.crowds
        return ObjectSummary(
            class_ids=label_map.ids,
            class_names=label_map.names,
            class_counts=tuple(state.objects[name] for name in label_map.names),
            crowds=sum(state.crowds[name] for name in label_map.names),
            unusable_boxes=state.unusable,
            unlisted_classes={name: total[name] for name in sorted(set(total) - set(label_map.names))},
            quantile_levels=QUANTILE_LEVELS,
            size_relative=state.size_relative.quantiles(QUANTILE_LEVELS),
            size_pixels=state.size_pixels.quantiles(QUANTILE_LEVELS),
            aspect_ratio=state.aspect_ratio.quantiles(QUANTILE_LEVELS),
        )


def _write(summary: ObjectSummary, directory: str) -> Iterator[beam.pvalue.TaggedOutput]:
    """Writes both assets and yields their paths."""
    for tag, name, text in (
        ("class_names", CLASS_NAMES_ASSET, "".join(f"{name}\n" for name in summary.class_names)),
        ("summary", OBJECT_SUMMARY_ASSET, summary.to_json()),
    ):
        path = posixpath.join(directory, name)
        with filesystems.FileSystems.create(path, mime_type="text/plain") as file:
            file.write(text.encode("utf-8"))
        yield beam.pvalue.TaggedOutput(tag, np.array(path.encode("utf-8"), dtype=object))


class ObjectSummaryAnalyzer(PTransformAnalyzer):
    """Analyses a PCollection of batches (see ``_SummarizeFn.add_input``) into the two assets of the transform graph."""

    def __init__(self, label_map: LabelMap | None) -> None:
        super().__init__()
        self._label_map = label_map

    def expand(self, batches: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        written = (
            batches
            | "Summarize" >> beam.CombineGlobally(_SummarizeFn(self._label_map))
            | "Write" >> beam.FlatMap(_write, directory=self.base_temp_dir).with_outputs("class_names", "summary")
        )
        return written.class_names, written.summary
