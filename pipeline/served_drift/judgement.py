"""What was served against what a model was trained beside: the distances, and which of them are too large."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from components.detector.weights.checkpoints import CheckpointError
from pipeline.cluster_settings import DriftSettings
from pipeline.served_drift.distances import ks_distance, separability, share_distance
from pipeline.served_drift.embedding import embed
from pipeline.served_drift.estimated_ap import Calibration, agreement, ap50, estimated_ap50, sure
from pipeline.served_drift.image_statistics import STATISTICS, image_statistics
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
            limit = "" if figure.limit is None else f"limit {figure.limit:g}"
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
    """Compares.

    Args:
      served: what a server was asked, and what the model answered.
      trained: images of the span that the model was trained on, which it has not learnt, with their annotations.
      model: folder of the version that answered.
      previous: of the one before it; None: there is none.
      limits: what is too far.
    """
    known, truth = [encoded for encoded, _ in trained], [found for _, found in trained]
    asked, answers = [image.encoded for image in served], [image.found for image in served]
    at_home = ask(model, known)
    figures = [*_looks(known, asked, limits), *_answers(at_home, answers, limits)]
    try:
        embeddings: Floats | None = embed(model, asked)
        far = separability(embed(model, known), embeddings) if embeddings is not None else math.nan
        figures.append(Figure("embedding", far, limits.max_separability, "0.5: no classifier tells them apart"))
    except CheckpointError as error:
        embeddings = None
        figures.append(Figure("embedding", math.nan, limits.max_separability, str(error)))
    calibration = Calibration.of(at_home, truth)
    measured, estimated = ap50(at_home, truth), estimated_ap50(answers, calibration)
    figures += [
        Figure("AP50 measured at home", measured, None, f"on {len(known)} annotated images"),
        Figure("AP50 estimated", estimated, None, f"of {len(asked)} served images"),
        Figure("AP50 drop", estimated_ap50(at_home, calibration) - estimated, limits.max_ap50_drop, "both estimated"),
    ]
    before: tuple[Found, ...] | None = None
    if previous is not None:
        before = tuple(ask(previous, asked))
        detail = f"{agreement(at_home, ask(previous, known)):.3f} at home"
        figures.append(Figure("agreement", agreement(answers, before), None, f"with version {previous.name}; {detail}"))
    return Judgement(tuple(figures), calibration, embeddings, before)


def _looks(known: Sequence[bytes], asked: Sequence[bytes], limits: DriftSettings) -> list[Figure]:
    home, away = (np.stack([image_statistics(encoded) for encoded in images]) for images in (known, asked))
    figures = []
    for column, name in enumerate(STATISTICS):
        detail = f"median {np.nanmedian(home[:, column]):.2f} -> {np.nanmedian(away[:, column]):.2f}"
        distance = ks_distance(home[:, column], away[:, column])
        figures.append(Figure(name, distance, limits.max_image_distance, detail))
    return figures


def _answers(at_home: Sequence[Found], away: Sequence[Found], limits: DriftSettings) -> list[Figure]:
    names = [[name for one in sure(side, _SURE) for name in one.class_names] for side in (at_home, away)]
    share, moved = share_distance(*names)
    scores = [np.array([one.scores.max(initial=0.0) for one in side]) for side in (at_home, away)]
    per_image = [len(side) / len(images) for side, images in zip(names, (at_home, away), strict=True)]
    return [
        Figure("classes", share, limits.max_class_distance, f"most in {moved!r}" if moved else ""),
        Figure("best score", ks_distance(scores[0], scores[1]), limits.max_score_distance, "of each image"),
        Figure("objects per image", per_image[1], None, f"{per_image[0]:.2f} at home"),
    ]
