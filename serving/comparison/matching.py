"""Which detection of one version is which of the other's: the same class, and the most overlap first."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from serving.protocol.detections import Detection


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """What counts as the same.

    Attributes:
      min_iou: overlap of two boxes of one object.
      score_threshold: detections that score below are none; one that only the other version scores above it is matched
        all the same, if its own score is no more than `max_score_shift` below.
      max_score_shift: difference of two scores of one object.
    """

    min_iou: float = 0.5
    score_threshold: float = 0.5
    max_score_shift: float = 0.1


@dataclasses.dataclass(frozen=True)
class Pair:
    """One object, found by both.

    Attributes:
      a: by the first version.
      b: by the second.
      iou: overlap of their boxes.
    """

    a: Detection
    b: Detection
    iou: float

    @property
    def score_shift(self) -> float:
        """The second version's score less the first's."""
        return self.b.score - self.a.score


@dataclasses.dataclass(frozen=True)
class Difference:
    """What two versions find in one image.

    Attributes:
      pairs: objects that both find.
      only_a: what the first finds alone.
      only_b: what the second finds alone.
    """

    pairs: tuple[Pair, ...]
    only_a: tuple[Detection, ...]
    only_b: tuple[Detection, ...]

    @property
    def has_unmatched(self) -> bool:
        """Whether one finds an object that the other does not."""
        return bool(self.only_a or self.only_b)

    def is_beyond(self, tolerance: Tolerance) -> bool:
        """Whether the versions differ in this image, be it only in a score."""
        return self.has_unmatched or any(abs(pair.score_shift) > tolerance.max_score_shift for pair in self.pairs)


def match(a: Sequence[Detection], b: Sequence[Detection], tolerance: Tolerance) -> Difference:
    """Pairs the detections of one image, greedily by overlap, then by score; each is in one pair at most."""
    threshold = tolerance.score_threshold
    faint = threshold - tolerance.max_score_shift
    a, b = ([found for found in side if found.score >= faint] for side in (a, b))
    overlaps = _iou(a, b)  # [A, B]
    names_a, names_b = (np.array([found.class_name for found in side], str) for side in (a, b))  # [A], [B]
    overlaps = np.where(names_a[:, None] == names_b, overlaps, 0.0)  # [A, B]
    pairs: list[Pair] = []
    free_a, free_b = dict(enumerate(a)), dict(enumerate(b))
    shifts = np.abs(np.subtract.outer([found.score for found in a], [found.score for found in b]))  # [A, B]
    # Of boxes that lie on each other, those of the nearest scores.
    for flat in np.lexsort((shifts.ravel(), -overlaps.ravel())):
        row, column = (int(index) for index in np.unravel_index(flat, overlaps.shape))
        iou = float(overlaps[row, column])
        if iou < tolerance.min_iou or iou == 0:
            break
        if row in free_a and column in free_b:
            pairs.append(Pair(free_a.pop(row), free_b.pop(column), iou))
    return Difference(
        tuple(pair for pair in pairs if max(pair.a.score, pair.b.score) >= threshold),
        tuple(found for found in free_a.values() if found.score >= threshold),
        tuple(found for found in free_b.values() if found.score >= threshold),
    )


def _iou(a: Sequence[Detection], b: Sequence[Detection]) -> npt.NDArray[np.float64]:
    """Intersection over union of all boxes with all: [A, B]."""
    one = np.array([found.box_yxyx_normalized for found in a], np.float64).reshape(-1, 1, 4)  # [A, 1, 4]
    other = np.array([found.box_yxyx_normalized for found in b], np.float64).reshape(1, -1, 4)  # [1, B, 4]
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])  # [A, B, 2]
    shared = np.prod(np.maximum(sides, 0), axis=-1)  # [A, B]
    areas = [np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in (one, other)]
    union = areas[0] + areas[1] - shared  # [A, B]
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
