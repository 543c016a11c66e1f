"""One annotation that is probably wrong, or lacking, and what speaks for it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final, Literal, get_args

SuspicionKind = Literal["missing", "wrong class", "badly drawn", "duplicate", "not there"]
KINDS: Final[tuple[SuspicionKind, ...]] = get_args(SuspicionKind)

Box = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax."""


@dataclasses.dataclass(frozen=True)
class Suspicion:
    """What is suspected of one annotated object, or of a place without one.

    Attributes:
      kind: what is suspected.
      score: 0..1; of a hundred cases in which the model is as sure as here, in how many annotation and model agree.
        It means the same for every kind (``suspicions.py`` says how it is computed).
      image_id: of the image.
      file: the image's name.
      place: which of the image's annotated objects it is, in their order in the record; None where one is missing.
      box_xyxy_pixels: as it is annotated; None where one is missing.
      class_name: as it is annotated; None where one is missing.
      found_class: of the detection that speaks against the annotation; None where it is that there is none.
      found_score: that detection's score.
      suggested_box_xyxy_pixels: what the box should be; None where the object should go.
      suggested_class: what the class should be; None where the object should go.
    """

    kind: SuspicionKind
    score: float
    image_id: str
    file: str
    place: int | None = None
    box_xyxy_pixels: Box | None = None
    class_name: str | None = None
    found_class: str | None = None
    found_score: float | None = None
    suggested_box_xyxy_pixels: Box | None = None
    suggested_class: str | None = None

    def to_json(self) -> str:
        """As one line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Suspicion:
        """The inverse of ``to_json``.

        Raises:
          ValueError: the line is no suspicion.
        """
        data: dict[str, Any] = json.loads(line)
        if not isinstance(data, dict) or data.get("kind") not in KINDS:
            raise ValueError(f"found {line[:80]!r}; expected a suspicion with a `kind` of {', '.join(KINDS)}")
        for key in ("box_xyxy_pixels", "suggested_box_xyxy_pixels"):
            if data[key] is not None:
                data[key] = tuple(data[key])
        return cls(**data)

    def __str__(self) -> str:
        """In words: ``wrong class: bus, found is truck 0.93``."""
        found = "" if self.found_score is None else f"{self.found_class} {self.found_score:.2f}"
        match self.kind:
            case "missing":
                return f"missing: {found} where nothing is annotated"
            case "wrong class":
                return f"wrong class: {self.class_name}, found is {found}"
            case "badly drawn":
                return f"badly drawn: {self.class_name}, the box of {found} is further off than usual"
            case "duplicate":
                return f"duplicate: a second {self.class_name} in the same place"
            case "not there":
                return f"not there: {self.class_name}, near which nothing is found"
