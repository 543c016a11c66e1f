"""Running nodes so that how Beam computes something is no part of what is computed.

TFX's cache key takes in a node's whole executor spec, and the arguments of its Beam pipeline are in there: another
number of workers, or Flink instead of this machine, would run every Beam node again and, from new examples on, all that
follows. Here the spec that the key is made of has none.
"""

from __future__ import annotations

import types
from typing import Any

from google.protobuf import message
from tfx.orchestration.local import local_dag_runner
from tfx.orchestration.portable import launcher
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2


def without_beam_arguments(executor_spec: message.Message | None) -> message.Message | None:
    """The spec as the cache key is to see it; any other than a Beam executor's is returned as it is."""
    if not isinstance(executor_spec, executable_spec_pb2.BeamExecutableSpec):
        return executor_spec
    kept = executable_spec_pb2.BeamExecutableSpec()
    kept.CopyFrom(executor_spec)
    kept.ClearField("beam_pipeline_args")
    kept.ClearField("beam_pipeline_args_placeholders")
    return kept


class NodeLauncher(launcher.Launcher):
    """TFX's Launcher, whose cache key does not see Beam's arguments; the executor gets them all the same."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        # The operator that runs the executor was made of the whole spec above; from here on it is the key's alone.
        self._executor_spec = without_beam_arguments(arguments.get("executor_spec"))


class LocalRunner(local_dag_runner.LocalDagRunner):
    """TFX's LocalDagRunner with ``NodeLauncher``; for the TFX CLI, which replaces ``run``, it is one as any other."""

    def run_with_ir(self, pipeline: pipeline_pb2.Pipeline, run_options: pipeline_pb2.RunOptions | None = None) -> None:
        """Runs a compiled graph, or a part of it, in this process.

        Raises:
          Exception: what the failing node raised.
        """
        # The loop over the nodes is not written again here: it takes its launcher from a name of its module.
        local_dag_runner.launcher = types.SimpleNamespace(Launcher=NodeLauncher)
        try:
            super().run_with_ir(pipeline, run_options=run_options)
        finally:
            local_dag_runner.launcher = launcher
