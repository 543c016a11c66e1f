"""One node of the graph, run by TFX's portable Launcher against the shared store, so that it can be run again.

A step of Kubeflow may be run more than once: its pod was evicted, killed or failed and is retried. TFX's Launcher would
take up the execution the last attempt left behind, whatever state it is in, and let new outputs fall between old ones.
Here an attempt that ended without saying so is first marked as failed and what it wrote is removed; then the node gets
a new execution of its own. A node that had succeeded is not run again.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import tempfile
from collections.abc import Iterable
from typing import Any, Final

import ml_metadata
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import data_types_utils, metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import execution_publish_utils, runtime_parameter_utils
from tfx.orchestration.portable.mlmd import common_utils, context_lib, execution_lib
from tfx.proto.orchestration import pipeline_pb2

from components.report.run_record import read_failure, write_failure
from components.user_error import failure_reason
from pipeline.config import PipelineConfig
from pipeline.graph import create_pipeline
from pipeline.node_launcher import NodeLauncher

RUN_PROPERTY: Final = "kfp_run_id"
POD_PROPERTY: Final = "kfp_pod_name"

_SYSTEM_NODES: Final = (
    "tfx.dsl.components.common.importer.Importer",
    "tfx.dsl.components.common.resolver.Resolver",
)
_ABANDONED: Final = "the step's process ended without saying so (pod evicted or killed)"


class StepError(RuntimeError):
    """The node did not do its work; the message says why."""


@dataclasses.dataclass(frozen=True)
class StepIdentity:
    """Who runs the node.

    Attributes:
      run_id: Kubeflow's id of the run, and TFX's.
      pod_name: where; empty outside of a cluster.
    """

    run_id: str
    pod_name: str


def compile_graph(config: PipelineConfig) -> pipeline_pb2.Pipeline:
    """The TFX graph in its intermediate representation.

    The graph names an SQLite store, as it runs on one machine; TFX makes its folder at once. Here the store is another
    one, so that folder is a temporary one.
    """
    with tempfile.TemporaryDirectory() as folder:
        elsewhere = config.model_copy(update={"metadata": pathlib.Path(folder) / "unused.sqlite"})
        return compiler.Compiler().compile(create_pipeline(elsewhere))


def find_node(graph: pipeline_pb2.Pipeline, node_id: str) -> pipeline_pb2.PipelineNode:
    """The node of that id.

    Raises:
      StepError: there is none.
    """
    nodes = {node.pipeline_node.node_info.id: node.pipeline_node for node in graph.nodes}
    if node_id not in nodes:
        raise StepError(f"--node {node_id}: the graph has no such node; it has {', '.join(nodes)}")
    return nodes[node_id]


class FreshLauncher(NodeLauncher):
    """A launcher that gives every attempt an execution of its own, and says in it which pod made the attempt."""

    def __init__(self, *, identity: StepIdentity, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._identity = identity

    def _register_or_reuse_execution(
        self,
        metadata_handle: metadata.Metadata,
        contexts: list[metadata_store_pb2.Context],
        input_artifacts: Any = None,
        exec_properties: Any = None,
    ) -> metadata_store_pb2.Execution:
        earlier = execution_lib.get_executions_associated_with_all_contexts(metadata_handle, contexts)
        for execution in earlier:
            if execution_lib.is_execution_successful(execution):
                return execution
        execution = execution_publish_utils.register_execution(
            metadata_handle=metadata_handle,
            execution_type=self._pipeline_node.node_info.type,
            contexts=contexts,
            input_artifacts=input_artifacts,
            exec_properties=exec_properties,
        )
        _sign([execution], self._identity)
        metadata_handle.store.put_executions([execution])
        return execution


class NodeRun:
    """One node of one run.

    Args:
      config: of the pipeline, run parameters applied.
      node_id: the node.
      identity: who runs it.
      connection: the metadata store.

    Raises:
      StepError: the graph has no such node.
    """

    def __init__(
        self,
        config: PipelineConfig,
        node_id: str,
        identity: StepIdentity,
        connection: metadata_store_pb2.ConnectionConfig,
    ) -> None:
        self._graph = compile_graph(config)
        runtime_parameter_utils.substitute_runtime_parameter(
            self._graph, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: identity.run_id}
        )
        self._node = find_node(self._graph, node_id)
        self._root = config.pipeline_root
        self._identity = identity
        self._connection = connection

    def register_types(self) -> None:
        """Makes the contexts and types of the node; to be called under ``store_lock``, for they must be made once."""
        with metadata.Metadata(self._connection) as handle:
            context_lib.prepare_contexts(metadata_handle=handle, node_contexts=self._node.contexts)
            common_utils.register_type_if_not_exist(handle, self._node.node_info.type)
            for output in self._node.outputs.outputs.values():
                common_utils.register_type_if_not_exist(handle, output.artifact_spec.type)

    def executions(self) -> list[metadata_store_pb2.Execution]:
        """All attempts at this node in this run, oldest first."""
        store = ml_metadata.MetadataStore(self._connection)
        found: dict[int, metadata_store_pb2.Execution] | None = None
        for spec in self._node.contexts.contexts:
            context = store.get_context_by_type_and_name(spec.type.name, str(data_types_utils.get_value(spec.name)))
            if context is None:
                return []
            here = {execution.id: execution for execution in store.get_executions_by_context(context.id)}
            found = here if found is None else {key: value for key, value in found.items() if key in here}
        return [execution for _, execution in sorted((found or {}).items())]

    def fail_unfinished(self, reason: str = _ABANDONED) -> list[int]:
        """Marks attempts that are still NEW or RUNNING as failed and removes what they wrote; returns their ids."""
        unfinished = [execution.id for execution in self.executions() if execution_lib.is_execution_active(execution)]
        write_failure(ml_metadata.MetadataStore(self._connection), unfinished, reason)
        for execution_id in unfinished:
            self._remove_outputs(execution_id)
        return unfinished

    def run(self) -> str:
        """Runs the node, unless it has succeeded before in this run.

        Returns:
          What happened, in a few words.

        Raises:
          StepError: its inputs are missing or could not be resolved.
          Exception: what the executor raised.
        """
        abandoned = self.fail_unfinished()
        if abandoned:
            print(
                f"executions {abandoned} were left behind by an attempt that was killed: marked as failed", flush=True
            )
        if self._node.node_info.type.name in _SYSTEM_NODES and any(map(_successful, self.executions())):
            return "had succeeded before"
        config = runner_utils.extract_local_deployment_config(self._graph)
        node_id = self._node.node_info.id
        node_launcher = FreshLauncher(
            identity=self._identity,
            pipeline_node=self._node,
            mlmd_connection=metadata.Metadata(self._connection),
            pipeline_info=self._graph.pipeline_info,
            pipeline_runtime_spec=self._graph.runtime_spec,
            executor_spec=runner_utils.extract_executor_spec(config, node_id),
            custom_driver_spec=runner_utils.extract_custom_driver_spec(config, node_id),
        )
        try:
            launched = node_launcher.launch()
        except Exception as error:
            failed = [execution.id for execution in self.executions()[-1:] if not _successful(execution)]
            write_failure(ml_metadata.MetadataStore(self._connection), failed, failure_reason(error))
            raise
        if launched is None or launched.execution_id is None:
            # The Launcher calls this skipping and returns as if all was well.
            raise StepError(f"{node_id} was not run: inputs are missing, see the log above for the ones it resolved")
        return self._outcome(launched.execution_id)

    def _outcome(self, execution_id: int) -> str:
        """Reads from the store what became of the execution: the Launcher does not raise for every failure."""
        store = ml_metadata.MetadataStore(self._connection)
        [execution] = store.get_executions_by_id([execution_id])
        if RUN_PROPERTY not in execution.custom_properties:
            _sign([execution], self._identity)
            store.put_executions([execution])
        if not _successful(execution):
            raise StepError(f"{self._node.node_info.id}: {_message(execution)}")
        cached = execution.last_known_state == metadata_store_pb2.Execution.CACHED
        return f"execution {execution_id} {'cached' if cached else 'complete'}"

    def _remove_outputs(self, execution_id: int) -> None:
        """Deletes ``<root>/<node>/<output>/<execution>``, where TFX puts outputs."""
        for folder in (self._root / self._node.node_info.id).glob(f"*/{execution_id}"):
            shutil.rmtree(folder, ignore_errors=True)


def _successful(execution: metadata_store_pb2.Execution) -> bool:
    return bool(execution_lib.is_execution_successful(execution))


def _sign(executions: Iterable[metadata_store_pb2.Execution], identity: StepIdentity) -> None:
    for execution in executions:
        execution.custom_properties[RUN_PROPERTY].string_value = identity.run_id
        execution.custom_properties[POD_PROPERTY].string_value = identity.pod_name


def _message(execution: metadata_store_pb2.Execution) -> str:
    """What became of an execution, and why."""
    state = metadata_store_pb2.Execution.State.Name(execution.last_known_state)
    return ": ".join(filter(None, (f"execution {execution.id} is {state}", read_failure(execution))))
