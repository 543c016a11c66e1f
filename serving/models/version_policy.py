"""Which of a model's versions ought to be in memory, as TF Serving's `model_version_policy` says it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable


@dataclasses.dataclass(frozen=True)
class VersionPolicy:
    """The newest so many, all of them, or those that are named.

    Attributes:
      latest: how many of the newest; None: no limit.
      specific: only these versions; empty: whichever there are.
    """

    latest: int | None = 1
    specific: frozenset[int] = frozenset()

    def choose(self, newest_first: Iterable[int], is_usable: Callable[[int], bool]) -> list[int]:
        """Versions to have in memory, newest first.

        Args:
          newest_first: versions there are.
          is_usable: whether a version can be had; it is asked for no more of them than are needed. A version that
            cannot is passed over, and the next older one takes its place.
        """
        chosen: list[int] = []
        for version in newest_first:
            if self.latest is not None and len(chosen) == self.latest:
                break
            if (not self.specific or version in self.specific) and is_usable(version):
                chosen.append(version)
        return chosen


NEWEST = VersionPolicy()
ALL = VersionPolicy(latest=None)
