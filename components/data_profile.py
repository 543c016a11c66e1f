"""What annotated images hold, in numbers: made once, by ExampleGen, and read by everybody behind it.

The file lies beside the splits of an ``Examples`` artifact. Its size does not grow with the data set, and the profile
does not depend on the order of the images. Only reading the file imports TensorFlow; counting does without.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import posixpath
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from components.log_histogram import LogHistogram

DATA_PROFILE_FILE: Final = "data_profile.json"
"""Name of the file in an ``Examples`` artifact."""

SIDE_BINS_PER_OCTAVE: Final = 8
"""Bins of ``SplitProfile.box_sides`` between a side and its double."""
_LAST_SIDE_BIN: Final = 12 * SIDE_BINS_PER_OCTAVE


@dataclasses.dataclass
class SplitProfile:
    """Images and boxes of one split.

    Attributes:
      images: records.
      images_without_objects: records without a box.
      set_aside: boxes that are crowds or difficult: neither learnt nor judged.
      brightest: images by their largest value, 0..255, of what training decodes; empty where nothing was decoded.
      box_sides: boxes by class name and by height and width in 0..1 of the image, as logarithmic bins: (8, 16) is a
        height around 2^(-8/8) and a width around 2^(-16/8). Crowds are boxes, too.
      padded_box_sides: the same in 0..1 of the image's longer side: of a square canvas on which it keeps its aspect
        ratio.
      side_pixels: the boxes' shorter sides in pixels of the upright image.
      relative_size: the boxes' sqrt(box area / image area), 0..1.
      aspect_ratio: the boxes' width / height in pixels.
    """

    images: int = 0
    images_without_objects: int = 0
    set_aside: int = 0
    brightest: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    box_sides: dict[str, collections.Counter[tuple[int, int]]] = dataclasses.field(default_factory=dict)
    padded_box_sides: dict[str, collections.Counter[tuple[int, int]]] = dataclasses.field(default_factory=dict)
    side_pixels: LogHistogram = dataclasses.field(default_factory=LogHistogram)
    relative_size: LogHistogram = dataclasses.field(default_factory=LogHistogram)
    aspect_ratio: LogHistogram = dataclasses.field(default_factory=LogHistogram)

    @property
    def class_counts(self) -> dict[str, int]:
        """Boxes by class name, in alphabetical order."""
        return {name: self.box_sides[name].total() for name in sorted(self.box_sides)}

    @property
    def objects(self) -> int:
        """Number of boxes."""
        return sum(self.class_counts.values())

    def add(
        self,
        class_names: Sequence[str],
        boxes_xyxy_normalized: npt.ArrayLike,
        *,
        height_pixels: int,
        width_pixels: int,
        set_aside: int = 0,
        brightest: int | None = None,
    ) -> None:
        """Counts one image.

        Args:
          class_names: N names.
          boxes_xyxy_normalized: [N, 4] within 0..1 of the upright image, of positive width and height.
          height_pixels: of the upright image.
          width_pixels: of the upright image.
          set_aside: how many of the boxes are crowds or difficult.
          brightest: largest value of the decoded image, None when it was not decoded.
        """
        self.images += 1
        self.set_aside += set_aside
        if brightest is not None:
            self.brightest[brightest] += 1
        if not class_names:
            self.images_without_objects += 1
            return
        boxes = np.asarray(boxes_xyxy_normalized, np.float64)  # [N, 4]
        width, height = (boxes[:, 2:] - boxes[:, :2]).T  # [N], [N]
        sides = np.stack([height, width], axis=-1)  # [N, 2]
        padded = sides * (height_pixels, width_pixels) / max(height_pixels, width_pixels)  # [N, 2]
        for by_class, values in ((self.box_sides, sides), (self.padded_box_sides, padded)):
            bins = np.minimum(np.rint(-np.log2(values) * SIDE_BINS_PER_OCTAVE), _LAST_SIDE_BIN)  # [N, 2]
            for name, (row, column) in zip(class_names, bins.astype(int).tolist(), strict=True):
                by_class.setdefault(name, collections.Counter())[row, column] += 1
        self.side_pixels.add(np.minimum(height * height_pixels, width * width_pixels))
        self.relative_size.add(np.sqrt(height * width))
        self.aspect_ratio.add(width * width_pixels / (height * height_pixels))

    def merge(self, other: SplitProfile) -> None:
        """Adds what another profile has counted."""
        self.images += other.images
        self.images_without_objects += other.images_without_objects
        self.set_aside += other.set_aside
        self.brightest.update(other.brightest)
        for ours, theirs in (
            (self.box_sides, other.box_sides),
            (self.padded_box_sides, other.padded_box_sides),
        ):
            for name, counts in theirs.items():
                ours.setdefault(name, collections.Counter()).update(counts)
        self.side_pixels.merge(other.side_pixels)
        self.relative_size.merge(other.relative_size)
        self.aspect_ratio.merge(other.aspect_ratio)


def merged(profiles: Iterable[SplitProfile]) -> SplitProfile:
    """One profile of all that the given ones have counted; Beam takes it as a CombineFn."""
    total = SplitProfile()
    for profile in profiles:
        total.merge(profile)
    return total


@dataclasses.dataclass(frozen=True)
class DataProfile:
    """The profiles of a data set's splits, by name."""

    splits: dict[str, SplitProfile]

    def to_json(self) -> str:
        """The text of ``data_profile.json``: histograms as lists of bin and count."""
        splits = {
            name: {
                "images": split.images,
                "images_without_objects": split.images_without_objects,
                "set_aside": split.set_aside,
                "brightest": sorted(split.brightest.items()),
                **{
                    key: {
                        class_name: sorted([*sides, count] for sides, count in counts.items())
                        for class_name, counts in sorted(getattr(split, key).items())
                    }
                    for key in _SIDES
                },
                **{key: sorted(getattr(split, key).counts.items()) for key in _HISTOGRAMS},
            }
            for name, split in sorted(self.splits.items())
        }
        return json.dumps({"splits": splits}, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, examples_uri: str) -> DataProfile:
        """That of an ``examples`` artifact.

        Raises:
          tf.errors.OpError: it cannot be read.
        """
        import tensorflow as tf  # whoever counts without reading does without

        with tf.io.gfile.GFile(posixpath.join(examples_uri, DATA_PROFILE_FILE)) as file:
            return cls.from_json(file.read())

    @classmethod
    def from_json(cls, text: str) -> DataProfile:
        """Reads the text of ``data_profile.json``."""
        return cls({name: _split_of(tree) for name, tree in json.loads(text)["splits"].items()})


_SIDES: Final = ("box_sides", "padded_box_sides")
_HISTOGRAMS: Final = ("side_pixels", "relative_size", "aspect_ratio")


def _split_of(tree: dict[str, Any]) -> SplitProfile:
    return SplitProfile(
        images=tree["images"],
        images_without_objects=tree["images_without_objects"],
        set_aside=tree["set_aside"],
        brightest=collections.Counter(dict(tree["brightest"])),
        box_sides=_sides_of(tree["box_sides"]),
        padded_box_sides=_sides_of(tree["padded_box_sides"]),
        **{key: LogHistogram(collections.Counter(dict(tree[key]))) for key in _HISTOGRAMS},
    )


def _sides_of(tree: dict[str, list[tuple[int, int, int]]]) -> dict[str, collections.Counter[tuple[int, int]]]:
    return {
        name: collections.Counter({(row, column): count for row, column, count in counts})
        for name, counts in tree.items()
    }
