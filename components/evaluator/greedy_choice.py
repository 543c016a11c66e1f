"""The greedy choice of COCO's matching: which object each detection takes, in all area ranges and thresholds at once.

Detections come one after the other and each takes what those before it have left. That is a loop, but most of it need
not be one: where an object's detections want no other object, its choices touch nothing else's, and the first choices
of all such objects are made at once, then their second ones, and so on.
"""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
import numpy.typing as npt

_Bits = npt.NDArray[np.uint64]
_Integers = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]


class GreedyChoice:
    """Choices as they are made; a bit stands for an area range and a threshold.

    Args:
      num_detections: N.
      counts_in: uint64 [G]: the bits in which an object counts; in the others it is ignored.
      is_crowd: bool [G]: taken any number of times.
      every_bit: all there are.

    Attributes:
      counting: uint64 [N]: the bits in which a detection has taken an object that counts.
      ignored: uint64 [N]: the same for ignored objects.
    """

    def __init__(self, num_detections: int, counts_in: _Bits, is_crowd: _Bools, every_bit: int) -> None:
        self.counting = np.zeros(num_detections, np.uint64)
        self.ignored = np.zeros(num_detections, np.uint64)
        self._free_counting = counts_in.copy()  # [G]
        self._free_ignored = np.uint64(every_bit) ^ counts_in  # [G]
        self._is_crowd = is_crowd
        self._every_bit: Final = every_bit

    def make(self, detections: _Integers, truths: _Integers, passed: _Bits) -> None:
        """Makes every choice.

        Args:
          detections: int64 [P], places of the detections in the order in which they choose; pairs of one stand together
            in the order in which it tries them.
          truths: int64 [P], places of the objects.
          passed: uint64 [P]: the bits in which the two overlap enough.
        """
        wanted = np.bincount(detections, minlength=len(self.counting))[detections]  # [P]: objects that one wants
        is_contested = np.zeros(len(self._is_crowd), np.bool_)
        is_contested[truths[wanted > 1]] = True
        is_entangled = is_contested[truths]  # [P]
        self._one_by_one(detections[is_entangled], truths[is_entangled], passed[is_entangled])
        self._all_at_once(detections[~is_entangled], truths[~is_entangled], passed[~is_entangled])

    def _all_at_once(self, detections: _Integers, truths: _Integers, passed: _Bits) -> None:
        """Detections that want one object each, which nobody else wants who wants another."""
        by_truth = np.argsort(truths, kind="stable")
        starts = np.flatnonzero(np.diff(truths[by_truth], prepend=-1))
        sizes = np.diff(starts, append=len(by_truth))
        # Objects that are wanted most come first, so that those with a choice left are always the first ones.
        most_wanted = np.argsort(-sizes, kind="stable")
        starts, sizes = starts[most_wanted], sizes[most_wanted]
        for turn in range(int(sizes.max(initial=0))):
            chooses = by_truth[starts[: np.searchsorted(-sizes, -turn)] + turn]
            detection, truth, bits = detections[chooses], truths[chooses], passed[chooses]
            taken = bits & self._free_counting[truth]
            self._free_counting[truth] ^= taken
            self.counting[detection] = taken
            taken = bits & self._free_ignored[truth] & ~taken
            self._free_ignored[truth] ^= np.where(self._is_crowd[truth], np.uint64(0), taken)
            self.ignored[detection] = taken

    def _one_by_one(self, detections: _Integers, truths: _Integers, passed: _Bits) -> None:
        # Python's own integers: numpy's would take ten times as long one by one.
        touched, places = np.unique(truths, return_inverse=True)
        free_counting: list[int] = self._free_counting[touched].tolist()
        free_ignored: list[int] = self._free_ignored[touched].tolist()
        crowd: list[bool] = self._is_crowd[touched].tolist()
        wanted, bits = places.tolist(), passed.tolist()
        starts = np.flatnonzero(np.diff(detections, prepend=-1))
        counting, ignored = [], []
        for start, end in itertools.pairwise([*starts.tolist(), len(detections)]):
            unmatched = self._every_bit
            for pair in range(start, end):
                taken = bits[pair] & free_counting[wanted[pair]] & unmatched
                free_counting[wanted[pair]] ^= taken
                unmatched ^= taken
            counting.append(self._every_bit ^ unmatched)
            unmatched_by_counting = unmatched
            for pair in range(start, end):
                taken = bits[pair] & free_ignored[wanted[pair]] & unmatched
                if not crowd[wanted[pair]]:
                    free_ignored[wanted[pair]] ^= taken
                unmatched ^= taken
            ignored.append(unmatched_by_counting ^ unmatched)
        self.counting[detections[starts]] = np.array(counting, np.uint64)
        self.ignored[detections[starts]] = np.array(ignored, np.uint64)
