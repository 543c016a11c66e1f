"""Is the newest data different enough to train again? ``python -m kubeflow.drift --file CONFIG [--trigger SCHEDULE]``.

Compares the annotations of the newest span with those of the span that the served model was trained on: the share of
each class, and how large objects are. Annotations are read by the same readers as in ExampleGen, images at most for
their size; no run is started to find out whether a run is worth it.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import io
import math
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

import ml_metadata
from ml_metadata.proto import metadata_store_pb2
from PIL import Image

from components.example_gen.annotations import DataError, ImageAnnotation, Item, LoadedImage
from components.example_gen.settings import DataSettings
from components.example_gen.spans import resolve_spans
from kubeflow import client as kfp_client
from kubeflow import schedule
from kubeflow.client import ClusterError
from kubeflow.metadata_store import StoreAddress, UnreachableError, wait_for_store
from kubeflow.step_config import add_config_arguments, config_from_arguments
from pipeline.cluster_settings import DriftSettings
from pipeline.config_errors import ConfigError

EXIT_DRIFT: Final = 10
_EXAMPLE_GEN: Final = "ObjectDetectionExampleGen"
_ACTIVE: Final = (metadata_store_pb2.Execution.NEW, metadata_store_pb2.Execution.RUNNING)

# Square root of a box's share of the image, in octaves from 1/64 to 1: half a size is one bin away.
_SIZE_BINS: Final = 7


@dataclasses.dataclass(frozen=True)
class DataProfile:
    """What annotations look like.

    Attributes:
      classes: objects by class name.
      sizes: objects by octave of their size relative to the image, largest first.
    """

    classes: collections.Counter[str]
    sizes: collections.Counter[int]

    @property
    def objects(self) -> int:
        """Number of objects."""
        return self.classes.total()


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


def profile(settings: DataSettings) -> DataProfile:
    """Reads the annotations of the spans that ``settings`` name.

    Raises:
      DataError: there are none.
    """
    from components.example_gen.executor import find_sources
    from components.example_gen.formats import make_format

    reader = make_format(settings)
    classes: collections.Counter[str] = collections.Counter()
    sizes: collections.Counter[int] = collections.Counter()
    for source in find_sources(reader, resolve_spans(settings)):
        items = [item for item in reader.items(source) if isinstance(item, Item)]
        for loaded in reader.load(items):
            if isinstance(loaded, LoadedImage):
                for name, size in _objects(loaded.annotation, loaded.encoded):
                    classes[name] += 1
                    sizes[min(_SIZE_BINS - 1, int(-math.log2(max(size, 2.0**-_SIZE_BINS))))] += 1
    return DataProfile(classes, sizes)


def _objects(annotation: ImageAnnotation, encoded: bytes) -> Iterator[tuple[str, float]]:
    """Class name and relative size (square root of the share of the image, 0..1) of each usable object."""
    width, height = 1.0, 1.0
    if not annotation.normalized:
        if annotation.width_pixels and annotation.height_pixels:
            width, height = annotation.width_pixels, annotation.height_pixels
        else:
            with Image.open(io.BytesIO(encoded)) as image:
                width, height = image.size
    for found in annotation.objects:
        xmin, ymin, xmax, ymax = found.box_xyxy
        share = (xmax - xmin) / width * (ymax - ymin) / height
        if found.class_name is not None and math.isfinite(share) and share > 0:
            yield found.class_name, min(1.0, math.sqrt(share))


def compare(before: DataProfile, now: DataProfile) -> Drift:
    """How far two profiles, neither of them empty, are apart."""
    names = sorted(before.classes.keys() | now.classes.keys())
    moved = {name: abs(now.classes[name] / now.objects - before.classes[name] / before.objects) for name in names}
    largest = max(names, key=lambda name: moved[name])
    return Drift(moved[largest], largest, _jensen_shannon(before.sizes, now.sizes))


def _jensen_shannon(one: collections.Counter[int], other: collections.Counter[int]) -> float:
    """Jensen-Shannon divergence of two histograms, base 2."""
    divergence = 0.0
    for key in one.keys() | other.keys():
        p, q = one[key] / one.total(), other[key] / other.total()
        divergence += sum(x / 2 * math.log2(x / ((p + q) / 2)) for x in (p, q) if x > 0)
    return divergence


def training_span(store: ml_metadata.MetadataStore, pipeline_name: str) -> int | None:
    """The span that the last pushed model was trained on; None when nothing was pushed."""
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
    return _span(max(examples, key=lambda artifact: artifact.id))


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


def judge(store: ml_metadata.MetadataStore, name: str, data: DataSettings, limits: DriftSettings) -> tuple[bool, str]:
    """Whether to train again, and why.

    Raises:
      DataError: a span is not there.
    """
    trained = training_span(store, name)
    newest = resolve_spans(data)[0].span
    taken = taken_already(store, name, newest, limits.retry_hours, time.time())
    if taken is not None and newest != trained:
        return False, taken
    if trained is None:
        return True, "nothing was pushed yet"
    if newest == trained:
        return False, f"span {newest} is the one the served model was trained on"
    now, before = profile(data), profile(data.model_copy(update={"span": trained}))
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
    kfp_client.add_client_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        config = config_from_arguments(arguments)
        address = StoreAddress.from_environment()
        wait_for_store(address, config.cluster.metadata_store.wait_seconds)
        store = ml_metadata.MetadataStore(address.connection_config())
        drifted, why = judge(store, config.name, config.data, config.cluster.drift)
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
    except (ConfigError, ClusterError, DataError) as error:
        print(error, file=sys.stderr)
        return 2
    except UnreachableError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
