"""Images where the model does worst, and where it differs most from the last blessed one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final, Self

from components.evaluator.analysis.notable_images import Errors, changed_most, errors_of, surest_alarms, worst_misses
from components.evaluator.matched_images import MatchedImages
from components.report.drawn_image import DrawnImage
from components.report.judged_images import detections_in, drawn_image, read_encoded, truths_in
from components.report.section import Run, Section

_WORST: Final = 6
"""Pictures of misses, and as many of false alarms."""
_CHANGED: Final = 3
"""Pictures of wins, and as many of losses."""


@dataclasses.dataclass(frozen=True)
class PictureList:
    """Pictures of one kind.

    Attributes:
      heading: what they show.
      order: which comes first.
      images: the pictures.
    """

    heading: str
    order: str
    images: tuple[DrawnImage, ...]


@dataclasses.dataclass(frozen=True)
class Pictures(Section):
    """The worst misses, the surest false alarms, wins and losses.

    Attributes:
      least_score: of the detections that are drawn and counted: with it F1 is highest.
      lists: those that have a picture.
    """

    title = "Pictures"
    template = "pictures.html"

    least_score: float
    lists: tuple[PictureList, ...]

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Reads the matches in the artifact ``evaluation``, and those images of the artifact ``examples``."""
        matches = run.matches
        if matches is None:
            return None
        errors = errors_of(matches, matches.candidate)
        before = None if matches.baseline is None else errors_of(matches, matches.baseline)
        chosen = [
            (
                "What it misses",
                "The largest object first, as a share of its image.",
                worst_misses(matches, errors, _WORST),
            ),
            ("False alarms", "The highest score first.", surest_alarms(matches, errors, _WORST)),
        ]
        if before is not None:
            wins, losses = changed_most(errors, before, _CHANGED)
            said = "The largest change first, in objects missed and false alarms of the image."
            chosen.append(("Better than the last blessed model", said, wins))
            chosen.append(("Worse than the last blessed model", said, losses))
        ids = {matches.images[place].image_id for _, _, places in chosen for place in places}
        encoded = read_encoded(run, ids)
        draw = _drawing(matches, errors, before, encoded)
        lists = (PictureList(heading, order, tuple(map(draw, places))) for heading, order, places in chosen)
        return cls(errors.least_score, tuple(one for one in lists if one.images))


def _drawing(
    matches: MatchedImages, errors: Errors, before: Errors | None, encoded: dict[str, bytes]
) -> Callable[[int], DrawnImage]:
    def draw(place: int) -> DrawnImage:
        truths = truths_in(matches, place, lambda row: "missed" if errors.missed[row] else "")
        found = detections_in(matches, place, errors.least_score, lambda row: "false" if errors.alarms[row] else "")
        missed, alarms = (sum(bool(box.mark) for box in boxes) for boxes in (truths, found))
        remark = f"{missed} of {len(truths)} missed, {alarms} false alarms"
        if before is not None:
            remark += f"; {before.by_image[place]} errors before"
        image_id = matches.images[place].image_id
        return drawn_image(matches, place, encoded.get(image_id, b""), truths, found, (remark,))

    return draw
