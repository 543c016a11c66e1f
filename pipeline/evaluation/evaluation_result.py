"""What an evaluation found: COCO's numbers, overall and by class, and which classes either side does not know."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from components.evaluator.coco import COCO_METRICS, class_metric
from components.findings import counts_by_kind
from pipeline.doctor.folder import finding_lines
from pipeline.evaluation.annotated_images import Tally
from schema.text import spelling_key

_OF_CLASSES: Final = ("AP", "AP50", "AP75", "AR100")
_MOST_CLASSES: Final = 12


@dataclasses.dataclass(frozen=True)
class EvaluationResult:
    """The numbers, and what they are of.

    Attributes:
      model: folder of the SavedModel.
      model_kind: what it is, in words.
      data: what it was evaluated on, in words.
      split: which of it.
      tally: images, objects and findings.
      metrics: ``COCO_METRICS``, overall and of every class (``AP/<class>``).
      model_classes: names of the model's classes.
      nameless: detections left out, by a class id that has no name.
    """

    model: str
    model_kind: str
    data: str
    split: str
    tally: Tally
    metrics: Mapping[str, float]
    model_classes: Sequence[str]
    nameless: Mapping[int, int] = dataclasses.field(default_factory=dict)

    @property
    def data_classes(self) -> list[str]:
        """Classes with an object to be found, the most frequent first."""
        return [name for name, _ in self.tally.objects.most_common()]

    @property
    def unknown_classes(self) -> list[str]:
        """Of these the ones that the model does not know: nothing of them can be found."""
        return [name for name in self.data_classes if name not in self.model_classes]

    @property
    def absent_classes(self) -> list[str]:
        """Classes of the model that nothing in the data shows: they count neither way."""
        return [name for name in self.model_classes if name not in self.tally.objects]

    @property
    def shared_metrics(self) -> dict[str, float]:
        """The twelve numbers over the classes that both know; NaN where there is nothing to find."""
        shared = [name for name in self.data_classes if name in self.model_classes]
        means: dict[str, float] = {}
        for metric in COCO_METRICS:
            values = np.array([self.metrics[class_metric(metric, name)] for name in shared])  # [K]
            there = values[~np.isnan(values)]
            means[metric] = float(there.mean()) if len(there) else math.nan
        return means

    def to_json(self) -> dict[str, Any]:
        """All of it, for JSON; a number with nothing to find behind it is None."""
        return {
            "model": self.model,
            "model_kind": self.model_kind,
            "data": self.data,
            "split": self.split,
            "images": self.tally.images,
            "objects": self.tally.objects.total(),
            "metrics": {metric: _or_none(self.metrics[metric]) for metric in COCO_METRICS},
            "metrics_of_shared_classes": {name: _or_none(value) for name, value in self.shared_metrics.items()},
            "classes": {
                name: {
                    "objects": self.tally.objects[name],
                    **{metric: _or_none(self.metrics[class_metric(metric, name)]) for metric in COCO_METRICS},
                }
                for name in self.data_classes
            },
            "classes_unknown_to_the_model": self.unknown_classes,
            "classes_not_in_the_data": self.absent_classes,
            "detections_without_a_name": {str(number): count for number, count in sorted(self.nameless.items())},
            "findings": counts_by_kind(self.tally.findings),
        }

    def lines(self) -> Iterator[str]:
        """All of it, for a person."""
        yield f"Model       {self.model} ({self.model_kind})"
        objects = f"{self.tally.objects.total()} objects"
        aside = f", {self.tally.set_aside} crowds and difficult ones set aside" if self.tally.set_aside else ""
        yield f"Data        {self.data}: {self.tally.images} images, {objects}{aside}"
        yield f"Findings    {f'{len(self.tally.findings)} in the whole data' if self.tally.findings else 'none'}"
        for line in finding_lines(self.tally.findings):
            yield f"            {line}"
        if self.tally.left_out:
            yield f"            {self.tally.left_out} images of the data are left out: the numbers are of the others"
        yield from self._class_lines()
        yield ""
        yield from self._metric_table()
        yield ""
        yield from self._class_table()

    def _class_lines(self) -> Iterator[str]:
        if self.unknown_classes:
            spelt = {spelling_key(name): name for name in self.model_classes}
            named = [
                f"{name} (it has {spelt[spelling_key(name)]!r})" if spelling_key(name) in spelt else name
                for name in self.unknown_classes
            ]
            yield f"Classes     of the data that the model does not know, and which count with 0: {_some(named)}"
        if self.absent_classes:
            heading = "Classes    " if not self.unknown_classes else "           "
            absent = _some(self.absent_classes)
            yield f"{heading} of the model that the data does not show, and which do not count: {absent}"
        if self.nameless:
            ids = ", ".join(str(number) for number in sorted(self.nameless))
            yield f"Left out    {sum(self.nameless.values())} detections of class ids without a name ({ids})"

    def _metric_table(self) -> Iterator[str]:
        shared = self.shared_metrics if self.unknown_classes else None
        yield f"{'METRIC':<8}{'ALL CLASSES':>12}{'' if shared is None else '  CLASSES BOTH KNOW'}"
        for metric in COCO_METRICS:
            other = "" if shared is None else f"{_number(shared[metric]):>19}"
            yield f"{metric:<8}{_number(self.metrics[metric]):>12}{other}"

    def _class_table(self) -> Iterator[str]:
        width = max([len("CLASS"), *map(len, self.data_classes)])
        yield f"{'CLASS':<{width}}  {'OBJECTS':>8}" + "".join(f"{metric:>8}" for metric in _OF_CLASSES)
        for name in self.data_classes:
            figures = "".join(f"{_number(self.metrics[class_metric(metric, name)]):>8}" for metric in _OF_CLASSES)
            yield f"{name:<{width}}  {self.tally.objects[name]:>8}{figures}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_CLASSES
    return ", ".join(names[:_MOST_CLASSES]) + (f" and {more} more" if more > 0 else "")


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
