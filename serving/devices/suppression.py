"""From the outputs of a device model to detections, in numpy: what the SavedModel does in its graph.

This file runs with numpy alone, so that an application can take it as it is.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

_FIRST_CANDIDATES: Final = 1024
"""Best scores that are looked at first; nearly always they are enough."""
_MORE: Final = 8
"""How many times as many are looked at next."""
_BLOCK: Final = 256
"""Candidates whose overlaps are computed at once."""


class Found(NamedTuple):
    """The detections of one image, best first.

    Attributes:
      boxes_yxyx_normalized: float32 [n, 4] (ymin, xmin, ymax, xmax).
      scores: float32 [n], 0..1.
      classes: int64 [n], 0-based.
    """

    boxes_yxyx_normalized: Float32
    scores: Float32
    classes: Int64


def suppress(
    boxes_yxyx: Float32,
    scores: Float32,
    *,
    score_threshold: float,
    iou_threshold: float,
    max_per_class: int,
    max_total: int,
    window_yxyx: Float32,
) -> Found:
    """Greedy non-maximum suppression within each class, then the best of all classes.

    Boxes suppress each other as they are; what is left is clipped to the window, and what has no area then is dropped.
    Of equal scores the lower class comes first, then the lower row.

    Candidates are taken from the best score down, of all classes together, and no more are looked at than it takes.
    That gives the same as class by class, since a box is suppressed by better ones of its class alone.

    Args:
      boxes_yxyx: float32 [N, Q, 4]; Q is 1 (classes share boxes) or C (a box for each class).
      scores: float32 [N, C].
      score_threshold: boxes must score above it.
      iou_threshold: a box that overlaps a better one of its class by more is suppressed.
      max_per_class: kept of each class, before those without area are dropped.
      max_total: kept of all.
      window_yxyx: float32 [4]: where boxes are clipped to, in their own frame.

    Returns:
      At most ``max_total`` detections in the frame of ``boxes_yxyx``.
    """
    greedy = _Greedy(iou_threshold, max_per_class, max_total, window_yxyx)
    # The best of each row bounds all of it: a cheap way to a score that so many candidates reach. (What is no number is
    # no candidate.)
    best = np.fmax.reduce(scores, axis=1, initial=-np.inf)  # [N]
    above, count = np.float32(np.inf), _FIRST_CANDIDATES
    while True:
        is_last = count >= len(best)
        from_score = np.float32(-np.inf) if is_last else np.partition(best, len(best) - count)[len(best) - count]
        likely = np.flatnonzero(best >= from_score)  # [n]
        some = scores[likely]  # [n, C]
        is_next = (some >= from_score) & (some < above) & (some > np.float32(score_threshold))
        rows, classes = np.nonzero(is_next)
        found = some[rows, classes]
        rows = likely[rows]
        order = np.lexsort((rows, classes, -found))
        rows, classes, found = rows[order], classes[order], found[order]
        boxes = boxes_yxyx[rows, np.minimum(classes, boxes_yxyx.shape[1] - 1)]  # [n, 4]
        for start in range(0, len(rows), _BLOCK):
            part = slice(start, start + _BLOCK)
            if greedy.take(boxes[part], found[part], classes[part]):
                return greedy.found()
        if is_last or from_score <= score_threshold:
            return greedy.found()
        above, count = from_score, count * _MORE


def to_original_frame(found: Found, valid_height_width: Float32) -> Found:
    """Boxes normalised to the canvas -> boxes normalised to the image on it (float32 [2], its share of the canvas)."""
    shares = np.tile(valid_height_width, 2)  # [4]
    return found._replace(boxes_yxyx_normalized=np.divide(found.boxes_yxyx_normalized, shares, dtype=np.float32))


def canvas_window(valid_height_width: Float32) -> Float32:
    """float32 [2], the share of the canvas that is image -> float32 [4], the window of the image on it (yxyx)."""
    return np.concatenate([np.zeros(2, np.float32), valid_height_width]).astype(np.float32)


class _Greedy:
    """Takes candidates from the best score down, and keeps what nothing kept overlaps."""

    def __init__(self, iou_threshold: float, max_per_class: int, max_total: int, window_yxyx: Float32) -> None:
        self._iou_threshold = np.float32(iou_threshold)
        self._max_per_class, self._max_total = max_per_class, max_total
        self._window = window_yxyx.astype(np.float32)
        self._kept_boxes = np.empty((0, 4), np.float32)
        self._kept_classes = np.empty(0, np.int64)
        self._per_class: dict[int, int] = {}
        self._shown: list[Found] = []
        self._count = 0

    def take(self, boxes: Float32, scores: Float32, classes: Int64) -> bool:
        """Goes through candidates [n] in their order; whether there are enough detections."""
        if len(self._kept_boxes):
            # Most candidates surround an object that was found long since: those go first, many at once.
            is_seen = self._overlap(boxes, classes, self._kept_boxes, self._kept_classes).any(axis=1)  # [n]
            boxes, scores, classes = boxes[~is_seen], scores[~is_seen], classes[~is_seen]  # [m, 4], [m], [m]
        overlaps = self._overlap(boxes, classes, boxes, classes)  # [m, m]
        clipped = np.maximum(np.minimum(boxes, np.tile(self._window[2:], 2)), np.tile(self._window[:2], 2))  # [m, 4]
        sides = np.maximum(clipped[:, 2:] - clipped[:, :2], np.float32(0))  # [m, 2]
        has_area = sides[:, 0] * sides[:, 1] > 0  # [m]
        is_out = np.zeros(len(boxes), np.bool_)
        kept: list[int] = []
        shown: list[int] = []
        for index, name in enumerate(classes.tolist()):
            if self._count + len(shown) >= self._max_total:
                break
            if is_out[index] or self._per_class.get(name, 0) >= self._max_per_class:
                continue
            is_out |= overlaps[index]
            kept.append(index)
            self._per_class[name] = self._per_class.get(name, 0) + 1
            if has_area[index]:
                shown.append(index)
        self._kept_boxes = np.concatenate([self._kept_boxes, boxes[kept]])
        self._kept_classes = np.concatenate([self._kept_classes, classes[kept]])
        self._shown.append(Found(clipped[shown], scores[shown], classes[shown]))
        self._count += len(shown)
        return self._count >= self._max_total

    def found(self) -> Found:
        """What was kept, and has an area in the window."""
        if not self._shown:
            return Found(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))
        return Found(*(np.concatenate(parts) for parts in zip(*self._shown, strict=True)))

    def _overlap(self, boxes: Float32, classes: Int64, others: Float32, other_classes: Int64) -> npt.NDArray[np.bool_]:
        """Bool [n, m]: are they of one class, and overlap by more than may be? Corners may be in any order."""
        bottom, right, top, left = _sides(boxes)  # each [n]
        other_bottom, other_right, other_top, other_left = _sides(others)  # each [m]
        height = np.minimum(bottom[:, np.newaxis], other_bottom) - np.maximum(top[:, np.newaxis], other_top)  # [n, m]
        width = np.minimum(right[:, np.newaxis], other_right) - np.maximum(left[:, np.newaxis], other_left)  # [n, m]
        shared = np.maximum(height, np.float32(0)) * np.maximum(width, np.float32(0))  # [n, m]
        areas = (bottom - top) * (right - left)  # [n]
        other_areas = (other_bottom - other_top) * (other_right - other_left)  # [m]
        # Two boxes without area are 0 / 0, which is not more than any threshold.
        with np.errstate(invalid="ignore"):
            iou = shared / (areas[:, np.newaxis] + other_areas - shared)  # [n, m]
        return (iou > self._iou_threshold) & (classes[:, np.newaxis] == other_classes)


def _sides(boxes_yxyx: Float32) -> tuple[Float32, Float32, Float32, Float32]:
    """float32 [n, 4] -> largest y, largest x, smallest y, smallest x, each [n]."""
    y, x, other_y, other_x = np.ascontiguousarray(boxes_yxyx.T)
    return np.maximum(y, other_y), np.maximum(x, other_x), np.minimum(y, other_y), np.minimum(x, other_x)
