"""What was served against what a model was trained beside: the distances, and which of them are too large."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipeline.cluster_settings import DriftSettings
from pipeline.served_drift.distances import (
    ks_by_chance,
    ks_distance,
    mean_by_chance,
    separability,
    separability_by_chance,
    share_by_chance,
    share_distance,
)
from pipeline.served_drift.estimated_ap import Calibration, agreement, ap50, estimated_ap50, sure
from pipeline.served_drift.image_statistics import STATISTICS
from pipeline.served_drift.measured_images import MeasuredImages
from pipeline.served_drift.seen_images import Found, SeenImage, ask

Floats = npt.NDArray[np.float64]
_SURE: Final = 0.5


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number, and the largest that is no drift.

    Attributes:
      name: what it is.
      value: NaN where it could not be had.
      limit: None: it is told and not judged.
      detail: more words.
    """

    name: str
    value: float
    limit: float | None = None
    detail: str = ""

    @property
    def is_beyond(self) -> bool:
        """Whether it is drift."""
        return self.limit is not None and self.value > self.limit


@dataclasses.dataclass(frozen=True)
class Judgement:
    """The comparison.

    Attributes:
      figures: in the order in which they are told.
      calibration: of the model's scores, for choosing images.
      embeddings: of the served images, float64 [N, C]; None where the export allows none.
      previous: what the version before finds in them; None where there is none.
    """

    figures: tuple[Figure, ...]
    calibration: Calibration
    embeddings: Floats | None
    previous: tuple[Found, ...] | None

    @property
    def has_drifted(self) -> bool:
        """Whether a limit is passed."""
        return any(figure.is_beyond for figure in self.figures)

    def __str__(self) -> str:
        lines = []
        for figure in self.figures:
            value = "unknown" if math.isnan(figure.value) else f"{figure.value:.3f}"
            limit = "" if figure.limit is None else f"limit {figure.limit:.2f}"
            mark = "DRIFT" if figure.is_beyond else ""
            lines.append(f"{figure.name:<24} {value:>8}  {limit:<11} {mark:<6} {figure.detail}".rstrip())
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain values; None for what is not known."""
        return {
            figure.name: {
                "value": None if math.isnan(figure.value) else round(figure.value, 4),
                "limit": figure.limit,
                "is_beyond": figure.is_beyond,
                "detail": figure.detail,
            }
            for figure in self.figures
        }


def judge(
    served: Sequence[SeenImage],
    trained: Sequence[tuple[bytes, Found]],
    model: pathlib.Path,
    previous: pathlib.Path | None,
    limits: DriftSettings,
) -> Judgement:
    """Measures and compares.

    Args:
      served: what a server was asked, and what the model answered.
      trained: images of the span that the model was trained on, which it has not learnt, with their annotations.
      model: folder of the version that answered.
      previous: of the one before it; None: there is none.
      limits: what is too far.
    """
    known, asked = [encoded for encoded, _ in trained], [image.encoded for image in served]
    home = MeasuredImages.of(known, ask(model, known), model, previous)
    away = MeasuredImages.of(asked, [image.found for image in served], model, previous)
    return compare(home, [found for _, found in trained], away, limits)


def compare(home: MeasuredImages, truth: Sequence[Found], away: MeasuredImages, limits: DriftSettings) -> Judgement:
    """Compares what was served with annotated images. A limit is never below what chance does to so few images.

    Args:
      home: images of the kind that the model was trained on, which it has not learnt.
      truth: their annotations.
      away: images that were served.
      limits: what is too far.
    """
    calibration = Calibration.of(home.found, truth)
    figures = [*_looks(home, away, limits), *_answers(home, away, limits), _embedding(home, away, limits)]
    measured, at_home = ap50(home.found, truth), estimated_ap50(home.found, calibration)
    drop = at_home - estimated_ap50(away.found, calibration)
    # That objects are as frequent as at home is true but for this.
    by_chance = mean_by_chance(calibration.objects_deviation, len(home), len(away))
    figures += [
        Figure("AP50 measured at home", measured, None, f"on {len(home)} annotated images"),
        Figure("AP50 estimated", max(0.0, measured - max(0.0, drop)), None, f"of {len(away)} served images"),
        Figure("AP50 drop", drop, max(limits.max_ap50_drop, by_chance), "estimated"),
    ]
    if home.previous is not None and away.previous is not None:
        detail = f"with the version before; {agreement(home.found, home.previous):.3f} at home"
        figures.append(Figure("agreement", agreement(away.found, away.previous), None, detail))
    return Judgement(tuple(figures), calibration, away.embeddings, away.previous)


def _looks(home: MeasuredImages, away: MeasuredImages, limits: DriftSettings) -> list[Figure]:
    limit = max(limits.max_image_distance, ks_by_chance(len(home), len(away)))
    figures = []
    for name, ours, theirs in zip(STATISTICS, home.statistics.T, away.statistics.T, strict=True):
        detail = f"median {np.nanmedian(ours):.2f} -> {np.nanmedian(theirs):.2f}"
        figures.append(Figure(name, ks_distance(ours, theirs), limit, detail))
    return figures


def _answers(home: MeasuredImages, away: MeasuredImages, limits: DriftSettings) -> list[Figure]:
    sides = (home.found, away.found)
    names = [[name for one in sure(side, _SURE) for name in one.class_names] for side in sides]
    share, moved = share_distance(*names)
    scores = [np.array([one.scores.max(initial=0.0) for one in side]) for side in sides]
    per_image = [len(named) / len(side) for named, side in zip(names, sides, strict=True)]
    return [
        Figure(
            "classes",
            share,
            max(limits.max_class_distance, share_by_chance(*names)),
            f"most in {moved!r}" if moved else "",
        ),
        Figure(
            "best score",
            ks_distance(scores[0], scores[1]),
            max(limits.max_score_distance, ks_by_chance(len(home), len(away))),
            "of each image",
        ),
        Figure("objects per image", per_image[1], None, f"{per_image[0]:.2f} at home"),
    ]


def _embedding(home: MeasuredImages, away: MeasuredImages, limits: DriftSettings) -> Figure:
    limit = max(limits.max_separability, separability_by_chance(len(home), len(away)))
    if home.embeddings is None or away.embeddings is None:
        return Figure("embedding", math.nan, limit, away.why_not_embedded)
    far = separability(home.embeddings, away.embeddings)
    return Figure("embedding", far, limit, "0.5: no classifier tells them apart")
