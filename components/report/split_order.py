"""The order in which splits are named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_ORDER: Final = ("train", "eval", "test")


def in_split_order(splits: Iterable[str]) -> list[str]:
    """Names of splits, train first, names of the user's own last.

    >>> in_split_order(["test", "extra", "train"])
    ['train', 'test', 'extra']
    """
    return sorted(splits, key=lambda split: (_ORDER.index(split) if split in _ORDER else len(_ORDER), split))
