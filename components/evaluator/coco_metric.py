"""COCO's metrics as one TFMA metric: matched once an image, merged by concatenation, accumulated once a slice.

Keys are the metric names (``AP50``), ``<metric>/<class>`` for classes, ``image_count`` and ``object_count``,
and keys for the gate alone:

- *guarded* ones: ``guarded/<metric>`` is the metric, or infinity where the slice has too few images for its floor to
  count; ``guarded/<metric>/<class>`` the same for a class, ``guarded/<metric>/*`` the lowest of all classes;
- *known* names: ``known/column/<column>`` and ``known/class/<class>`` are the images that have the column or show the
  class; NaN for a column that no image has, and for a class that neither a label map nor the ground truth names;
  ``known/before/<class>`` are the images that show a class which the last blessed model knows;
- ``kept/<metric>`` is the mean over the classes that the last blessed model knows, ``earlier/<metric>`` the same on
  images of earlier spans than the newest, of which there are ``earlier/image_count``. Both are 1, which no model falls
  below, where there is nothing to compare.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import tensorflow_model_analysis as tfma

from components.evaluator.coco import COCO_METRICS, class_metric, metrics_of
from components.evaluator.coco_accumulation import accumulate
from components.evaluator.coco_matching import ImageResult, Matches, match_images
from components.evaluator.settings import EVERY_CLASS, EvalSettings

RESULTS_KEY: Final = "object_detection_results"
"""Key of the TFMA extract that holds an image's ``NamedResult`` by model name."""
IMAGE_COUNT: Final = "image_count"
OBJECT_COUNT: Final = "object_count"

_EARLIER: Final = "earlier"
_GUARDED: Final = "guarded"
_KEPT: Final = "kept"
_KNOWN: Final = "known"
_MATCHES: Final = "_coco_matches"


def guarded(metric: str) -> str:
    """Key of a metric that is infinite where it rests on too few images."""
    return f"{_GUARDED}/{metric}"


def unguarded(key: str) -> str:
    """The metric behind a key that may be guarded, or compared with the last blessed model's."""
    for prefix in (_GUARDED, _KEPT, _EARLIER):
        key = key.removeprefix(f"{prefix}/")
    return key


def kept(metric: str) -> str:
    """Key of a metric over the classes that the last blessed model knows."""
    return f"{_KEPT}/{metric}"


def on_earlier(metric: str) -> str:
    """Key of the same on images of earlier spans, and with ``IMAGE_COUNT`` of their number."""
    return f"{_EARLIER}/{metric}"


def is_on_earlier(key: str) -> bool:
    """Whether a key is one of ``on_earlier``."""
    return key.startswith(f"{_EARLIER}/")


def known(kind: Literal["column", "class", "before"], name: str) -> str:
    """Key of the number of images that have a column or show a class (``before``: that the last blessed model knows).

    NaN where nobody knows the name.
    """
    return f"{_KNOWN}/{kind}/{name}"


def is_for_the_gate(key: str) -> bool:
    """Whether a key is for comparisons alone: nothing to report."""
    return key.startswith((f"{_EARLIER}/", f"{_GUARDED}/", f"{_KEPT}/", f"{_KNOWN}/"))


@dataclasses.dataclass(frozen=True)
class NamedResult:
    """One image's result for one model.

    Attributes:
      image_id: decides, in ascending order, between equal scores of different images.
      class_names: what the class indices in ``result`` mean. The name is what identifies a class: two models may number
        them differently.
      result: None for no image at all: that keeps a slice with a floor in the report even when no image belongs to it.
      columns: what the image can be sliced by.
      span: that the image is of, None in data without spans.
      known_before: classes of the last blessed model; None where there is none.
    """

    image_id: str
    class_names: tuple[str, ...]
    result: ImageResult | None
    columns: tuple[str, ...] = ()
    span: int | None = None
    known_before: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True)
class NamedMatches:
    """What is left of a ``NamedResult`` after matching."""

    image_id: str
    class_names: tuple[str, ...]
    matches: Matches
    image_count: int
    columns: tuple[str, ...] = ()
    span: int | None = None
    known_before: tuple[str, ...] | None = None


class CocoMetrics(tfma.metrics.Metric):
    """All COCO metrics of an object detector; configured with the evaluation's settings."""

    def __init__(self, settings: Mapping[str, Any], name: str = "coco") -> None:
        """Args: ``settings`` is ``EvalSettings`` as JSON data, ``name`` is required by TFMA and not used as a key."""
        super().__init__(_computations, settings=settings, name=name)


def _computations(
    settings: Mapping[str, Any], name: str, model_names: Sequence[str] | None = None
) -> list[tfma.metrics.MetricComputation | tfma.metrics.DerivedMetricComputation]:
    del name
    checked = EvalSettings.model_validate(settings)
    computations = []
    for model_name in model_names or [""]:
        matches_key = tfma.metrics.MetricKey(_MATCHES, model_name=model_name)
        computations += [
            tfma.metrics.MetricComputation([matches_key], [_MatchImage(model_name)], _Collect(matches_key)),
            _accumulation(checked, model_name, matches_key),
        ]
    return computations


def _accumulation(
    settings: EvalSettings, model_name: str, matches_key: tfma.metrics.MetricKey
) -> tfma.metrics.DerivedMetricComputation:
    def result(metrics: Mapping[tfma.metrics.MetricKey, Any]) -> dict[tfma.metrics.MetricKey, float]:
        values = slice_metrics(metrics[matches_key], settings)
        return {_metric_key(key, model_name): value for key, value in values.items()}

    # Class keys are not known yet; TFMA uses these only to tell computations of different models apart.
    keys = [_metric_key(metric, model_name) for metric in COCO_METRICS]
    return tfma.metrics.DerivedMetricComputation(keys, result)


def _metric_key(name: str, model_name: str) -> tfma.metrics.MetricKey:
    # Thresholds of a metrics spec apply to keys that say nothing about example weights; TFMA's default says False.
    return tfma.metrics.MetricKey(name, model_name=model_name, example_weighted=None)


class _MatchImage(tfma.metrics.Preprocessor):
    """Matches one image before it is copied into its slices."""

    def __init__(self, model_name: str) -> None:
        super().__init__(name=f"match_image/{model_name}")
        self._model_name = model_name

    def process(self, extracts: Mapping[str, Any]) -> Iterator[NamedMatches]:
        named: NamedResult = extracts[RESULTS_KEY][self._model_name]
        matches = match_images([named.result] if named.result else [])
        yield NamedMatches(
            named.image_id,
            named.class_names,
            matches,
            image_count=int(named.result is not None),
            columns=named.columns,
            span=named.span,
            known_before=named.known_before,
        )


class _Collect(beam.CombineFn):
    """Collects the matches of a slice's images."""

    def __init__(self, key: tfma.metrics.MetricKey) -> None:
        self._key = key

    def create_accumulator(self) -> list[NamedMatches]:
        return []

    def add_input(self, accumulator: list[NamedMatches], element: NamedMatches) -> list[NamedMatches]:
        accumulator.append(element)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[list[NamedMatches]]) -> list[NamedMatches]:
        return [image for accumulator in accumulators for image in accumulator]

    def extract_output(self, accumulator: list[NamedMatches]) -> dict[tfma.metrics.MetricKey, list[NamedMatches]]:
        return {self._key: accumulator}


def slice_metrics(images: Sequence[NamedMatches], settings: EvalSettings) -> dict[str, float]:
    """All metrics of one slice by key; the order of the images given does not matter."""
    class_names = tuple(sorted({name for names in {image.class_names for image in images} for name in names}))
    index_of = {name: index for index, name in enumerate(class_names)}
    images = sorted(images, key=lambda image: image.image_id)
    parts = []
    for image in images:
        renumbered = np.array([index_of[name] for name in image.class_names], np.int64)
        parts.append(
            dataclasses.replace(
                image.matches,
                classes=renumbered[image.matches.classes],
                truth_classes=renumbered[image.matches.truth_classes],
            )
        )
    accumulated = accumulate(Matches.concatenate(parts), len(class_names))
    image_count = sum(image.image_count for image in images)
    metrics = metrics_of(accumulated, class_names)
    with_class = dict(zip(class_names, _images_with_class(parts, len(class_names)).tolist(), strict=True))
    with_column = collections.Counter(column for image in images for column in image.columns)
    reported = {*COCO_METRICS, *(class_metric(m, c) for m in settings.per_class_metrics for c in class_names)}
    return {
        **{key: value for key, value in metrics.items() if key in reported},
        **_guarded_metrics(metrics, settings, image_count, with_class),
        **_known_names(settings, with_column, with_class),
        **_kept_metrics(metrics, settings, images, parts, with_class),
        IMAGE_COUNT: float(image_count),
        OBJECT_COUNT: float(accumulated.truth_counts[0].sum()),
    }


def _guarded_metrics(
    metrics: Mapping[str, float],
    settings: EvalSettings,
    image_count: int,
    images_with_class: Mapping[str, int],
) -> dict[str, float]:
    """The values the slice and class floors are compared with."""
    enough = settings.gates.min_images
    values = {}
    for slice_floor in settings.gates.slice_floors:
        values[guarded(slice_floor.metric)] = metrics[slice_floor.metric] if image_count >= enough else float("inf")
    for floor in settings.gates.class_floors:
        counted = {
            name: metrics[class_metric(floor.metric, name)]
            for name, shown in images_with_class.items()
            if shown >= enough
        }
        if floor.class_name == EVERY_CLASS:
            lowest = float(np.min(list(counted.values()))) if counted else float("inf")  # NaN where any is NaN
        else:
            lowest = counted.get(floor.class_name, float("inf"))
        values[guarded(class_metric(floor.metric, floor.class_name))] = lowest
    return values


def _kept_metrics(
    metrics: Mapping[str, float],
    settings: EvalSettings,
    images: Sequence[NamedMatches],
    parts: Sequence[Matches],
    images_with_class: Mapping[str, int],
) -> dict[str, float]:
    """The values that are compared with the last blessed model's.

    Args:
      metrics: of all images, overall and by class.
      settings: what is compared.
      images: in the order of ``parts``.
      parts: their matches, with one vocabulary: the names of ``images_with_class``, in their order.
      images_with_class: images that show a class.
    """
    class_names = tuple(images_with_class)
    known_before = {name for image in images for name in image.known_before or ()}
    compared = [name for name in class_names if name in known_before] if known_before else class_names

    def of_compared(metric: str, values: Mapping[str, float]) -> float:
        of_classes = np.array([values[class_metric(metric, name)] for name in compared])  # [K]
        there = of_classes[~np.isnan(of_classes)]
        return float(there.mean()) if len(there) else 1.0

    values = {kept(metric): of_compared(metric, metrics) for metric in settings.gates.max_drop}
    values |= {known("before", name): float(images_with_class[name]) for name in class_names if name in known_before}
    if not settings.gates.forgetting:
        return values
    newest = max((image.span for image in images if image.span is not None), default=0)
    earlier = [number for number, image in enumerate(images) if image.span is not None and image.span < newest]
    values[on_earlier(IMAGE_COUNT)] = float(len(earlier))
    enough = len(earlier) >= max(settings.gates.min_images, 1)
    on_them = (
        metrics_of(accumulate(Matches.concatenate([parts[n] for n in earlier]), len(class_names)), class_names)
        if enough
        else {}
    )
    for metric in settings.gates.forgetting:
        values[on_earlier(metric)] = of_compared(metric, on_them) if enough else 1.0
    return values


def _known_names(
    settings: EvalSettings, images_with_column: Mapping[str, int], images_with_class: Mapping[str, int]
) -> dict[str, float]:
    """Images behind every name there is, and behind those that the settings use."""
    columns = {*images_with_column, *settings.gates.columns, *(name for names in settings.slices for name in names)}
    classes = {*images_with_class, *settings.gates.class_names}
    nobody = float("nan")
    return {
        **{known("column", name): float(images_with_column.get(name, nobody)) for name in columns},
        **{known("class", name): float(images_with_class.get(name, nobody)) for name in classes},
    }


def _images_with_class(parts: Sequence[Matches], num_classes: int) -> npt.NDArray[np.int64]:
    """int64 [K]: images with at least one object of the class that counts."""
    shown = [np.unique(part.truth_classes[(part.truth_area_bits & 1).astype(np.bool_)]) for part in parts]
    return np.bincount(np.concatenate(shown), minlength=num_classes)
