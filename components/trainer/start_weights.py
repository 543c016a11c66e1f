"""What a training starts from: the last blessed model, the pretrained weights of the settings, or nothing."""

from __future__ import annotations

from typing import NamedTuple

from components.detector.detector import Detector
from components.detector.weights import zoo
from components.detector.weights.checkpoints import CheckpointError
from components.detector.weights.zoo import RestoreReport
from components.trainer.settings import ModelSettings
from schema.label_map import LabelMap


class StartWeights(NamedTuple):
    """What became of the detector's variables.

    Attributes:
      summary: several lines for the log.
      listing: every variable, a line each; empty for a training from scratch.
      fresh: zoo keys of variables that hold nothing learnt, or not of all classes.
    """

    summary: str
    listing: str
    fresh: tuple[str, ...]


def load_start_weights(
    detector: Detector, label_map: LabelMap, settings: ModelSettings, blessed_model: str | None = None
) -> StartWeights:
    """Sets the detector's variables and tells, variable by variable, what became of them.

    A blessed model of another architecture (the settings were changed since) is no reason to fail a run that nobody
    watches: the report says so, and the pretrained weights are taken.

    Args:
      detector: freshly built.
      label_map: its classes.
      settings: where the pretrained weights are.
      blessed_model: SavedModel folder of the last blessed model, to start from in their place; classes are matched by
        name.

    Raises:
      CheckpointError: the pretrained weights cannot be read or do not fit.
    """
    lines = []
    if blessed_model is not None:
        try:
            report = zoo.restore(detector, blessed_model, pretrained_classes="map", label_map=label_map)
            summary = f"warm start from the last blessed model\n{report}"
            return StartWeights(summary, report.listing(), _fresh(report, label_map))
        except CheckpointError as error:
            lines.append(f"no warm start, the last blessed model does not fit: {error}")
    if settings.pretrained is None:
        lines.append("trained from scratch: model.pretrained is not set")
        return StartWeights("\n".join(lines), "", tuple(detector.zoo_variables()))
    report = zoo.restore(
        detector, settings.pretrained, pretrained_classes=settings.pretrained_classes, label_map=label_map
    )
    lines.append(str(report))
    return StartWeights("\n".join(lines), report.listing(), _fresh(report, label_map))


def _fresh(report: RestoreReport, label_map: LabelMap) -> tuple[str, ...]:
    if report.kept_classes == label_map.names:
        return report.missing
    return (*report.missing, *report.reinitialized)
