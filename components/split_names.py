"""What the splits of the records are called, those of the target domain among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

UNLABELLED: Final = "target"
"""Images of the domain that a model is to work in, without annotations: for strategies that adapt to it."""
TARGET_SPLITS: Final[Mapping[str, str]] = {"train": UNLABELLED, "eval": "target_eval", "test": "target_test"}
"""Splits of ``data.target`` -> what the records of them are called."""
JUDGED_TARGET_SPLITS: Final = frozenset(TARGET_SPLITS.values()) - {UNLABELLED}
"""Those with annotations: a model may be judged on them, nothing is learnt from them, no weights are chosen by them."""
SPLIT_ORDER: Final = ("train", "eval", "test", *TARGET_SPLITS.values())
