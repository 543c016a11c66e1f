"""Executor of the ExampleGen: one Beam pipeline from annotation files to shards of records, and the report about it.

Only names, boxes and metadata go through Beam's groupings. An image is read, decoded, checked and written by the worker
that writes its shard, few at a time, so that memory does not grow with the images; a runner that keeps grouped data in
memory (as the DirectRunner does) then holds some hundred bytes an image. Which shard an image falls into and its place
in there follow from a hash of its key: shuffled, and the same on every run.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import apache_beam as beam
import tensorflow as tf
from absl import logging
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import Artifact, artifact_utils

from components.atomic_files import write_atomically
from components.data_profile import DATA_PROFILE_FILE, DataProfile, SplitProfile, merged
from components.example_gen.annotations import AnnotationFormat, Item, Source
from components.example_gen.findings_writer import WriteFindingParts, remove_parts
from components.example_gen.formats import make_format
from components.example_gen.keys import EXAMPLES, FINDINGS, SETTINGS, SPANS
from components.example_gen.metadata import scalars, type_of, widest
from components.example_gen.report import check_report, finished_report, write_report
from components.example_gen.settings import DataSettings
from components.example_gen.shards import ShardWriter, shard_path
from components.example_gen.sources import find_sources, listed_items
from components.example_gen.spans import SpanFolder, spans_from_json, target_folder
from components.example_gen.splits import SplitPolicy
from components.example_gen.verdict import check_accounts, counts_of
from components.findings import DROP, Finding
from schema.features import SPAN_COLUMN
from schema.label_map import LabelMap, read_label_map

_FINDINGS_TAG: Final = "findings"
_COUNTS_TAG: Final = "counts"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Reads ``data`` settings and span folders from the execution properties, writes examples and findings."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the pipeline.

        Raises:
          DataError: a data folder as a whole cannot be used.
          BadInputError: more was skipped than allowed, or something was found that is treated as ``fail``.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        settings = DataSettings.model_validate_json(exec_properties[SETTINGS])
        label_map = None if settings.label_map is None else read_label_map(settings.label_map)
        readings = [Reading.of_data(settings, spans_from_json(exec_properties[SPANS])), *Reading.of_target(settings)]
        split_names = [split for reading in readings for split in reading.policy.split_names]

        examples = artifact_utils.get_single_instance(output_dict[EXAMPLES])
        findings = artifact_utils.get_single_instance(output_dict[FINDINGS])
        examples.split_names = artifact_utils.encode_split_names(split_names)
        examples_utils.set_payload_format(examples, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
        examples_utils.set_file_format(examples, "tfrecords_gzip")
        for split in split_names:
            tf.io.gfile.makedirs(posixpath.join(examples.uri, f"Split-{split}"))
        tf.io.gfile.makedirs(findings.uri)

        with self._make_beam_pipeline() as pipeline:
            read_examples(pipeline, settings, readings, label_map, examples.uri, findings.uri)
        ShardWriter.remove_unfinished(examples.uri)
        remove_parts(findings.uri)
        summary = finished_report(findings.uri)
        check_accounts(summary)
        logging.info("Wrote %s images, %s boxes; findings: %s", summary.images, summary.boxes, summary.findings)
        check_report(summary, settings, [reading.policy for reading in readings], findings.uri)


@dataclasses.dataclass(frozen=True)
class Reading:
    """A data folder, or the spans of one, and how it is read.

    Attributes:
      settings: of this folder.
      reader: of its format.
      sources: what there is to read.
      policy: which split an image belongs to.
    """

    settings: DataSettings
    reader: AnnotationFormat
    sources: Sequence[Source]
    policy: SplitPolicy

    @classmethod
    def of_data(cls, settings: DataSettings, spans: Sequence[SpanFolder]) -> Reading:
        """The annotated images.

        Raises:
          DataError: the folders cannot be used.
        """
        reader = make_format(settings)
        sources = find_sources(reader, spans)
        return cls(settings, reader, sources, SplitPolicy.of_data(settings.split, sources))

    @classmethod
    def of_target(cls, settings: DataSettings) -> list[Reading]:
        """The images of the target domain, whose keys begin with ``target/``; none without ``data.target``.

        Raises:
          DataError: the folder cannot be used.
        """
        of_target = settings.of_target
        if settings.target is None or of_target is None:
            return []
        reader = make_format(of_target)
        found = find_sources(reader, [target_folder(of_target)])
        sources = [dataclasses.replace(source, key_prefix="target/") for source in found]
        return [cls(of_target, reader, sources, SplitPolicy.of_target(settings.target, sources))]


def read_examples(
    pipeline: beam.Pipeline,
    settings: DataSettings,
    readings: Sequence[Reading],
    label_map: LabelMap | None,
    examples_uri: str,
    findings_uri: str,
) -> None:
    """Adds the whole of ExampleGen to a Beam pipeline; it writes its results itself."""
    read = [
        pipeline | f"Read[{'/'.join(reading.policy.split_names)}]" >> _Read(reading, label_map, examples_uri)
        for reading in readings
    ]
    findings = [of_one.findings for of_one in read] | "AllFindings" >> beam.Flatten()
    counts = [of_one.counts for of_one in read] | "AllCounts" >> beam.Flatten() | "SumCounts" >> beam.CombinePerKey(sum)
    profiles = [of_one.profiles for of_one in read] | "AllProfiles" >> beam.Flatten()
    _ = (
        pipeline
        | "Report" >> beam.Create([findings_uri])
        | "WriteReport"
        >> beam.Map(
            write_report,
            bad_input=settings.bad_input,
            parts=beam.pvalue.AsIter(findings | "FindingParts" >> WriteFindingParts(findings_uri)),
            counts=beam.pvalue.AsDict(counts),
            profiles=beam.pvalue.AsDict(profiles),
        )
    )
    _ = (
        pipeline
        | "Profile" >> beam.Create([examples_uri])
        | "WriteProfile" >> beam.Map(_write_profile, profiles=beam.pvalue.AsDict(profiles))
    )


class _ReadResult(NamedTuple):
    """PCollections: ``Finding``s, pairs of what is counted and how often, profiles by split."""

    findings: beam.PCollection
    counts: beam.PCollection
    profiles: beam.PCollection


class _Read(beam.PTransform):
    """Reads one folder and writes its records."""

    def __init__(self, reading: Reading, label_map: LabelMap | None, examples_uri: str) -> None:
        super().__init__()
        self._reading = reading
        self._writer = ShardWriter(reading.settings, reading.reader, label_map, examples_uri)

    def expand(self, pipeline: beam.Pipeline) -> _ReadResult:
        reading = self._reading
        return _read(pipeline, reading.settings, reading.reader, reading.sources, reading.policy, self._writer)


def _read(
    pipeline: beam.Pipeline,
    settings: DataSettings,
    reader: AnnotationFormat,
    sources: Sequence[Source],
    policy: SplitPolicy,
    writer: ShardWriter,
) -> _ReadResult:
    listed = (
        pipeline
        | "Sources" >> beam.Create(list(sources), reshuffle=True)
        | "ListImages" >> beam.ParDo(_ListImages(reader)).with_outputs(_FINDINGS_TAG, main="items")
    )
    kept = (
        listed["items"]
        | "KeyByImage" >> beam.Map(lambda item: (item.key.encode("utf-8", "surrogateescape"), item))
        | "GroupByImage" >> beam.GroupByKey()
        | "KeepFirst" >> beam.ParDo(_KeepFirst(settings)).with_outputs(_FINDINGS_TAG, main="items")
    )
    metadata_types = (
        kept["items"]
        | "MetadataTypes"
        >> beam.FlatMap(lambda item: [(name, type_of(value)) for name, value in item.metadata.items()])
        | "WidestType" >> beam.CombinePerKey(widest)
    )
    assigned = kept["items"] | "AssignSplit" >> beam.ParDo(
        _AssignSplit(settings, policy), types=beam.pvalue.AsDict(metadata_types)
    ).with_outputs(_FINDINGS_TAG, main="items")
    images_per_split = (
        assigned["items"] | "SplitNames" >> beam.Keys() | "CountImages" >> beam.combiners.Count.PerElement()
    )
    written = (
        assigned["items"]
        | "AssignShard" >> beam.Map(
            lambda pair, counts: (
                shard_path(pair[0], pair[1], counts[pair[0]], settings.shard_images, len(sources)),
                pair[1],
            ),
            counts=beam.pvalue.AsDict(images_per_split),
        )
        | "GroupByShard" >> beam.GroupByKey()
        | "WriteShard" >> beam.ParDo(
            _WriteShard(writer), types=beam.pvalue.AsDict(metadata_types)
        ).with_outputs(_FINDINGS_TAG, _COUNTS_TAG, main="profiles")
    )  # fmt: skip
    profiles = written["profiles"] | "MergeProfiles" >> beam.CombinePerKey(merged)
    steps = (listed, kept, assigned, written)
    findings = tuple(step[_FINDINGS_TAG] for step in steps) | "AllFindings" >> beam.Flatten()
    counts = (
        written[_COUNTS_TAG],
        listed["items"] | "CountListed" >> beam.Map(lambda _: ("listed", 1)),
        findings | "CountFindings" >> beam.FlatMap(counts_of),
        listed[_FINDINGS_TAG]
        | "LostWhileListing" >> beam.Filter(lambda finding: finding.loses_record)
        | "CountLost" >> beam.Map(lambda _: ("listed", 1)),
        listed[_FINDINGS_TAG]
        | "DroppedWhileListing" >> beam.Filter(lambda finding: finding.treatment == DROP)
        | "CountBoxes" >> beam.Map(lambda _: ("read_boxes", 1)),
    ) | "AllCounts" >> beam.Flatten()
    return _ReadResult(findings, counts, profiles)


def _write_profile(examples_uri: str, profiles: Mapping[str, SplitProfile]) -> None:
    write_atomically(posixpath.join(examples_uri, DATA_PROFILE_FILE), DataProfile(dict(profiles)).to_json().encode())


class _ListImages(beam.DoFn):
    def __init__(self, reader: AnnotationFormat) -> None:
        self._reader = reader

    def process(self, source: Source) -> Iterator[Any]:
        for entry in listed_items(self._reader, source):
            yield beam.pvalue.TaggedOutput(_FINDINGS_TAG, entry) if isinstance(entry, Finding) else entry


class _KeepFirst(beam.DoFn):
    def __init__(self, settings: DataSettings) -> None:
        self._settings = settings

    def process(self, group: tuple[bytes, Iterable[Item]]) -> Iterator[Any]:
        first, *others = sorted(group[1], key=lambda item: item.order)
        yield first
        for item in others:
            found = f"listed again for {item.split or 'the data set'}, kept for {first.split or 'the data set'}"
            finding = self._settings.bad_input.finding("duplicate_image", item.name, "", found)
            yield beam.pvalue.TaggedOutput(_FINDINGS_TAG, finding)


class _AssignSplit(beam.DoFn):
    """Puts the split before each item, and leaves it the columns to keep: the one that groups may not be of them."""

    def __init__(self, settings: DataSettings, policy: SplitPolicy) -> None:
        self._settings = settings
        self._policy = policy

    def process(self, item: Item, types: Mapping[str, str]) -> Iterator[Any]:
        if self._policy.lacks_group(item):
            self._policy.check_group(types)
            where = str(self._settings.split.group_by)
            finding = self._settings.bad_input.finding("missing_group", item.name, where, "no value in this column")
            yield beam.pvalue.TaggedOutput(_FINDINGS_TAG, finding)
            if finding.loses_record:
                return
        columns = self._settings.metadata
        wanted = None if columns is None else [*columns, SPAN_COLUMN]
        yield self._policy.assign(item), dataclasses.replace(item, metadata=scalars(item.metadata, wanted))


class _WriteShard(beam.DoFn):
    def __init__(self, writer: ShardWriter) -> None:
        self._writer = writer

    def process(self, shard: tuple[str, Iterable[Item]], types: Mapping[str, str]) -> Iterator[Any]:
        path, items = shard
        written = self._writer.write(path, items, types)
        yield written.split, written.profile
        for count in written.counts.items():
            yield beam.pvalue.TaggedOutput(_COUNTS_TAG, count)
        for finding in written.findings:
            yield beam.pvalue.TaggedOutput(_FINDINGS_TAG, finding)
