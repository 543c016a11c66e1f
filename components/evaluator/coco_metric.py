"""COCO's metrics as one TFMA metric: matched once an image, merged by concatenation, accumulated once a slice.

Keys are the metric names (``AP50``), ``<metric>/<class>`` for classes, ``image_count`` and ``object_count``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma

from components.evaluator.coco import COCO_METRICS, metrics_of
from components.evaluator.coco_accumulation import accumulate
from components.evaluator.coco_matching import Matches
from components.evaluator.matched_images import MatchedImage
from components.evaluator.record_matching import MATCHED_IMAGE_KEY
from components.evaluator.settings import EvalSettings

IMAGE_COUNT: Final = "image_count"
OBJECT_COUNT: Final = "object_count"

_MATCHES: Final = "_coco_matches"


@dataclasses.dataclass(frozen=True)
class NamedMatches:
    """One image's matches for one model: all that is left of a ``MatchedImage`` in an accumulator.

    Attributes:
      image_id: decides, in ascending order, between equal scores of different images.
      class_names: what the class indices mean.
      matches: of this image.
    """

    image_id: str
    class_names: tuple[str, ...]
    matches: Matches

    @classmethod
    def of(cls, image: MatchedImage, model: str) -> NamedMatches:
        """Those of one model; TFMA has no name for an only one."""
        return cls(image.facts.image_id, image.class_names, image.matches(model or next(iter(image.detections))))


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
            tfma.metrics.MetricComputation([matches_key], [_TakeMatches(model_name)], _Collect(matches_key)),
            _accumulation(checked, model_name, matches_key),
        ]
    return computations


def _accumulation(
    settings: EvalSettings, model_name: str, matches_key: tfma.metrics.MetricKey
) -> tfma.metrics.DerivedMetricComputation:
    def result(metrics: Mapping[tfma.metrics.MetricKey, Any]) -> dict[tfma.metrics.MetricKey, float]:
        values = slice_metrics(metrics[matches_key], settings)
        return {tfma.metrics.MetricKey(key, model_name=model_name): value for key, value in values.items()}

    # Class keys are not known yet; TFMA uses these only to tell computations of different models apart.
    keys = [tfma.metrics.MetricKey(metric, model_name=model_name) for metric in COCO_METRICS]
    return tfma.metrics.DerivedMetricComputation(keys, result)


class _TakeMatches(tfma.metrics.Preprocessor):
    """Takes one model's matches of an image before they are copied into its slices."""

    def __init__(self, model_name: str) -> None:
        super().__init__(name=f"take_matches/{model_name}")
        self._model_name = model_name

    def process(self, extracts: Mapping[str, Any]) -> Iterator[NamedMatches]:
        yield NamedMatches.of(extracts[MATCHED_IMAGE_KEY], self._model_name)


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
    """All metrics of one slice, at least one image, by key; the order of the images given does not matter."""
    class_names = tuple(sorted({name for names in {image.class_names for image in images} for name in names}))
    index_of = {name: index for index, name in enumerate(class_names)}
    parts = []
    for image in sorted(images, key=lambda image: image.image_id):
        renumbered = np.array([index_of[name] for name in image.class_names], np.int64)
        parts.append(
            dataclasses.replace(
                image.matches,
                classes=renumbered[image.matches.classes],
                truth_classes=renumbered[image.matches.truth_classes],
            )
        )
    accumulated = accumulate(Matches.concatenate(parts), len(class_names))
    return {
        **metrics_of(accumulated, class_names, settings.per_class_metrics),
        IMAGE_COUNT: float(len(images)),
        OBJECT_COUNT: float(accumulated.truth_counts[0].sum()),
    }
