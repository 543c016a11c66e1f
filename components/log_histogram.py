"""A histogram with logarithmic bins: quantiles of positive numbers from a small, mergeable, order-independent state.

Sketches give slightly different answers for different orders of the same data, which makes a rerun differ from the run
it repeats; fixed bins do not.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

BINS_PER_OCTAVE: Final = 64
"""Bins between a number and its double: a quantile is off by at most 0.6 %."""


@dataclasses.dataclass
class LogHistogram:
    """Counts of positive numbers; bin k is around 2^(k / ``BINS_PER_OCTAVE``), so that 1 and 0.5 are met exactly."""

    counts: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)

    def add(self, values: npt.NDArray[np.floating]) -> None:
        """Counts positive, finite numbers, [N]."""
        self.counts.update(np.rint(np.log2(values.astype(np.float64)) * BINS_PER_OCTAVE).astype(int).tolist())

    def merge(self, other: LogHistogram) -> None:
        """Adds what another histogram has counted."""
        self.counts.update(other.counts)

    def quantiles(self, levels: Sequence[float]) -> tuple[float, ...]:
        """The numbers below which the shares ``levels`` (0..1) of the data lie; empty when nothing was counted."""
        bins = sorted(self.counts)
        if not bins:
            return ()
        cumulative = np.cumsum([self.counts[number] for number in bins])
        # The k-th smallest number, k from 1, is in the first bin whose cumulative count reaches k.
        ranks = np.clip(np.ceil(np.asarray(levels) * cumulative[-1]), 1, cumulative[-1])
        return tuple(float(2 ** (bins[place] / BINS_PER_OCTAVE)) for place in np.searchsorted(cumulative, ranks))
