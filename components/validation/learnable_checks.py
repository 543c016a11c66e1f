"""Checks for splits on which nothing can be learnt or judged; they look at the data's profile only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from components.data_profile import SplitProfile
from components.split_names import JUDGED_TARGET_SPLITS, UNLABELLED
from components.validation.report_file import CheckResult, status_of
from components.validation.settings import Level, ValidationSettings


def learnable_checks(profiles: Mapping[str, SplitProfile], settings: ValidationSettings) -> Iterator[CheckResult]:
    """Results of the checks ``learnable_objects``, ``few_images`` and ``dark_images``, split by split."""
    for split, profile in sorted(profiles.items()):
        if settings.learnable_objects.level != "off" and split != UNLABELLED:
            least = settings.learnable_objects.min_objects
            # Test images often come without annotations, and so do those of a target domain; then models are judged on
            # eval.
            unjudged = split in ("test", *JUDGED_TARGET_SPLITS) and not profile.objects
            level: Level = "warn" if unjudged else settings.learnable_objects.level
            yield CheckResult(
                check="learnable_objects",
                split=split,
                status=status_of(level, profile.objects - profile.set_aside < least),
                found=_learnable(profile),
                limit=(
                    f"validation.learnable_objects.min_objects asks for {least} that are neither"
                    if least > 1
                    else "at least one must be neither"
                ),
            )
        if settings.few_images.level != "off":
            least = settings.few_images.min_images
            yield CheckResult(
                check="few_images",
                split=split,
                status=status_of(settings.few_images.level, profile.images < least),
                found=f"{profile.images} images",
                limit=(
                    f"validation.few_images.min_images asks for {least}; add images, or, where they are divided by "
                    "hash, raise its share in data.split.ratios"
                ),
            )
        if settings.dark_images.level != "off":
            limits = settings.dark_images
            dark = sum(count for value, count in profile.brightest.items() if value < limits.min_brightest)
            yield CheckResult(
                check="dark_images",
                split=split,
                status=status_of(limits.level, dark > limits.max_share * profile.images),
                found=(
                    f"{dark} of {profile.images} images ({dark / max(profile.images, 1):.1%}) have no value above "
                    f"{limits.min_brightest - 1} of 255 (a 16-bit PNG must use its whole range)"
                ),
                limit=f"validation.dark_images.max_share allows {limits.max_share:.1%}",
            )


def _learnable(profile: SplitProfile) -> str:
    if not profile.objects:
        return f"none of {profile.images} images has an object"
    found = f"{profile.set_aside} of {profile.objects} objects are difficult or crowds"
    return f"{found}, which are neither learnt nor judged"
