"""Splits: what the data calls them, and division by a stable hash."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from components.clusters import group_in_name
from components.example_gen import files
from components.example_gen.annotations import DataError, Item, Source
from components.example_gen.settings import SplitSettings, TargetSettings
from components.split_names import SPLIT_ORDER, TARGET_SPLITS

SPLIT_ALIASES: Final = {
    "train": "train",
    "training": "train",
    "trainval": "train",
    "eval": "eval",
    "evaluation": "eval",
    "val": "eval",
    "valid": "eval",
    "validation": "eval",
    "dev": "eval",
    "test": "test",
    "testing": "test",
}
"""Names found in data sets, and the canonical ones."""


def split_of_name(name: str) -> str | None:
    """Canonical split a name stands for: ``instances_val2017.json``, ``Custom-Val`` -> ``eval``; None when it has none.

    The one place that knows the words: in any case, anywhere in the name, as long as they mean one split.
    """
    words = re.findall(r"[a-z]+", posixpath.basename(name).lower())
    found = {SPLIT_ALIASES[word] for word in words if word in SPLIT_ALIASES}
    return found.pop() if len(found) == 1 else None


def split_of_path(path: str) -> str | None:
    """Canonical split of a path: its file name's, else that of the innermost folder called exactly like a split."""
    folders, name = posixpath.split(path)
    return split_of_name(name) or _split_called(folders)


def split_of_folders(folders: str) -> str | None:
    """Canonical split of the innermost folder that has a split's word in its name."""
    return next(filter(None, (split_of_name(part) for part in reversed(folders.split("/")))), None)


def splits_of_folders(folders: Iterable[str]) -> dict[str, str | None]:
    """Canonical split of each folder: ``train``, ``train/annots``.

    ``train_annot_folder`` is one as well where that makes the division complete (train and eval); alone,
    ``test_drive`` is just a name.
    """
    strict = {folder: _split_called(folder) for folder in folders}
    return _more_complete(strict, {folder: split or split_of_folders(folder) for folder, split in strict.items()})


def splits_of_files(paths: Iterable[str]) -> dict[str, str | None]:
    """Canonical split of each file: by its name's words, else by its folders as ``splits_of_folders`` has it."""
    strict = {path: split_of_path(path) for path in paths}
    loose = {path: split or split_of_folders(posixpath.dirname(path)) for path, split in strict.items()}
    return _more_complete(strict, loose)


def _split_called(folders: str) -> str | None:
    parts = [part.lower() for part in folders.split("/")]
    return next((SPLIT_ALIASES[part] for part in reversed(parts) if part in SPLIT_ALIASES), None)


def _more_complete(strict: dict[str, str | None], loose: dict[str, str | None]) -> dict[str, str | None]:
    return loose if {"train", "eval"} <= set(loose.values()) else strict


@dataclasses.dataclass(frozen=True)
class SplitPolicy:
    """Decides the split of every item.

    Attributes:
      settings: the ``data.split`` section.
      given: splits the data names that are taken as they are; items of others are hashed.
      ratios: cumulative share and name of the splits that hashed items fall into; none where all splits are given.
      names: what the records of the splits are called, where it is not as the split.
    """

    settings: SplitSettings
    given: frozenset[str]
    ratios: tuple[tuple[float, str], ...]
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of_data(cls, settings: SplitSettings, sources: Sequence[Source]) -> SplitPolicy:
        """The policy for a data set.

        Raises:
          DataError: splits are to be taken from the data (``source: given``, or it names train and eval), but it does
            not name train and eval, or names no split for some of its sources.
        """
        named = frozenset(source.split for source in sources if source.split is not None)
        unnamed = [files.join(source.root, source.path) for source in sources if source.split is None]
        complete = named >= {"train", "eval"}
        if settings.source == "given" and not complete:
            raise DataError(
                f"data.split.source is `given`, but the data names {sorted(named) or 'no splits'}; expected train and "
                "eval (val). Name the files in data.annotations, or set data.split.source to `hash`"
            )
        if complete and settings.source != "hash":
            if unnamed:
                raise DataError(
                    f"the data names the splits {sorted(named)}, but for a part of it only: not for "
                    f"{', '.join(unnamed[:5])}{', ...' if len(unnamed) > 5 else ''} (of a folder: what lies outside of "
                    "the folders called train, val or test). Move it to a split, name the files of each split in "
                    "data.annotations, or set data.split.source to `hash`"
                )
            return cls(settings, named, ())
        given = named & {"test"} if settings.source == "auto" else frozenset()
        shares = {name: share for name, share in settings.ratios.items() if name not in given}
        total, cumulative, ratios = sum(shares.values()), 0.0, []
        for name in SPLIT_ORDER:
            if name in shares:
                cumulative += shares[name] / total
                ratios.append((cumulative, name))
        return cls(settings, given, tuple(ratios))

    @classmethod
    def of_target(cls, settings: TargetSettings, sources: Sequence[Source]) -> SplitPolicy:
        """The policy for the images of ``data.target``: of a mere folder of images all are for training.

        Raises:
          DataError: as with ``of_data``.
        """
        for_training = cls(settings.split, frozenset(), ((1.0, "train"),))
        policy = for_training if settings.format == "images" else cls.of_data(settings.split, sources)
        return dataclasses.replace(policy, names=TARGET_SPLITS)

    @property
    def split_names(self) -> list[str]:
        """Every split of records there can be, in order train, eval, test."""
        possible = self.given | {name for _, name in self.ratios}
        return [self.names.get(name, name) for name in SPLIT_ORDER if name in possible]

    def assign(self, item: Item) -> str:
        """The split of records that an item belongs to; by hash unless its own is a given one."""
        if item.split in self.given:
            return self.names.get(str(item.split), str(item.split))
        fraction = hash_fraction(self.group_of(item), self.settings.salt)
        name = next((name for limit, name in self.ratios if fraction < limit), self.ratios[-1][1])
        return self.names.get(name, name)

    def lacks_group(self, item: Item) -> bool:
        """Whether an item is to be hashed by a column that it has no value in."""
        column = self.settings.group_by
        return column is not None and item.split not in self.given and column not in item.metadata

    def check_group(self, columns: Iterable[str]) -> None:
        """Passes when the column to group by is among the columns of the data set.

        Raises:
          DataError: it is not; the message has the nearest spelling and all that were found.
        """
        column, found = str(self.settings.group_by), sorted(columns)
        if column not in found:
            near = difflib.get_close_matches(column, found, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise DataError(
                f"data.split.group_by: no image has a metadata column {column!r}{hint} "
                f"(found: {', '.join(found) or 'none'})"
            )

    def group_of(self, item: Item) -> str:
        """What is hashed for an item: its group, or its name when it has none."""
        if self.settings.group_by is not None:
            value = item.metadata.get(self.settings.group_by)
            return item.name if value is None else f"{self.settings.group_by}={value}"
        if self.settings.group_pattern is not None:
            return group_in_name(self.settings.group_pattern, item.name)
        return item.name


def hash_fraction(text: str, salt: str) -> float:
    """Number in [0, 1) that depends on nothing but the two texts, on any machine and version."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8, key=salt.encode()[:64]).digest()
    return int.from_bytes(digest, "big") / 2**64
