"""The order in which splits are named."""

from __future__ import annotations

from collections.abc import Iterable

from components.split_names import SPLIT_ORDER


def in_split_order(splits: Iterable[str]) -> list[str]:
    """Names of splits, train first, names of the user's own last.

    >>> in_split_order(["test", "extra", "train"])
    ['train', 'test', 'extra']
    """
    return sorted(
        splits, key=lambda split: (SPLIT_ORDER.index(split) if split in SPLIT_ORDER else len(SPLIT_ORDER), split)
    )
