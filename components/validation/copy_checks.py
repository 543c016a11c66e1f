"""From counted copies to check results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from components.data_profile import SplitProfile
from components.split_names import TARGET_SPLITS
from components.validation.duplicates import DUPLICATES, LEAKAGE, CopyTally
from components.validation.report_file import CheckResult, status_of
from components.validation.settings import ValidationSettings


def copy_checks(
    copies: Mapping[tuple[str, str], CopyTally], profiles: Mapping[str, SplitProfile], settings: ValidationSettings
) -> Iterator[CheckResult]:
    """Results of the checks ``duplicates``, ``leakage`` and ``copied_splits``, split by split.

    Args:
      copies: by check and split; what is missing has no copies.
      profiles: by split, for the number of images.
      settings: levels and limits.
    """
    for check, where, chosen in (
        (DUPLICATES, "in this split", settings.duplicates),
        (LEAKAGE, "in another split", settings.leakage),
    ):
        for split, profile in sorted(profiles.items()):
            if chosen.level == "off" or (check == LEAKAGE and split == "train"):  # the others leak from train
                continue
            copied = copies.get((check, split), CopyTally())
            near = copied.near if chosen.near else 0
            exact = copied.records - copied.near
            share = (exact + near) / max(profile.images, 1)
            yield CheckResult(
                check=check,
                split=split,
                status=status_of(chosen.level, share > chosen.max_share),
                found=(
                    f"{exact + near} of {profile.images} images ({share:.1%}) have a copy {where}: "
                    f"{exact} the same file, {near} nearly the same picture"
                ),
                limit=f"validation.{check}.max_share allows {chosen.max_share:.1%}",
                files=tuple(named for distance, named in copied.files if chosen.near or not distance),
            )
    limits = settings.copied_splits
    for split, profile in sorted(profiles.items()):
        if limits.level == "off" or split == "train":
            continue
        copied = copies.get((LEAKAGE, split), CopyTally())
        share = (copied.records - copied.near) / max(profile.images, 1)
        yield CheckResult(
            check="copied_splits",
            split=split,
            status=status_of(limits.level, share > limits.max_share),
            found=f"{copied.records - copied.near} of {profile.images} images ({share:.1%}) are files of another split",
            limit=f"validation.copied_splits.max_share allows {limits.max_share:.0%}; {_advice(split)}",
        )


def _advice(split: str) -> str:
    if split in TARGET_SPLITS.values():
        return "data.target names a folder of other images than data.path, with splits that have none in common"
    return (
        "`data.split: {source: hash, group_pattern: '[^/]+$'}` divides the images anew and keeps files of one name "
        "together"
    )
