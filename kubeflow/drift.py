"""Is the newest data different enough to train again? ``python -m kubeflow.drift --file CONFIG [--trigger SCHEDULE]``.

Compares the annotations of the newest span with the profile of the examples that the served model was trained on: the
share of each class, and how large objects are. Annotations are read and checked as in ExampleGen, images at most for
their size; no run is started to find out whether a run is worth it.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import math
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Final

import ml_metadata
from ml_metadata.proto import metadata_store_pb2

from components.data_profile import DataProfile, SplitProfile, merged
from components.example_gen.annotations import DataError, Item, LoadedImage, RecordSkippedError
from components.example_gen.settings import DataSettings
from components.example_gen.spans import resolve_spans
from components.log_histogram import BINS_PER_OCTAVE
from kubeflow import client as kfp_client
from kubeflow import schedule
from kubeflow.client import ClusterError
from kubeflow.metadata_store import StoreAddress, UnreachableError, wait_for_store
from kubeflow.step_config import add_config_arguments, config_from_arguments
from pipeline.cluster_settings import DriftSettings
from pipeline.config_errors import ConfigError
from schema.label_map import LabelMapError, read_label_map

EXIT_DRIFT: Final = 10
_EXAMPLE_GEN: Final = "ObjectDetectionExampleGen"
_ACTIVE: Final = (metadata_store_pb2.Execution.NEW, metadata_store_pb2.Execution.RUNNING)

_SIZE_BINS: Final = 7
"""Sizes relative to the image, in octaves from 1/64 to 1: half a size is one bin away."""


@dataclasses.dataclass(frozen=True)
class Drift:
    """The comparison of two profiles.

    Attributes:
      class_distance: L-infinity distance of the classes' shares.
      moved_class: the class that moved most.
      size_distance: Jensen-Shannon divergence (base 2, 0 to 1) of the sizes.
    """

    class_distance: float
    moved_class: str
    size_distance: float

    def beyond(self, limits: DriftSettings) -> bool:
        """Whether a limit is passed."""
        return self.class_distance > limits.max_class_distance or self.size_distance > limits.max_size_distance


def profile(settings: DataSettings) -> SplitProfile:
    """Reads the annotations of the spans that ``settings`` name, all splits together.

    Raises:
      DataError: there are none.
    """
    from components.example_gen.boxes import check_objects
    from components.example_gen.formats import make_format
    from components.example_gen.images import BadImageError, read_header
    from components.example_gen.sources import find_sources

    reader = make_format(settings)
    label_map = None if settings.label_map is None else read_label_map(settings.label_map)
    class_names = None if label_map is None else frozenset(label_map.names)
    found = SplitProfile()
    for source in find_sources(reader, resolve_spans(settings)):
        for loaded in reader.load([item for item in reader.items(source) if isinstance(item, Item)]):
            if not isinstance(loaded, LoadedImage):
                continue
            try:
                header = read_header(loaded.encoded)
                objects, _ = check_objects(loaded.annotation, header, loaded.file, settings.bad_input, class_names)
            except (BadImageError, RecordSkippedError):
                continue
            found.add(
                [checked.class_name for checked in objects],
                [checked.box_xyxy_normalized for checked in objects],
                height_pixels=header.height_pixels,
                width_pixels=header.width_pixels,
            )
    return found


def training_profile(examples: metadata_store_pb2.Artifact) -> SplitProfile | None:
    """What ExampleGen wrote down about examples, all splits together; None when it is gone."""
    import tensorflow as tf

    try:
        return merged(DataProfile.read(examples.uri).splits.values())
    except tf.errors.NotFoundError:
        return None


def compare(before: SplitProfile, now: SplitProfile) -> Drift:
    """How far two profiles, neither of them without objects, are apart."""
    one, other = before.class_counts, now.class_counts
    moved = {
        name: abs(other.get(name, 0) / now.objects - one.get(name, 0) / before.objects)
        for name in sorted(one.keys() | other.keys())
    }
    largest = max(moved, key=lambda name: moved[name])
    return Drift(moved[largest], largest, _jensen_shannon(_sizes(before), _sizes(now)))


def _sizes(profile: SplitProfile) -> collections.Counter[int]:
    """Objects by octave of their size relative to the image, largest first."""
    octaves: collections.Counter[int] = collections.Counter()
    for number, count in profile.relative_size.counts.items():
        octaves[min(_SIZE_BINS - 1, -number // BINS_PER_OCTAVE)] += count
    return octaves


def _jensen_shannon(one: collections.Counter[int], other: collections.Counter[int]) -> float:
    """Jensen-Shannon divergence of two histograms, base 2."""
    divergence = 0.0
    for key in one.keys() | other.keys():
        p, q = one[key] / one.total(), other[key] / other.total()
        divergence += sum(x / 2 * math.log2(x / ((p + q) / 2)) for x in (p, q) if x > 0)
    return divergence


def training_examples(store: ml_metadata.MetadataStore, pipeline_name: str) -> metadata_store_pb2.Artifact | None:
    """The examples that the last pushed model was trained on; None when nothing was pushed."""
    pipeline = store.get_context_by_type_and_name("pipeline", pipeline_name)
    artifacts = store.get_artifacts_by_context(pipeline.id) if pipeline else []
    pushed = [
        artifact.id
        for artifact in artifacts
        if artifact.type == "PushedModel" and artifact.custom_properties["pushed"].int_value == 1
    ]
    if not pushed:
        return None
    [run, *_] = [c for c in store.get_contexts_by_artifact(max(pushed)) if c.type == "pipeline_run"]
    examples = [a for a in store.get_artifacts_by_context(run.id) if a.type == "Examples"]
    return max(examples, key=lambda artifact: artifact.id)


def _span(examples: metadata_store_pb2.Artifact) -> int:
    span = examples.custom_properties["span"]
    return int(span.string_value or span.int_value)


def taken_already(
    store: ml_metadata.MetadataStore, pipeline_name: str, span: int, retry_hours: float, now_seconds: float
) -> str | None:
    """Why a run of this span is not to be started once more; None when it is not known to have been tried."""
    pipeline = store.get_context_by_type_and_name("pipeline", pipeline_name)
    if pipeline is None:
        return None
    since_ms = (now_seconds - retry_hours * 3600) * 1000
    executions = {execution.id: execution for execution in store.get_executions_by_context(pipeline.id)}
    if any(
        execution.last_known_state in _ACTIVE and execution.last_update_time_since_epoch > since_ms
        for execution in executions.values()
    ):
        return "a run is under way"
    made = _outputs_by_execution(store, list(executions))
    takers = {i for i, artifacts in made.items() if any(a.type == "Examples" and _span(a) == span for a in artifacts)}
    # Not every blessing that belongs to a run was made in it: resolvers look up those of earlier ones.
    deciders = {i for i, artifacts in made.items() if any(a.type == "ModelBlessing" for a in artifacts)}
    if any(run & deciders for run in _runs_of(store, takers)):
        return f"span {span} was trained on, and the gate decided about the model"
    recent = {i for i, execution in executions.items() if execution.last_update_time_since_epoch > since_ms}
    # The Examples may be older than the run: it took them from the cache.
    if takers & recent:
        return f"a run took span {span} less than {retry_hours:g} h ago and failed"
    # A reader that failed does not say what it read.
    node = store.get_context_by_type_and_name("node", f"{pipeline_name}.{_EXAMPLE_GEN}")
    readers = {execution.id for execution in store.get_executions_by_context(node.id)} if node else set()
    if any(not run & readers & made.keys() for run in _runs_of(store, readers & recent)):
        return f"a run started less than {retry_hours:g} h ago, and its data could not be read"
    return None


def _outputs_by_execution(
    store: ml_metadata.MetadataStore, execution_ids: list[int]
) -> dict[int, list[metadata_store_pb2.Artifact]]:
    """What executions made, or took from the cache instead of making it; those that made nothing are left out."""
    events = [
        event
        for event in store.get_events_by_execution_ids(execution_ids)
        if event.type == metadata_store_pb2.Event.OUTPUT
    ]
    artifacts = {a.id: a for a in store.get_artifacts_by_id(sorted({event.artifact_id for event in events}))}
    made: dict[int, list[metadata_store_pb2.Artifact]] = collections.defaultdict(list)
    for event in events:
        made[event.execution_id].append(artifacts[event.artifact_id])
    return made


def _runs_of(store: ml_metadata.MetadataStore, execution_ids: set[int]) -> list[set[int]]:
    """The runs that executions belong to, each as the ids of its executions."""
    contexts = {c.id: c for i in execution_ids for c in store.get_contexts_by_execution(i) if c.type == "pipeline_run"}
    return [{execution.id for execution in store.get_executions_by_context(identity)} for identity in contexts]


def read_served_drift(path: pathlib.Path) -> str | None:
    """What has drifted of what is served, in words; None: nothing.

    Args:
      path: the ``drift.json`` of ``python -m pipeline drift``.

    Raises:
      DataError: the file cannot be read.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        beyond = [name for name, figure in report["figures"].items() if figure["is_beyond"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: is not what `python -m pipeline drift` writes: {error!r}") from error
    return f"what version {report['version']} is asked has drifted: {', '.join(beyond)}" if beyond else None


def judge(
    store: ml_metadata.MetadataStore,
    name: str,
    data: DataSettings,
    limits: DriftSettings,
    served_drift: str | None = None,
) -> tuple[bool, str]:
    """Whether to train again, and why.

    Args:
      store: ML Metadata.
      name: of the pipeline.
      data: where its spans are.
      limits: what is too different.
      served_drift: what has drifted of what is served: a reason to learn a span that has come, even one that is like
        the last; None: nothing.

    Raises:
      DataError: a span is not there.
    """
    examples = training_examples(store, name)
    trained = None if examples is None else _span(examples)
    newest = resolve_spans(data)[0].span or 0
    taken = taken_already(store, name, newest, limits.retry_hours, time.time())
    if taken is not None and newest != trained:
        return False, taken
    if examples is None:
        return True, "nothing was pushed yet"
    if newest == trained:
        # The same data would give the same model.
        label = f"; {served_drift}: label some of it as span {newest + 1}" if served_drift else ""
        return False, f"span {newest} is the one the served model was trained on{label}"
    if served_drift is not None:
        return True, f"{served_drift}, and span {newest} has come since"
    now, before = profile(data), training_profile(examples)
    if before is None:
        return True, f"the profile of span {trained}, which the served model was trained on, is gone"
    if min(now.objects, before.objects) < limits.min_objects:
        return False, f"span {newest} has {now.objects} objects, span {trained} {before.objects}: too few to judge"
    drift = compare(before, now)
    text = (
        f"span {newest} against span {trained}: classes {drift.class_distance:.3f} (limit {limits.max_class_distance}, "
        f"most in {drift.moved_class!r}), sizes {drift.size_distance:.3f} (limit {limits.max_size_distance})"
    )
    return drift.beyond(limits), text


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 no drift or run triggered, 10 drift, 2 config or refusal, 3 store out of reach."""
    parser = argparse.ArgumentParser(prog="python -m kubeflow.drift", description=__doc__.splitlines()[0])
    add_config_arguments(parser)
    parser.add_argument("--trigger", metavar="SCHEDULE", help="start a run of this schedule when there is drift")
    parser.add_argument("--experiment", help="of the schedule; default: the pipeline's name")
    parser.add_argument(
        "--served-drift", type=pathlib.Path, metavar="FILE", help="drift.json of `python -m pipeline drift`"
    )
    kfp_client.add_client_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        config = config_from_arguments(arguments)
        address = StoreAddress.from_environment()
        wait_for_store(address, config.cluster.metadata_store.wait_seconds)
        store = ml_metadata.MetadataStore(address.connection_config())
        served_drift = None if arguments.served_drift is None else read_served_drift(arguments.served_drift)
        drifted, why = judge(store, config.name, config.data, config.cluster.drift, served_drift)
        print(f"{'drift' if drifted else 'no drift'}: {why}", flush=True)
        if not drifted:
            return 0
        if arguments.trigger is None:
            return EXIT_DRIFT
        experiment = arguments.experiment or config.cluster.experiment or config.name
        namespace = arguments.namespace or config.cluster.namespace
        client = kfp_client.connect(arguments)
        with kfp_client.api_errors():
            experiment_id = str(client.create_experiment(experiment, namespace=namespace).experiment_id)
            print(f"run {schedule.trigger(client, arguments.trigger, experiment_id)} started")
    except (ConfigError, ClusterError, DataError, LabelMapError) as error:
        print(error, file=sys.stderr)
        return 2
    except UnreachableError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
