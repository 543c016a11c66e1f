"""What a model says about one image, and whether two answers say the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from schema.exported_model import BOXES, CLASSES, COUNTS, DETECTIONS, SCORES

_SCORE_COMPARED = 0.05
"""Far below it, which of a hundred overlapping boxes is kept is decided by the last bit of a sum."""
_SCORE_TOLERANCE = 2e-3
_BOX_TOLERANCE = 5e-3
_TWIN_IOU = 0.5
"""Of two boxes of a class that score the same and overlap like this suppression keeps either, by that last bit."""
_TWIN_SHARE = 0.05
"""Share of detections of which that is believed; of more of them the boxes are wrong."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """Detections in one image, padding left out.

    Attributes:
      boxes_yxyx: float32 [N, 4] in 0..1.
      scores: float32 [N].
      classes: int64 [N], 1-based ids.
      is_full: whether there may have been more than fit.
    """

    boxes_yxyx: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    is_full: bool = False

    @classmethod
    def all_of(cls, outputs: Mapping[str, npt.NDArray[np.generic]]) -> list[Self]:
        """The answers of a batch, from the outputs of any signature.

        Raises:
          KeyError, ValueError, IndexError: outputs are missing, or their shapes do not fit together.
        """
        if DETECTIONS in outputs:
            real = [rows[rows[:, 4] > 0] for rows in np.asarray(outputs[DETECTIONS], np.float32)]
            rows_there = outputs[DETECTIONS].shape[1]
            return [cls(rows[:, :4], rows[:, 5], rows[:, 4].astype(np.int64), len(rows) == rows_there) for rows in real]
        return [
            cls(
                np.asarray(outputs[BOXES][image], np.float32)[:count],
                np.asarray(outputs[SCORES][image], np.float32)[:count],
                np.asarray(outputs[CLASSES][image], np.int64)[:count],
                int(count) == outputs[SCORES].shape[1],
            )
            for image, count in enumerate(np.asarray(outputs[COUNTS], np.int64))
        ]


def difference(ours: Sequence[Answer], theirs: Sequence[Answer]) -> str:
    """The first thing that answers to the same images say differently; empty where they say the same.

    Detections that score too little to matter are left out.
    """
    if len(ours) != len(theirs):
        return f"answers for {len(ours)} images instead of {len(theirs)}"
    # One is missing on either side where a twin was kept.
    believed_twins = 2 * round(_TWIN_SHARE * sum(compared_detections(answer) for answer in theirs))
    for image, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        floor = _compared_from(our, their) + _SCORE_TOLERANCE
        for one, other, whose in ((our, their, "unexpected"), (their, our, "missing")):
            for row in np.flatnonzero(one.scores >= floor):
                box, score, class_id = one.boxes_yxyx[row], one.scores[row], one.classes[row]
                alike = (np.abs(other.scores - score) <= _SCORE_TOLERANCE) & (other.classes == class_id)  # [N]
                near = np.abs(other.boxes_yxyx - box).max(axis=1, initial=0.0) <= _BOX_TOLERANCE  # [N]
                if np.any(alike & near):
                    continue
                if believed_twins and np.any(alike & (_iou(other.boxes_yxyx, box) >= _TWIN_IOU)):
                    believed_twins -= 1
                    continue
                sides = ", ".join(f"{side:.3f}" for side in box)
                return f"image {image}: class {class_id} score {score:.3f} box [{sides}] {whose}"
    return ""


def compared_detections(answer: Answer) -> int:
    """How many of its detections `difference` looks at."""
    return int((answer.scores >= _compared_from(answer, answer) + _SCORE_TOLERANCE).sum())


def _compared_from(*answers: Answer) -> float:
    """The score from which detections are compared: lower where all of them score little.

    Of an answer that is full, higher than the last: which of equals had no room left is decided by that last bit, too.
    """
    best = max((float(answer.scores.max()) for answer in answers if answer.scores.size), default=0.0)
    last = max((float(answer.scores.min()) for answer in answers if answer.is_full), default=0.0)
    return max(min(_SCORE_COMPARED, best / 2), last)


def _iou(boxes_yxyx: npt.NDArray[np.float32], box_yxyx: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """[N, 4], [4] -> [N]."""
    top_left = np.maximum(boxes_yxyx[:, :2], box_yxyx[:2])
    bottom_right = np.minimum(boxes_yxyx[:, 2:], box_yxyx[2:])
    shared = np.maximum(bottom_right - top_left, 0.0).prod(axis=1)
    areas = (boxes_yxyx[:, 2:] - boxes_yxyx[:, :2]).prod(axis=1)
    together = areas + (box_yxyx[2:] - box_yxyx[:2]).prod() - shared
    iou: npt.NDArray[np.float32] = np.divide(shared, together, out=np.zeros_like(shared), where=together > 0)
    return iou
