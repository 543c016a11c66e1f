"""Stable sorting in half of the time, or a tenth, of numpy's own: it merges what other ways sort faster."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]

_FEW: Final = 4096
"""So few are sorted faster as they are."""


def best_first(scores: _Floats) -> _Integers:
    """Places by falling score; equal scores stay as they are, NaN comes last: ``argsort(-scores, kind="stable")``."""
    if len(scores) <= _FEW:
        return np.argsort(-scores, kind="stable")
    rising = -scores
    places = np.argsort(rising)  # by the processor's vector instructions, which leave equal scores in any order
    rising = rising[places]
    is_higher = (rising[1:] != rising[:-1]) & ~np.isnan(rising[:-1])
    steps = np.concatenate([[0], np.cumsum(is_higher)])  # [N], the same for equal scores
    in_order = np.sort(steps * len(scores) + places)
    return in_order % len(scores)


def ordered_by(keys: _Integers, places: _Integers) -> _Integers:
    """Places in ascending order of their keys (0 or more); equal keys stay as they are.

    Small keys are sorted as 16-bit numbers, which numpy sorts by radix: ten times as fast.
    """
    is_small = keys.max(initial=0) <= np.iinfo(np.uint16).max
    chosen = keys[places]
    return places[np.argsort(chosen.astype(np.uint16) if is_small else chosen, kind="stable")]
