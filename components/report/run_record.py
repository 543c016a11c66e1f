"""What ML Metadata knows about runs: which nodes ran, were cached or failed, and where their artifacts are."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

import ml_metadata
from ml_metadata.proto import metadata_store_pb2

from components.evaluator.keys import SPLIT_PROPERTY

NodeState = Literal["ran", "cached", "failed", "unfinished"]

_STATES: Final[dict[int, NodeState]] = {
    metadata_store_pb2.Execution.COMPLETE: "ran",
    metadata_store_pb2.Execution.CACHED: "cached",
    metadata_store_pb2.Execution.FAILED: "failed",
    metadata_store_pb2.Execution.CANCELED: "failed",
}
_RESULT_PROPERTY: Final = "__execution_result__"
_TRACEBACK: Final = "Traceback"


@dataclasses.dataclass(frozen=True)
class Output:
    """One output artifact.

    Attributes:
      uri: its folder.
      properties: its custom properties, as text.
      artifact_id: of ML Metadata.
      created_seconds: since the epoch.
    """

    uri: str
    properties: Mapping[str, str]
    artifact_id: int = 0
    created_seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Origin:
    """The execution that made what a cached node hands out.

    Attributes:
      execution_id: of ML Metadata.
      started_seconds: since the epoch.
      seconds: how long it took.
    """

    execution_id: int
    started_seconds: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class NodeRun:
    """One node of the run.

    Attributes:
      node: its id.
      state: what became of it.
      seconds: how long it took.
      execution_id: of ML Metadata.
      error: why it failed, where ML Metadata has it (``write_failure``).
      outputs: the newest artifact by output key; of a cached node those of the run that made them.
      properties: what the node was told (TFX's execution properties), as text; of a cached node also what its driver
        added in the run that made its outputs.
      started_seconds: since the epoch.
      resolved: of a resolver what it found, by key: artifacts of earlier runs, none of this one's outputs.
      origin: of a cached node who made its outputs; None where that is not known.
    """

    node: str
    state: NodeState
    seconds: float
    execution_id: int
    error: str
    outputs: Mapping[str, Output]
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)
    started_seconds: float = 0.0
    resolved: Mapping[str, Output] = dataclasses.field(default_factory=dict)
    origin: Origin | None = None


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """One run of a pipeline.

    Attributes:
      pipeline_name: the pipeline.
      run_id: TFX's id of the run.
      started_seconds: since the epoch.
      nodes: in the order in which they started.
    """

    pipeline_name: str
    run_id: str
    started_seconds: float
    nodes: tuple[NodeRun, ...]

    def output(self, key: str) -> Output | None:
        """The run's newest artifact of an output key, whatever the node is called; None when there is none."""
        found = [node.outputs[key] for node in self.nodes if key in node.outputs and node.state != "failed"]
        return found[-1] if found else None

    def node(self, node_id: str) -> NodeRun | None:
        """The last attempt of a node; None when the run has none."""
        found = [node for node in self.nodes if node.node == node_id]
        return found[-1] if found else None

    def uri(self, key: str) -> str | None:
        """The folder of ``output(key)``."""
        output = self.output(key)
        return output.uri if output else None

    @property
    def pushed_to(self) -> str | None:
        """Folder of the pushed version; None when nothing was pushed."""
        pushed = self.output("pushed_model")
        if pushed is None or pushed.properties.get("pushed") != "1":
            return None
        return pushed.properties.get("pushed_destination") or pushed.uri

    @property
    def judged_split(self) -> str | None:
        """The split that the Evaluator judged on; None when the run did not get to it."""
        evaluation = self.output("evaluation")
        return evaluation.properties.get(SPLIT_PROPERTY) if evaluation else None

    @property
    def judged_on_chosen_split(self) -> bool:
        """Whether the model was judged on the split that the Trainer chose the best checkpoint on.

        Its figure is then that of a winner: somewhat too good.
        """
        told = [json.loads(node.properties["eval_args"]) for node in self.nodes if "eval_args" in node.properties]
        return any(self.judged_split in arguments["splits"] for arguments in told)


class RunNotFoundError(LookupError):
    """ML Metadata holds no such run."""


def read_run(
    connection: metadata_store_pb2.ConnectionConfig,
    pipeline_name: str,
    *,
    run_id: str | None = None,
    started_after_seconds: float = 0.0,
) -> RunRecord:
    """Reads a run from ML Metadata.

    Args:
      connection: of the store (SQLite or MySQL).
      pipeline_name: the pipeline.
      run_id: TFX's run id; None for the newest run.
      started_after_seconds: since the epoch; a newest run that is older than this does not count.

    Raises:
      RunNotFoundError: there is no such run.
    """
    store = ml_metadata.MetadataStore(connection)
    runs = _newest_first(store)
    # Clocks of the store and of the caller may differ by rounding.
    earliest = 1000 * (started_after_seconds - 1)
    wanted_runs = [run for run in runs if run_id in (None, run.name) and run.create_time_since_epoch >= earliest]
    found = _records(store, pipeline_name, wanted_runs, most=1)
    if found:
        return found[0]
    wanted = f"run {run_id!r}" if run_id else "run"
    raise RunNotFoundError(
        f"ML Metadata holds no {wanted} of the pipeline {pipeline_name!r}; expected one of {len(runs)}"
    )


def read_runs(
    connection: metadata_store_pb2.ConnectionConfig, pipeline_name: str, *, most: int | None = None
) -> list[RunRecord]:
    """Reads the runs of a pipeline from ML Metadata, the newest first; empty when there are none.

    Asks the store once a run, and not once a node of it.

    Args:
      connection: of the store (SQLite or MySQL).
      pipeline_name: the pipeline.
      most: so many of them; None for all.
    """
    store = ml_metadata.MetadataStore(connection)
    return _records(store, pipeline_name, _newest_first(store), most)


def read_only_sqlite(path: pathlib.Path) -> metadata_store_pb2.ConnectionConfig:
    """The connection to a store that is read and never written."""
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(path)
    connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
    return connection


def _newest_first(store: ml_metadata.MetadataStore) -> list[metadata_store_pb2.Context]:
    return sorted(store.get_contexts_by_type("pipeline_run"), key=lambda run: -run.create_time_since_epoch)


def _records(
    store: ml_metadata.MetadataStore,
    pipeline_name: str,
    runs: Sequence[metadata_store_pb2.Context],
    most: int | None,
) -> list[RunRecord]:
    """The first of these runs that are of the pipeline."""
    node_of = _nodes_by_execution(store, pipeline_name)
    executions: dict[int, list[metadata_store_pb2.Execution]] = {}
    taken: list[metadata_store_pb2.Context] = []
    for run in runs:
        if len(taken) == most:
            break
        ours = [execution for execution in store.get_executions_by_context(run.id) if execution.id in node_of]
        if ours:
            executions[run.id] = sorted(ours, key=lambda execution: execution.id)
            taken.append(run)
    artifacts = _artifacts_by_execution(store, [execution.id for found in executions.values() for execution in found])
    origins = _origins(store, [execution for found in executions.values() for execution in found], artifacts)
    return [
        RunRecord(
            pipeline_name,
            run.name,
            run.create_time_since_epoch / 1000,
            tuple(
                _node_run(
                    node_of[execution.id],
                    execution,
                    artifacts.get(execution.id, _Artifacts()),
                    origins.get(execution.id),
                )
                for execution in executions[run.id]
            ),
        )
        for run in taken
    ]


@dataclasses.dataclass(frozen=True)
class _Artifacts:
    """The newest artifact by key of what one execution gave out, and of what it, a resolver, found."""

    outputs: dict[str, Output] = dataclasses.field(default_factory=dict)
    resolved: dict[str, Output] = dataclasses.field(default_factory=dict)


def _node_run(
    node: str,
    execution: metadata_store_pb2.Execution,
    artifacts: _Artifacts,
    origin: metadata_store_pb2.Execution | None,
) -> NodeRun:
    return NodeRun(
        node=node,
        state=_STATES.get(execution.last_known_state, "unfinished"),
        seconds=_seconds(execution),
        execution_id=execution.id,
        error=read_failure(execution),
        outputs=artifacts.outputs,
        properties={**(_properties(origin) if origin else {}), **_properties(execution)},
        started_seconds=execution.create_time_since_epoch / 1000,
        resolved=artifacts.resolved,
        origin=Origin(origin.id, origin.create_time_since_epoch / 1000, _seconds(origin)) if origin else None,
    )


def _seconds(execution: metadata_store_pb2.Execution) -> float:
    return (execution.last_update_time_since_epoch - execution.create_time_since_epoch) / 1000


def _nodes_by_execution(store: ml_metadata.MetadataStore, pipeline_name: str) -> dict[int, str]:
    """Node by execution id, of all runs of the pipeline: one query a node."""
    prefix = f"{pipeline_name}."
    return {
        execution.id: node.name.removeprefix(prefix)
        for node in store.get_contexts_by_type("node")
        if node.name.startswith(prefix)
        for execution in store.get_executions_by_context(node.id)
    }


def _artifacts_by_execution(store: ml_metadata.MetadataStore, execution_ids: Sequence[int]) -> dict[int, _Artifacts]:
    """What each execution gave out or resolved. A resolver's finds are events of a kind of their own."""
    kinds = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.INTERNAL_OUTPUT)
    events = [
        event
        for event in (store.get_events_by_execution_ids(execution_ids) if execution_ids else ())
        if event.type in kinds and event.path.steps
    ]
    outputs = {
        artifact.id: Output(artifact.uri, _properties(artifact), artifact.id, artifact.create_time_since_epoch / 1000)
        for artifact in store.get_artifacts_by_id({event.artifact_id for event in events})
    }
    found: dict[int, _Artifacts] = {}
    for event in sorted(events, key=lambda event: event.artifact_id):
        if event.artifact_id in outputs:
            of_execution = found.setdefault(event.execution_id, _Artifacts())
            is_output = event.type == metadata_store_pb2.Event.OUTPUT
            named = of_execution.outputs if is_output else of_execution.resolved
            named[event.path.steps[0].key] = outputs[event.artifact_id]
    return found


def _origins(
    store: ml_metadata.MetadataStore,
    executions: Sequence[metadata_store_pb2.Execution],
    artifacts: Mapping[int, _Artifacts],
) -> dict[int, metadata_store_pb2.Execution]:
    """By cached execution the one that made its outputs: the first that gave them out."""
    given_out = {
        execution.id: next(iter(artifacts[execution.id].outputs.values())).artifact_id
        for execution in executions
        if execution.last_known_state == metadata_store_pb2.Execution.CACHED
        and execution.id in artifacts
        and artifacts[execution.id].outputs
    }
    first: dict[int, int] = {}
    for event in store.get_events_by_artifact_ids(set(given_out.values())) if given_out else ():
        if event.type == metadata_store_pb2.Event.OUTPUT:
            before = first.get(event.artifact_id, event.execution_id)
            first[event.artifact_id] = min(before, event.execution_id)
    makers = {execution.id: execution for execution in store.get_executions_by_id(set(first.values()))}
    found = {cached: makers.get(first.get(artifact_id, cached)) for cached, artifact_id in given_out.items()}
    return {cached: maker for cached, maker in found.items() if maker is not None and maker.id != cached}


def _properties(holder: metadata_store_pb2.Artifact | metadata_store_pb2.Execution) -> dict[str, str]:
    return {key: str(getattr(value, value.WhichOneof("value"))) for key, value in holder.custom_properties.items()}


def read_failure(execution: metadata_store_pb2.Execution) -> str:
    """Why an execution failed; empty where ML Metadata has no word of it."""
    if _RESULT_PROPERTY not in execution.custom_properties:
        return ""
    text = execution.custom_properties[_RESULT_PROPERTY].string_value
    reason = str(json.loads(text).get("resultMessage", "")).strip() if text else ""
    # TFX writes a traceback, which ends with what was raised.
    return reason.splitlines()[-1].strip() if reason.startswith(_TRACEBACK) else reason


def write_failure(store: ml_metadata.MetadataStore, execution_ids: Collection[int], reason: str) -> None:
    """Marks executions as failed, and says why where nothing is said yet.

    TFX keeps no word of an exception, and leaves the execution of a node whose driver raised as if it still ran.
    """
    executions = store.get_executions_by_id(list(execution_ids))
    for execution in executions:
        execution.last_known_state = metadata_store_pb2.Execution.FAILED
        if _RESULT_PROPERTY not in execution.custom_properties:
            execution.custom_properties[_RESULT_PROPERTY].string_value = json.dumps({"resultMessage": reason})
    if executions:
        store.put_executions(executions)
