"""Checks of boxes and classes, split by split.

What the splits hold is in the data's profile. What the settings object to, and in which files, takes one pass over the
records, with a state of fixed size a split.
"""

from __future__ import annotations

import collections
import dataclasses
import heapq
from collections.abc import Iterable, Iterator, Mapping

import apache_beam as beam
import numpy as np

from components.data_profile import SplitProfile
from components.split_names import UNLABELLED
from components.validation.image_facts import ImageFacts
from components.validation.report_file import CheckResult, status_of
from components.validation.settings import ValidationSettings

_SMALL, _LARGE, _SLIVER = "small_boxes", "large_boxes", "aspect_ratios"
_EMPTY = "images_without_objects"


@dataclasses.dataclass
class SplitTally:
    """What the checks object to in one split.

    Attributes:
      found: boxes (for ``images_without_objects``: images) that a check objects to, by check.
      files: the first file names, in alphabetical order, that a check objects to, by check.
    """

    found: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    files: dict[str, list[str]] = dataclasses.field(default_factory=dict)


class TallySplitFn(beam.CombineFn):
    """``ImageFacts`` of one split -> ``SplitTally``."""

    def __init__(self, settings: ValidationSettings) -> None:
        self._settings = settings

    def create_accumulator(self) -> SplitTally:
        return SplitTally()

    def add_input(self, tally: SplitTally, image: ImageFacts) -> SplitTally:
        boxes = image.boxes_yxyx_normalized.astype(np.float64)  # [N, 4]
        if not len(boxes):
            self._count(tally, _EMPTY, 1, image.file)
            return tally
        sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)  # [N, 2], height and width, 0..1
        sides = sides * [image.height_pixels, image.width_pixels]  # [N, 2], pixels as stored
        image_area = max(image.height_pixels * image.width_pixels, 1)
        relative = np.sqrt(sides.prod(axis=-1) / image_area)  # [N]
        shown_at = self._settings.small_boxes.image_side_pixels
        scale = 1.0 if shown_at is None else shown_at / max(image.height_pixels, image.width_pixels, 1)
        shorter, longer = sides.min(axis=-1) * scale, sides.max(axis=-1) * scale  # [N]

        small = self._settings.small_boxes
        too_small = (shorter < small.min_side_pixels) | (relative < small.min_relative_size)
        self._count(tally, _SMALL, int(too_small.sum()), image.file)
        too_large = relative**2 > self._settings.large_boxes.max_relative_area
        self._count(tally, _LARGE, int(too_large.sum()), image.file)
        sliver = (shorter > 0) & (longer > self._settings.aspect_ratios.max_ratio * shorter)
        self._count(tally, _SLIVER, int(sliver.sum()), image.file)
        return tally

    def _count(self, tally: SplitTally, check: str, count: int, file: str) -> None:
        if count:
            tally.found[check] += count
            tally.files[check] = heapq.nsmallest(self._settings.listed_files, [*tally.files.get(check, ()), file])

    def merge_accumulators(self, tallies: Iterable[SplitTally]) -> SplitTally:
        merged = SplitTally()
        for tally in tallies:
            merged.found.update(tally.found)
            for check, files in tally.files.items():
                both = [*merged.files.get(check, ()), *files]
                merged.files[check] = heapq.nsmallest(self._settings.listed_files, both)
        return merged

    def extract_output(self, tally: SplitTally) -> SplitTally:
        return tally


def box_checks(
    tallies: Mapping[str, SplitTally], profiles: Mapping[str, SplitProfile], settings: ValidationSettings
) -> Iterator[CheckResult]:
    """Results of the checks that look at one split's boxes and images.

    Args:
      tallies: by split; what is missing has nothing to object to.
      profiles: by split.
      settings: levels and limits.
    """
    small = settings.small_boxes
    at = "" if small.image_side_pixels is None else f" at a longer image side of {small.image_side_pixels} px"
    rows = (
        (
            _SMALL,
            small.level,
            small.max_share,
            f"smaller than {small.min_side_pixels:g} px{at} or {small.min_relative_size:.2%}",
        ),
        (
            _LARGE,
            settings.large_boxes.level,
            settings.large_boxes.max_share,
            f"cover more than {settings.large_boxes.max_relative_area:.0%} of their image",
        ),
        (
            _SLIVER,
            settings.aspect_ratios.level,
            settings.aspect_ratios.max_share,
            f"more than {settings.aspect_ratios.max_ratio:g} times as long as wide",
        ),
        (
            _EMPTY,
            settings.images_without_objects.level,
            settings.images_without_objects.max_share,
            "without a box",
        ),
    )
    for check, level, max_share, what in rows:
        for split, profile in sorted(profiles.items()):
            if level == "off" or split == UNLABELLED:
                continue
            tally = tallies.get(split, SplitTally())
            count = tally.found[check]
            total, unit = (profile.images, "images") if check == _EMPTY else (profile.objects, "boxes")
            yield CheckResult(
                check=check,
                split=split,
                status=status_of(level, count > max_share * total),
                found=f"{count} of {total} {unit} ({count / max(total, 1):.1%}) {what}",
                limit=f"validation.{check}.max_share allows {max_share:.1%}",
                files=tuple(tally.files.get(check, ())),
            )


def class_checks(profiles: Mapping[str, SplitProfile], settings: ValidationSettings) -> Iterator[CheckResult]:
    """Results of the checks that look at classes."""
    profiles = {split: profile for split, profile in profiles.items() if split != UNLABELLED}
    everywhere = {name for profile in profiles.values() for name in profile.class_counts}
    if settings.missing_classes.level != "off":
        for split, profile in sorted(profiles.items()):
            missing = sorted(everywhere - set(profile.class_counts))
            yield CheckResult(
                check="missing_classes",
                split=split,
                status=status_of(settings.missing_classes.level, bool(missing)),
                found=f"{len(missing)} of {len(everywhere)} classes are missing" + _named(missing),
                limit="every class of one split should be in all of them",
            )
    train = profiles.get("train")
    if train is None:
        return
    counts = train.class_counts
    if settings.rare_classes.level != "off":
        limit = settings.rare_classes.min_objects
        rare = [f"{name} ({count})" for name, count in sorted(counts.items(), key=lambda kv: kv[1]) if count < limit]
        yield CheckResult(
            check="rare_classes",
            split="train",
            status=status_of(settings.rare_classes.level, bool(rare)),
            found=f"{len(rare)} of {len(counts)} classes are rare" + _named(rare),
            limit=f"validation.rare_classes.min_objects asks for {limit} objects",
        )
    if settings.class_imbalance.level != "off" and counts:
        most, least = max(counts, key=lambda name: counts[name]), min(counts, key=lambda name: counts[name])
        ratio = counts[most] / counts[least]
        yield CheckResult(
            check="class_imbalance",
            split="train",
            status=status_of(settings.class_imbalance.level, ratio > settings.class_imbalance.max_ratio),
            found=f"{most} has {counts[most]} objects, {least} {counts[least]}: {ratio:.0f} to 1",
            limit=f"validation.class_imbalance.max_ratio allows {settings.class_imbalance.max_ratio:g}",
        )


def _named(names: list[str], most: int = 20) -> str:
    """``: a, b, c``, cut after ``most`` names."""
    if not names:
        return ""
    return ": " + ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
