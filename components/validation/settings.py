"""Settings of the annotation check: the ``validation`` section of the config.

Every check has a ``level``: ``off`` does not run it, ``warn`` puts what it finds into the report, ``fail`` also stops
the run, after the report has been written.
"""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from components.settings import Settings

Level = Literal["off", "warn", "fail"]
Share = Annotated[float, pydantic.Field(ge=0.0, le=1.0)]

LARGEST_HASH_DISTANCE = 24
"""Above this, unrelated pictures with the same layout start to match (nearest unrelated ones: about 40 of 256 bits)."""


class SmallBoxes(Settings):
    """Boxes that are hardly there."""

    level: Level = "warn"
    """What happens when more than `max_share` of a split's boxes are too small."""
    min_side_pixels: float = pydantic.Field(default=3.0, ge=0)
    """A box whose shorter side has fewer pixels is too small."""
    image_side_pixels: int | None = pydantic.Field(default=None, ge=16)
    """Measure boxes as if the image were resized so that its longer side has this many pixels, e.g. the detector's
    input size; unset: as the image is stored."""
    min_relative_size: Share = 0.003
    """A box with a smaller sqrt(box area / image area) is too small, whatever its pixels."""
    max_share: Share = 0.01
    """How many of a split's boxes may be too small."""


class LargeBoxes(Settings):
    """Boxes that cover the whole image: often a placeholder instead of an annotation."""

    level: Level = "warn"
    """What happens when more than `max_share` of a split's boxes are too large."""
    max_relative_area: Share = 0.99
    """A box that covers more of its image is too large."""
    max_share: Share = 0.05
    """How many of a split's boxes may be too large."""


class AspectRatios(Settings):
    """Boxes that are slivers."""

    level: Level = "warn"
    """What happens when more than `max_share` of a split's boxes are slivers."""
    max_ratio: float = pydantic.Field(default=15.0, gt=1.0)
    """Longer side over shorter side, in pixels, above which a box is a sliver."""
    max_share: Share = 0.01
    """How many of a split's boxes may be slivers."""


class ImagesWithoutObjects(Settings):
    """Images without any box: useful as background, a sign of lost annotations when they are many."""

    level: Level = "warn"
    """What happens when more than `max_share` of a split's images have no box."""
    max_share: Share = 0.5
    """How many of a split's images may be without a box."""


class LearnableObjects(Settings):
    """Objects that are learnt and judged: neither crowds (COCO) nor difficult (Pascal VOC)."""

    level: Level = "fail"
    """What happens when a split has too few of them: nothing is learnt in train, and every metric of the others is
    undefined. A test split without any annotation is a warning at most: models are then judged on eval."""
    min_objects: int = pydantic.Field(default=1, ge=1)
    """A split with fewer objects that count has too few."""


class FewImages(Settings):
    """Splits of hardly any image."""

    level: Level = "warn"
    """What happens when a split has too few images."""
    min_images: int = pydantic.Field(default=2, ge=1)
    """A split with fewer images has too few."""


class DarkImages(Settings):
    """Images that are black to a detector: mostly 16-bit PNGs that hold 10 or 12 bits, of which 8 bits keep little."""

    level: Level = "fail"
    """What happens when more than `max_share` of a split's images are dark."""
    min_brightest: int = pydantic.Field(default=48, ge=0, le=255)
    """An image without any value as high, of 0 to 255 in any channel, is dark."""
    max_share: Share = 0.5
    """How many of a split's images may be dark."""


class MissingClasses(Settings):
    """Classes that one split has and another has not: never learnt, or never judged."""

    level: Level = "warn"
    """What happens when a class is missing from a split."""


class RareClasses(Settings):
    """Classes with too few objects to learn from."""

    level: Level = "warn"
    """What happens when a class of the train split is rare."""
    min_objects: int = pydantic.Field(default=10, ge=1)
    """A class with fewer objects in the train split is rare."""


class ClassImbalance(Settings):
    """One class drowning another."""

    level: Level = "warn"
    """What happens when the train split is imbalanced."""
    max_ratio: float = pydantic.Field(default=200.0, ge=1.0)
    """Largest ratio of the most to the least frequent class of the train split, by objects."""


class Duplicates(Settings):
    """The same image twice in one split: exactly the same file, or nearly the same picture."""

    level: Level = "warn"
    """What happens when more than `max_share` of a split's images are copies of another one."""
    near: bool = True
    """Also compare pictures (see `max_hash_distance`), not only files."""
    max_share: Share = 0.05
    """How many of a split's images may have an earlier copy in the same split."""


class Leakage(Settings):
    """The same image in two splits: the model is judged on what it has seen."""

    level: Level = "warn"
    """What happens when more than `max_share` of the images of the eval or test split are in another split, too."""
    near: bool = True
    """Also compare pictures (see `max_hash_distance`), not only files."""
    max_share: Share = 0.0
    """How many of the images of the eval or test split may have a copy in another split."""


class CopiedSplits(Settings):
    """A split that is another one again: every figure of it is one of training images."""

    level: Level = "fail"
    """What happens when more than `max_share` of the images of the eval or test split are files of another split."""
    max_share: Share = 0.9
    """How many of the images of the eval or test split may be files of another split, byte for byte."""


class Distribution(Settings):
    """A comparison of distributions; which features and how far apart they may be, says `schema/schema.pbtxt`."""

    level: Level = "warn"
    """What happens when a distribution is further away than allowed."""
    max_metadata_difference: Share = 0.25
    """Limit for the per-image metadata columns, which the schema does not list: the largest difference of one value's
    share (text), or the Jensen-Shannon divergence (numbers)."""
    min_values: int = pydantic.Field(default=50, ge=1)
    """Distributions of fewer values, on either side, are not judged: the distance would be chance."""


class ValidationSettings(Settings):
    """Checks of the annotations and of the splits, before training."""

    small_boxes: SmallBoxes = SmallBoxes()
    """Boxes that are hardly there."""
    large_boxes: LargeBoxes = LargeBoxes()
    """Boxes that cover the whole image."""
    aspect_ratios: AspectRatios = AspectRatios()
    """Boxes that are slivers."""
    images_without_objects: ImagesWithoutObjects = ImagesWithoutObjects()
    """Images without any box."""
    learnable_objects: LearnableObjects = LearnableObjects()
    """Objects that are learnt and judged."""
    few_images: FewImages = FewImages()
    """Splits of hardly any image."""
    dark_images: DarkImages = DarkImages()
    """Images that are black to a detector."""
    missing_classes: MissingClasses = MissingClasses()
    """Classes that one split has and another has not."""
    rare_classes: RareClasses = RareClasses()
    """Classes with too few objects to learn from."""
    class_imbalance: ClassImbalance = ClassImbalance()
    """One class drowning another."""
    duplicates: Duplicates = Duplicates()
    """The same image twice in one split."""
    leakage: Leakage = Leakage()
    """The same image in two splits."""
    copied_splits: CopiedSplits = CopiedSplits()
    """A split that is another one again."""
    skew: Distribution = Distribution()
    """The train split against each other split."""
    drift: Distribution = Distribution()
    """The train split against that of the run before, e.g. of an earlier span."""
    max_hash_distance: int = pydantic.Field(default=16, ge=0, le=LARGEST_HASH_DISTANCE)
    """Two pictures are nearly the same when at most this many of the 256 bits of their difference hashes differ.
    Re-encoding and resizing change about 0 to 8, neighbouring frames of a fixed camera 10 to 30; different pictures of
    one kind differ in 60 and more."""
    listed_files: int = pydantic.Field(default=10, ge=0)
    """How many files each check names in the report."""

    @property
    def compares_pictures(self) -> bool:
        """Whether any check needs the perceptual hash, for which images are decoded at a fraction of their size."""
        return any(check.level != "off" and check.near for check in (self.duplicates, self.leakage))
