"""Annotations that are probably wrong: how many, where the list is, and the first dozen images."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final, Self

import numpy as np

from components.evaluator.analysis.notable_images import best_score
from components.evaluator.label_review.review_files import REVIEW_FILE, REVIEW_FOLDER, read_review
from components.evaluator.label_review.suspicion import KINDS, Suspicion, SuspicionKind
from components.evaluator.matched_images import MatchedImages
from components.report.drawn_image import DrawnBox, DrawnImage
from components.report.judged_images import detections_in, drawn_image, read_encoded, truths_in
from components.report.section import Run, Section, TextPair, reading

SHOWN_IMAGES: Final = 12
PROBABLE: Final = 0.8
"""Score from which an annotation is counted as probably wrong."""
_MOST_REMARKS: Final = 3
_LEARNT_SPLIT: Final = "train"
_SUGGESTED: Final = {"missing": "missing", "wrong class": "rather", "badly drawn": "rather"}
"""How the suggestion of a kind is called on the picture."""


@dataclasses.dataclass(frozen=True)
class LabelReview(Section):
    """What the Evaluator suspects of the annotations.

    Attributes:
      counts: suspicions of a score of at least ``PROBABLE``, by kind.
      others: how many more are in the file.
      images: the first of them, with what is annotated and what is suggested.
      split: whose annotations they are; empty where that is not known.
      file: where all suspicions are.
    """

    title = "Labels"
    template = "label_review.html"
    probable = PROBABLE
    folder = REVIEW_FOLDER

    counts: Mapping[SuspicionKind, int]
    others: int
    images: tuple[DrawnImage, ...]
    split: str
    file: str

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Reads ``label_review.jsonl`` and the matches in the artifact ``evaluation``, and images of ``examples``."""
        path = run.optional_file("evaluation", REVIEW_FILE)
        if path is None:
            return None
        with reading(path):
            suspicions = read_review(path)
        counted = collections.Counter(one.kind for one in suspicions if one.score >= PROBABLE)
        by_image: dict[str, list[Suspicion]] = {}
        for one in suspicions:
            by_image.setdefault(one.image_id, []).append(one)
        images: tuple[DrawnImage, ...] = ()
        if by_image and (matches := run.matches) is not None:
            shown = list(by_image)[:SHOWN_IMAGES]
            with reading(path):
                images = _drawn(matches, {name: by_image[name] for name in shown}, read_encoded(run, shown))
        counts = {kind: counted[kind] for kind in KINDS if counted[kind]}
        split = run.record.judged_split or ""
        return cls(counts, len(suspicions) - sum(counts.values()), images, split, path)

    @property
    def said(self) -> str:
        """``7 annotations are probably wrong (4 missing, 3 wrong class)``."""
        count = sum(self.counts.values())
        kinds = ", ".join(f"{number} {kind}" for kind, number in self.counts.items())
        said = f"{count} annotations are probably wrong ({kinds})" if count else "no annotation is probably wrong"
        if self.split == _LEARNT_SPLIT:
            said += "; the model learnt these images by heart, so that it hardly contradicts them"
        return said

    def lines(self) -> Sequence[TextPair]:
        """How many, and where."""
        where = f" ({self.file})" if self.counts or self.others else ""
        return ((self.title, f"{self.said}{where}"),)

    def tiles(self) -> Sequence[TextPair]:
        """How many."""
        return (("probably wrong annotations", str(sum(self.counts.values()))),)


def _drawn(
    matches: MatchedImages, about: Mapping[str, Sequence[Suspicion]], encoded: Mapping[str, bytes]
) -> tuple[DrawnImage, ...]:
    least_score = best_score(matches, matches.candidate)
    place_of = {facts.image_id: place for place, facts in enumerate(matches.images)}
    drawn = []
    for image_id, suspicions in about.items():
        place = place_of[image_id]
        drawn.append(_one(matches, place, suspicions, least_score, encoded.get(image_id, b"")))
    return tuple(drawn)


def _one(
    matches: MatchedImages, place: int, suspicions: Sequence[Suspicion], least_score: float, encoded: bytes
) -> DrawnImage:
    """An image: what is suspected is marked as annotated, and as it should be."""
    first = int(np.searchsorted(matches.truths.images, place))
    kind_of = {first + one.place: one.kind for one in suspicions if one.place is not None}
    truths = truths_in(matches, place, lambda row: f"{kind_of[row]}:" if row in kind_of else "")
    facts = matches.images[place]
    suggested = []
    for one in suspicions:
        if one.suggested_box_xyxy_pixels is not None and one.suggested_class is not None:
            xmin, ymin, xmax, ymax = one.suggested_box_xyxy_pixels
            height, width = max(1, facts.height_pixels), max(1, facts.width_pixels)
            box = (ymin / height, xmin / width, ymax / height, xmax / width)
            suggested.append(DrawnBox(box, one.suggested_class, one.found_score, f"{_SUGGESTED[one.kind]}:"))
    # What a suggestion is made of is drawn once.
    speaking = {(one.found_class, one.found_score) for one in suspicions}
    others = [
        box
        for box in detections_in(matches, place, least_score)
        if (box.class_name, None if box.score is None else round(box.score, 4)) not in speaking
    ]
    remarks = [f"{one.score:.2f} {one}" for one in suspicions[:_MOST_REMARKS]]
    if len(suspicions) > len(remarks):
        remarks.append(f"and {len(suspicions) - len(remarks)} more")
    return drawn_image(matches, place, encoded, truths, (*suggested, *others), tuple(remarks))
