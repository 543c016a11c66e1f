"""Precision and recall of one class in every resample at once, where an image counts as often as it was drawn.

Only matched detections can raise precision or recall, so they are looked at alone, some rows at a time and from the
lowest score up: what a block of rows needs stays in the processor's cache, and the interpolated precision, which is the
highest one of all lower scores, is known when a row's turn comes.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from components.evaluator.coco_accumulation import RECALL_THRESHOLDS
from components.evaluator.coco_matching import AREA_RANGES_PIXELS, IOU_THRESHOLDS, Bits, Bools, Floats, Integers
from components.evaluator.matched_images import Detections, MatchedImages

Weights = npt.NDArray[np.float32]
"""float32 [I, R]: how often each image was drawn in each resample. Counts below 2^24 are exact."""

_Rows = npt.NDArray[Any]
"""float32 or float64 [rows, R]."""

_AREAS: Final = tuple(AREA_RANGES_PIXELS)
_NUM_THRESHOLDS: Final = len(IOU_THRESHOLDS)
_HIGHEST_RECALL: Final = len(RECALL_THRESHOLDS) - 1
_MISSED_BY_ROUNDING: Final[Integers] = np.flatnonzero(np.arange(_HIGHEST_RECALL + 1) / 100 < RECALL_THRESHOLDS)
"""Recall thresholds in percent, such as 35, that a recall of just as much misses in pycocotools' floating point."""
_NEXT_TO_NONE: Final = 1e-30
"""In the place of no detection: nothing divided by it is nothing, and any number added to it is that number."""
_ROWS_AT_ONCE: Final = 64
_MOST_OBJECTS_IN_FLOAT32: Final = 1 << 13
"""With fewer objects, every recall can be told from its neighbours in float32, which takes half as long."""


class ResampledCurve:
    """One class in one area range."""

    def __init__(
        self,
        images: MatchedImages,
        detections: Detections,
        rows: Integers,
        class_index: int,
        area: str,
        weights: Weights,
    ) -> None:
        """Looks for the detections that matter.

        Args:
          images: with the ground truth.
          detections: of one model in them.
          rows: int64, the class's detections, best score first.
          class_index: 0-based.
          area: name of the area range.
          weights: float32 [I, R], whole numbers.
        """
        place = _AREAS.index(area)
        truths = images.truths
        there = (truths.classes == class_index) & (truths.area_bits >> place & 1).astype(np.bool_)
        self._weights = weights
        self._to_find: Floats = self._sum(truths.images[there]).astype(np.float64)  # [R]
        matched_counting = _bits_of_area(detections.matched_counting[rows], place)
        matched_ignored = _bits_of_area(detections.matched_ignored[rows], place)
        in_area = (detections.area_bits[rows] >> place & 1).astype(np.bool_)
        self._places = np.flatnonzero(matched_counting | matched_ignored)  # [P], among the class's detections
        self._counting, self._ignored = matched_counting[self._places], matched_ignored[self._places]
        self._in_area, self._ranks = in_area[self._places], detections.ranks[rows[self._places]]
        self._images = detections.images[rows[self._places]]

        objects = self._to_find.max(initial=0)
        self._dtype: type[np.floating[Any]] = np.float32 if objects < _MOST_OBJECTS_IN_FLOAT32 else np.float64
        # A little above 100 / objects: a recall of just a threshold is not to fall below it by rounding, and the next
        # lower recall, by 1 / objects, is farther away than that.
        above = 1 + (2.0**-21 if self._dtype is np.float32 else 1e-10)
        self._percent = (_HIGHEST_RECALL / np.maximum(self._to_find, 1) * above).astype(self._dtype)  # [R]
        exact = self._to_find.astype(np.int64)[:, None] * _MISSED_BY_ROUNDING  # [R, missed]
        self._missed_in, missed = np.nonzero((exact % 100 == 0) & (exact > 0))
        self._missed_counts = (exact[self._missed_in, missed] // 100).astype(self._dtype)

        # Row p says which images' detections come after the matched one before p, up to p itself.
        before = np.flatnonzero(in_area[: self._places[-1] + 1]) if len(self._places) else self._places
        images_before = detections.images[rows[before]]
        seen = self._sums(np.searchsorted(self._places, before), images_before, len(self._places))
        self._seen = _accumulated(seen.astype(self._dtype, copy=False))  # [P, R]: detections in the area range so far
        np.maximum(self._seen, _NEXT_TO_NONE, out=self._seen)

    def average_precision(self, threshold: int) -> Floats:
        """float64 [R] at one IoU threshold, interpolated at 101 recalls as in ``coco_accumulation``."""
        found = np.flatnonzero(_is_set(self._counting, threshold))  # [F]
        count = len(self._to_find)
        sums = np.zeros(count)
        if len(found):
            corrections = self._corrections(threshold, found)
            images = self._images[found].tolist()
            # Of neighbours without a false positive between them the last has the highest precision.
            last = np.flatnonzero(np.append(np.diff(self._places[found]) > 1, True))
            ends = [-1, *last.tolist()]
            true_positives = self._sum(self._images[found]).astype(self._dtype)
            highest = np.zeros(count, self._dtype)
            most = min(_ROWS_AT_ONCE, len(last))
            counts, reached = (np.empty((most + 1, count), self._dtype) for _ in range(2))
            precisions = np.empty((most, count), self._dtype)
            for stop in range(len(last), 0, -most):
                start = max(stop - most, 0)
                size = stop - start
                counts[size] = true_positives
                for row in range(size, 0, -1):
                    first, end = ends[start + row - 1] + 1, ends[start + row]
                    judged, precision = self._seen[found[end]], precisions[row - 1]
                    if corrections is not None:
                        np.add(judged, corrections[end], out=precision)
                        judged = np.maximum(precision, _NEXT_TO_NONE, out=precision)
                    np.divide(counts[row], judged, out=precision)
                    highest = np.maximum(precision, highest, out=precision)
                    np.subtract(counts[row], self._weights[images[end]], out=counts[row - 1])
                    for place in range(first, end):
                        np.subtract(counts[row - 1], self._weights[images[place]], out=counts[row - 1])
                true_positives, highest = counts[0].copy(), highest.copy()
                self._recalls_reached(counts[: size + 1], reached[: size + 1])
                # Every threshold is worth the precision at the first detection that reaches it.
                gained = np.subtract(reached[1 : size + 1], reached[:size], out=reached[:size])
                sums += np.multiply(gained, precisions[:size], out=gained).sum(axis=0)
            sums += highest  # at recall 0
        return np.where(self._to_find > 0, sums / len(RECALL_THRESHOLDS), np.nan)

    def recall(self, threshold: int, max_detections: int) -> Floats:
        """float64 [R]: the highest recall with so many detections of the class in an image."""
        images = self._images[_is_set(self._counting, threshold) & (self._ranks < max_detections)]
        with np.errstate(invalid="ignore"):
            found: Floats = self._sum(images) / self._to_find
        return found  # 0 / 0 is NaN

    def _corrections(self, threshold: int, found: Integers) -> list[_Rows] | None:
        """What those detected so far, at each one found, differ by from those in the area range; None: nowhere.

        An unmatched detection is a false positive when its own area is in the range, else it is ignored.
        """
        is_found, is_ignored = _is_set(self._counting, threshold), _is_set(self._ignored, threshold)
        places = np.flatnonzero((is_found & ~self._in_area) | (is_ignored & self._in_area))
        if not len(places):
            return None
        signs = np.where(is_found[places], 1, -1).astype(self._dtype)
        rows = _accumulated(self._weights[self._images[places]] * signs[:, None])
        before = [np.zeros(len(self._to_find), self._dtype), *rows]
        return [before[place] for place in np.searchsorted(places, found, side="right")]

    def _recalls_reached(self, true_positives: _Rows, out: _Rows) -> None:
        """How many recall thresholds above 0 each count of true positives reaches; [rows, R], at most 100."""
        np.multiply(true_positives, self._percent, out=out)
        np.floor(out, out=out)
        misses = true_positives.take(self._missed_in, axis=1) == self._missed_counts
        if misses.any():
            rows, places = np.nonzero(misses)
            out[rows, self._missed_in[places]] -= 1

    def _sum(self, images: Integers) -> Weights:
        """[R]: the weights of images, one of which may be given several times."""
        if len(images) <= _ROWS_AT_ONCE:  # building a sparse matrix would take longer
            few: Weights = self._weights[images].sum(axis=0)
            return few
        sum_: Weights = self._sums(np.zeros(len(images), np.int64), images, 1)[0]
        return sum_

    def _sums(self, groups: Integers, images: Integers, count: int) -> Weights:
        """[count, R]: the weights of images by group. Without BLAS, whose idle threads burn what they save."""
        ones = np.ones(len(images), np.float32)
        chosen = sparse.csr_matrix((ones, (groups, images)), shape=(count, len(self._weights)))
        sums: Weights = chosen @ self._weights
        return sums


def _bits_of_area(bits: Bits, place: int) -> Integers:
    """The bits of one area range: bit t for IoU threshold t."""
    shifted: Integers = (bits >> np.uint64(_NUM_THRESHOLDS * place) & np.uint64((1 << _NUM_THRESHOLDS) - 1)).astype(
        np.int64
    )
    return shifted


def _is_set(bits: Integers, place: int) -> Bools:
    return (bits >> place & 1).astype(np.bool_)


def _accumulated(rows: _Rows) -> _Rows:
    """Sums of the rows so far, in place: row by row it is five times as fast as numpy's own."""
    for row in range(1, len(rows)):
        np.add(rows[row - 1], rows[row], out=rows[row])
    return rows
