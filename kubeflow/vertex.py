"""The same graph for Vertex AI Pipelines, through TFX's KubeflowV2DagRunner.

Vertex has Resolvers, but only two of its own strategies and no drivers of ours. What that changes, and why it is right
all the same, is in docs/kubeflow.md, "Vertex AI":

- ``LatestBlessedBefore`` becomes Vertex's latest blessed model, ``LatestBefore`` the latest artifact. They lose the
  input ``reference`` and with it their place in the order: they run at the start, before there is anything of this run.
  The contract check's verdict is no input of theirs, either: what it refused may be what the next run starts from.
- ExampleGen's driver, which chooses the span, does not run. Its step (kubeflow.vertex_step) does it instead, and is
  never taken from the cache.
"""

from __future__ import annotations

import json
import pathlib
import tempfile
from typing import Any, Final

from tfx.dsl.components.common import resolver
from tfx.dsl.input_resolution.strategies import latest_artifact_strategy, latest_blessed_model_strategy
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner
from tfx.types import channel as tfx_channel

from components.evaluator.baseline import REFERENCE_KEY, LatestBefore, LatestBlessedBefore
from components.example_gen.component import ObjectDetectionExampleGen
from components.serving_contract.keys import INFRA_BLESSING
from pipeline.config import PipelineConfig
from pipeline.config_errors import ConfigError
from pipeline.graph import create_pipeline

_MOUNT: Final = "/gcs/"
_UNKNOWN_INPUTS: Final = (REFERENCE_KEY, INFRA_BLESSING)
"""Of resolvers; Vertex's have none of the kind."""
_STRATEGIES: Final = {
    LatestBlessedBefore: latest_blessed_model_strategy.LatestBlessedModelStrategy,
    LatestBefore: latest_artifact_strategy.LatestArtifactStrategy,
}
STEP_COMMAND: Final = ("python3", "-m", "kubeflow.vertex_step")


def write_vertex_job(config: PipelineConfig, image: str, output: pathlib.Path) -> None:
    """Compiles the graph of ``config`` into a Vertex pipeline job (JSON).

    Args:
      config: as it holds in the steps: paths under ``/gcs/BUCKET``, where Vertex mounts Cloud Storage.
      image: of every step.
      output: the job; replaced when it is there.

    Raises:
      ConfigError: `cluster.root` is not under ``/gcs/``, or the file is no JSON file.
    """
    if output.suffix != ".json":
        raise ConfigError(f"--output {output}: Vertex AI takes a pipeline job in JSON; name the file *.json")
    root = str(config.pipeline_root)
    if not root.startswith(_MOUNT):
        raise ConfigError(
            f"cluster.root {config.root}: Vertex AI mounts Cloud Storage at /gcs/BUCKET; set it there, with "
            "`cluster.volumes: []`"
        )
    with tempfile.TemporaryDirectory() as folder:
        elsewhere = config.model_copy(update={"metadata": pathlib.Path(folder) / "unused.sqlite"})
        pipeline = _for_vertex(create_pipeline(elsewhere), "gs://" + root.removeprefix(_MOUNT))
        runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
            kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
                display_name=config.name, default_image=image, default_commands=list(STEP_COMMAND)
            ),
            output_dir=folder,
            output_filename="job.json",
        )
        runner.run(pipeline, write_out=True)
        job: dict[str, Any] = json.loads((pathlib.Path(folder) / "job.json").read_text())
    for task in job["pipelineSpec"]["root"]["dag"]["tasks"].values():
        if task["componentRef"]["name"] == ObjectDetectionExampleGen.__name__:
            # Its parameters do not change when new data comes; only its step can see that.
            task["cachingOptions"] = {}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(job, indent=2, sort_keys=True))


def _for_vertex(pipeline: tfx_pipeline.Pipeline, root: str) -> tfx_pipeline.Pipeline:
    """The pipeline with Vertex's own resolvers."""
    nodes = list(pipeline.components)
    for node in nodes:
        if isinstance(node, resolver.Resolver):
            _replace_strategy(node)
    return tfx_pipeline.Pipeline(
        pipeline_name=pipeline.pipeline_info.pipeline_name,
        pipeline_root=root,
        components=nodes,
        enable_cache=True,
        beam_pipeline_args=pipeline.beam_pipeline_args,
        # The nodes were made for the other pipeline and are known to its registry only.
        dsl_context_registry=pipeline.dsl_context_registry,
    )


def _replace_strategy(node: resolver.Resolver) -> None:
    """Gives a resolver its counterpart on Vertex, without the inputs that that one does not have.

    Raises:
      ConfigError: it has none.
    """
    strategy = node.exec_properties[resolver.RESOLVER_STRATEGY_CLASS]
    if strategy not in _STRATEGIES:
        raise ConfigError(f"{node.id}: Vertex AI has no resolver like {strategy.__name__}")
    channels = {key: channel for key, channel in node.raw_inputs.items() if key not in _UNKNOWN_INPUTS}
    replacement = resolver.Resolver(
        strategy_class=_STRATEGIES[strategy],
        **{key: tfx_channel.Channel(type=channel.type) for key, channel in channels.items()},
    )
    # Others refer to the node and to its output channels: it has to stay the same object.
    node._strategy_class = replacement._strategy_class
    node._input_dict, node._raw_inputs = replacement._input_dict, replacement._raw_inputs
    for key in _UNKNOWN_INPUTS:
        node._output_dict.pop(key, None)
    for upstream in list(node.upstream_nodes):
        node.remove_upstream_node(upstream)
