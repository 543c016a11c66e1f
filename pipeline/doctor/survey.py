"""What ExampleGen would make of a data folder: the same reading, without Beam and without decoding an image."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Sequence

from components.data_profile import SplitProfile
from components.example_gen.annotations import AnnotationFormat, Item, LoadedImage, RecordSkippedError
from components.example_gen.boxes import CheckedObject, check_objects
from components.example_gen.formats import make_format
from components.example_gen.images import BadImageError, read_header
from components.example_gen.settings import DataSettings
from components.example_gen.sources import find_sources, listed_items
from components.example_gen.spans import resolve_spans
from components.example_gen.splits import SplitPolicy
from components.example_gen.verdict import counts_of, refusal, similar_names, summarize
from components.findings import DROP, Finding, FindingsSummary
from components.validation.learnable_checks import learnable_checks
from components.validation.settings import ValidationSettings
from schema.label_map import read_label_map


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """An image that would be a record, without its bytes."""

    split: str
    item: Item
    file: str
    objects: tuple[CheckedObject, ...]


@dataclasses.dataclass(frozen=True)
class Survey:
    """What was understood of a data folder.

    Attributes:
      settings: that it was read with.
      reader: of its format.
      pictures: in the order of the splits.
      profiles: by split.
      findings: what is wrong.
      summary: both in numbers.
      stops: why a run would stop at this data, with what to do; empty when it would not.
      warnings: what a run would say of it.
    """

    settings: DataSettings
    reader: AnnotationFormat
    pictures: tuple[Picture, ...]
    profiles: dict[str, SplitProfile]
    findings: tuple[Finding, ...]
    summary: FindingsSummary
    stops: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def classes(self) -> dict[str, int]:
        """Boxes by class name, the most frequent first."""
        total: collections.Counter[str] = collections.Counter()
        for profile in self.profiles.values():
            total.update(profile.class_counts)
        return dict(total.most_common())

    def load(self, pictures: Sequence[Picture]) -> Iterator[tuple[Picture, bytes]]:
        """The image files of some pictures."""
        of_key = {picture.item.key: picture for picture in pictures}
        by_file: dict[str, list[Item]] = {}
        for picture in sorted(pictures, key=lambda picture: picture.item.order):
            by_file.setdefault(picture.item.file, []).append(picture.item)
        for items in by_file.values():
            for loaded in self.reader.load(items):
                if isinstance(loaded, LoadedImage):
                    yield of_key[loaded.item.key], loaded.encoded

    def load_annotated(self, pictures: Sequence[Picture]) -> Iterator[LoadedImage | Finding]:
        """Some pictures with their annotations, what ``make_record`` takes, or why one cannot be loaded.

        They have no metadata columns: a column has one type over the whole data set, which only a run finds out.
        """
        items = sorted((picture.item for picture in pictures), key=lambda item: item.order)
        for _, of_source in itertools.groupby(items, key=lambda item: item.order[0]):
            yield from self.reader.load([dataclasses.replace(item, metadata={}) for item in of_source])


def survey(settings: DataSettings) -> Survey:
    """Reads a data folder.

    Raises:
      UserError: it cannot be read at all, or does not say how it is divided.
    """
    reader = make_format(settings)
    sources = find_sources(reader, resolve_spans(settings))
    policy = SplitPolicy.of_data(settings.split, sources)
    label_map = None if settings.label_map is None else read_label_map(settings.label_map)
    class_names = None if label_map is None else frozenset(label_map.names)

    findings: list[Finding] = []
    counts: collections.Counter[str] = collections.Counter()
    items: dict[str, Item] = {}
    batches = []
    for source in sources:
        batch = []
        for entry in listed_items(reader, source):
            if isinstance(entry, Finding):
                findings.append(entry)
                counts["listed"] += entry.loses_record
                counts["read_boxes"] += entry.treatment == DROP
                continue
            counts["listed"] += 1
            first = items.setdefault(entry.key, entry)
            if first is entry:
                batch.append(entry)
            else:
                found = f"listed again for {entry.split or 'the data set'}, kept for {first.split or 'the data set'}"
                findings.append(settings.bad_input.finding("duplicate_image", entry.name, "", found))
        batches.append(batch)

    pictures = []
    profiles = {split: SplitProfile() for split in policy.split_names}
    for loaded in (loaded for batch in batches for loaded in reader.load(batch)):
        if isinstance(loaded, Finding):
            findings.append(loaded)
            continue
        try:
            header = read_header(loaded.encoded)
            objects, problems = check_objects(loaded.annotation, header, loaded.file, settings.bad_input, class_names)
        except BadImageError as bad:
            findings.append(settings.bad_input.finding(bad.kind, loaded.file, "", bad.found))
            continue
        except RecordSkippedError as skipped:
            findings.append(skipped.finding)
            continue
        if header.orientation != 1:
            found = f"orientation {header.orientation}"
            findings.append(settings.bad_input.finding("rotated_image", loaded.file, "EXIF", found))
        findings.extend(problems)
        counts["read_boxes"] += loaded.annotation.box_count
        counts.update(f"class/{checked.annotation.class_name}" for checked in objects)
        split = policy.assign(loaded.item)
        profiles[split].add(
            [checked.class_name for checked in objects],
            [checked.box_xyxy_normalized for checked in objects],
            height_pixels=header.height_pixels,
            width_pixels=header.width_pixels,
            set_aside=sum(checked.annotation.is_crowd or checked.annotation.is_difficult for checked in objects),
        )
        pictures.append(Picture(split, loaded.item, loaded.file, tuple(objects)))

    findings.extend(similar_names(counts, settings.bad_input))
    for finding in findings:
        counts.update(dict(counts_of(finding)))
    summary = summarize(counts, profiles)
    error = refusal(summary, settings, [policy])
    checks = () if error else tuple(learnable_checks(profiles, ValidationSettings()))
    failed = tuple(check.describe() for check in checks if check.status == "failed")
    return Survey(
        settings=settings,
        reader=reader,
        pictures=tuple(sorted(pictures, key=lambda picture: policy.split_names.index(picture.split))),
        profiles=profiles,
        findings=tuple(findings),
        summary=summary,
        stops=(str(error),) if error else failed,
        warnings=tuple(check.describe() for check in checks if check.status == "warned"),
    )
