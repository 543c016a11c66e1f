"""The annotated images that a detector is evaluated on: a folder or a config's data, and of it one split.

What is wrong with them is found and named by what ExampleGen is made of; ``records`` imports TensorFlow.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from components.example_gen.annotations import RecordSkippedError
from components.findings import Finding
from components.split_names import JUDGED_TARGET_SPLITS
from components.user_error import UserError
from pipeline.config import load_config
from pipeline.config_errors import ConfigError
from pipeline.counted_progress import CountedProgress
from pipeline.doctor.folder import look_at_folder
from pipeline.doctor.survey import Picture, Survey, survey
from schema.label_map import read_label_map

ALL: Final = "all"
SPLITS: Final = ("train", "eval", "test", ALL)
WantedSplit = Literal["train", "eval", "test", "all"]

_CONFIG_ENDINGS: Final = (".yaml", ".yml")


class AnnotatedImagesError(UserError):
    """There are no images to evaluate on; the message names the folder or the split."""


@dataclasses.dataclass
class Tally:
    """What became records.

    Attributes:
      images: their number.
      objects: to be found, by class name; crowds and difficult ones are not.
      set_aside: crowds and difficult ones.
      findings: what was wrong in the data folder.
    """

    images: int = 0
    objects: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    set_aside: int = 0
    findings: list[Finding] = dataclasses.field(default_factory=list)

    @property
    def left_out(self) -> int:
        """Images of the folder that are in no split."""
        return sum(finding.loses_record for finding in self.findings)


@dataclasses.dataclass(frozen=True)
class AnnotatedImages:
    """Annotated images of one split, not loaded yet.

    Attributes:
      looked: what was read of the folder.
      described: its format and the split, in words.
      split: that was taken.
      pictures: its images.
    """

    looked: Survey
    described: str
    split: str
    pictures: tuple[Picture, ...]

    def records(self, tally: Tally, progress: CountedProgress | None = None) -> Iterator[bytes]:
        """Serialised records, as ExampleGen would write them.

        Args:
          tally: counts what came, and takes the findings, those of images that do not decode among them.
          progress: advances by each image.
        """
        from components.example_gen.records import make_record  # it imports TensorFlow

        settings = self.looked.settings
        label_map = None if settings.label_map is None else read_label_map(settings.label_map)
        tally.findings.extend(self.looked.findings)
        for loaded in self.looked.load_annotated(self.pictures):
            if progress is not None:
                progress.advance()
            if isinstance(loaded, Finding):
                tally.findings.append(loaded)
                continue
            try:
                record = make_record(loaded, settings.bad_input, label_map, {})
            except RecordSkippedError as skipped:
                tally.findings.append(skipped.finding)
                continue
            tally.images += 1
            for checked in record.objects:
                if checked.annotation.is_crowd or checked.annotation.is_difficult:
                    tally.set_aside += 1
                else:
                    tally.objects[checked.class_name] += 1
            yield record.serialized


def find_annotated_images(
    source: pathlib.Path, *, wanted_format: str | None = None, split: WantedSplit | None = None
) -> AnnotatedImages:
    """The images of a folder, or of the config of a pipeline.

    Args:
      source: a data folder, or a YAML file.
      wanted_format: of several that the folder has.
      split: which images. None: those that the Evaluator would judge on; all of a folder that names no splits.

    Raises:
      ConfigError: the config is wrong, or says nothing that could be read here.
      UserError: the data cannot be read, or the split has no image.
    """
    if source.suffix.lower() in _CONFIG_ENDINGS and source.is_file():
        if wanted_format is not None:
            raise ConfigError(f"--format is for a folder; {source} has a format of its own in data.format")
        return _of_config(source, split)
    look = look_at_folder(str(source.absolute()), wanted_format)
    looked = look.looked
    names_splits = looked.settings.split.source != "hash" and any(picture.item.split for picture in looked.pictures)
    chosen = split or (_judged(looked.pictures) if names_splits else ALL)
    if chosen != ALL and not names_splits:
        raise AnnotatedImagesError(
            f"{source}: does not say which images are of which split, so there is no split {chosen!r} of it; leave out "
            "--split, or give the config of a pipeline, whose data.split divides them"
        )
    return _of_split(looked, f"{source}: {look.layout.format}, {_named(chosen)}", chosen, source)


def _of_config(file: pathlib.Path, split: WantedSplit | None) -> AnnotatedImages:
    config = load_config(file)
    wanted = split or config.eval.split
    if wanted in JUDGED_TARGET_SPLITS:
        raise ConfigError(
            f"{file}: eval.split is {wanted!r}, of the images in data.target; give their folder as --data, or a "
            "--split of data.path"
        )
    looked = survey(config.data)
    chosen = wanted or _judged(looked.pictures)
    return _of_split(looked, f"{config.data.path}: {config.data.format}, {_named(chosen)}", chosen, file)


def _judged(pictures: Sequence[Picture]) -> str:
    """As the Evaluator chooses: ``test`` where it has objects to find, else ``eval``."""
    return "test" if any(picture.split == "test" and picture.objects for picture in pictures) else "eval"


def _named(split: str) -> str:
    return "all of it" if split == ALL else f"the split {split}"


def _of_split(looked: Survey, described: str, split: str, source: pathlib.Path) -> AnnotatedImages:
    pictures = tuple(picture for picture in looked.pictures if split in (ALL, picture.split))
    if not pictures:
        counts = collections.Counter(picture.split for picture in looked.pictures)
        there = ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
        why = f"; {looked.stops[0]}" if looked.stops and not counts else ""
        raise AnnotatedImagesError(f"{source}: no images in {_named(split)} (images: {there}){why}")
    return AnnotatedImages(looked, described, split, pictures)
