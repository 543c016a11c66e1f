"""A pipeline for open-source Kubeflow, generated from the TFX graph: one container step a node, nothing written twice.

Kubeflow's backend has no Resolver, knows no spans and hands out artifacts without their TFX types. Therefore no
artifact is passed through it: the edges are only an order, and every step finds its inputs in ML Metadata as it would
on one machine.
"""

from __future__ import annotations

import inspect
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from kfp import compiler, dsl, kubernetes
from kfp.pipeline_spec import pipeline_spec_pb2

from kubeflow import metadata_store
from kubeflow.backend_check import check_package
from kubeflow.node import POD_VARIABLE
from kubeflow.notify import WEBHOOK_VARIABLE
from kubeflow.run_parameters import RunParameter, run_parameters
from kubeflow.step_config import encode_config
from pipeline.cluster_settings import NOTIFY_STEP, START_CHECK_STEP, ClusterSettings, StepSettings
from pipeline.config import PipelineConfig
from pipeline.config_errors import ConfigError

RETENTION_STEP: Final = "Retention"
_RUN_ID: Final = "run_id"
_RETRY_WINDOW_SECONDS: Final = 30 * 24 * 3600


def write_kfp_pipeline(config: PipelineConfig, image: str, output: pathlib.Path) -> None:
    """Compiles the graph of ``config`` into a KFP v2 YAML package.

    Args:
      config: as it holds on the cluster.
      image: of every step.
      output: the package; replaced when it is there.

    Raises:
      ConfigError: `cluster.steps` or `cluster.parameters` names what there is not.
      ValueError: the backend could not run the result.
    """
    # TFX is imported here and not above: it takes 10 s and more, and the rest of this module has no need of it.
    from kubeflow.launch import compile_graph

    # Only the order of the nodes is wanted. The steps compile the graph again, with the code and the start weights of
    # where they run; this machine need not have the weights.
    graph = compile_graph(config.model_copy(update={"model": config.model.model_copy(update={"pretrained": None})}))
    edges = {node.pipeline_node.node_info.id: list(node.pipeline_node.upstream_nodes) for node in graph.nodes}
    output.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(make_pipeline(config, image, edges), str(output))
    check_package(output)


def make_pipeline(
    config: PipelineConfig, image: str, edges: Mapping[str, list[str]]
) -> dsl.graph_component.GraphComponent:
    """The KFP pipeline.

    Args:
      config: as it holds on the cluster.
      image: of every step.
      edges: node id -> ids of the nodes it comes after, in topological order.

    Raises:
      ConfigError: `cluster.steps` or `cluster.parameters` names what there is not.
    """
    cluster, parameters = config.cluster, run_parameters(config)
    known = [START_CHECK_STEP, *edges, RETENTION_STEP, NOTIFY_STEP]
    unknown = sorted(set(cluster.steps) - set(known))
    if unknown:
        raise ConfigError(f"cluster.steps: {unknown[0]!r} is no step of this pipeline; there are {', '.join(known)}")
    # The steps are told which image they are of: Beam's workers on a cluster are to be of the same.
    with_image = {"cluster": cluster.model_copy(update={"image": image})}
    encoded = encode_config(config.model_copy(update=with_image))

    def add(node_id: str, module: str, inputs: Mapping[str, Any], extra: list[str]) -> dsl.PipelineTask:
        component = _component(node_id, module, image, encoded, parameters, extra)
        task = component(**{_RUN_ID: dsl.PIPELINE_JOB_ID_PLACEHOLDER, **inputs})
        _configure(task, node_id, config.name, cluster)
        return task

    def steps(inputs: Mapping[str, Any]) -> None:
        # Comes up within minutes or not at all; the graph's own steps may take hours, and a pod that cannot pull its
        # image ends with its time.
        start = add(START_CHECK_STEP, "kubeflow.start_check", inputs, [])
        tasks: dict[str, dsl.PipelineTask] = {}
        for node_id, upstream in edges.items():
            tasks[node_id] = add(node_id, "kubeflow.node", inputs, ["--node", node_id])
            tasks[node_id].after(*(tasks[name] for name in upstream) if upstream else (start,))
        if cluster.retention.enabled:
            add(RETENTION_STEP, "kubeflow.retention", inputs, []).after(*tasks.values())

    def body(**inputs: Any) -> None:
        if cluster.notify.webhook_secret is None:
            steps(inputs)
            return
        # An exit handler runs after failed runs as well; those are the ones worth a message.
        with dsl.ExitHandler(add(NOTIFY_STEP, "kubeflow.notify", inputs, []), name="graph"):
            steps(inputs)

    function = _by_position(body, config.name, _signature(parameters, with_defaults=True))
    function.__doc__ = _docstring(f"{config.name}: annotated images to a served detector.", parameters)
    pipeline = dsl.pipeline(name=config.name, description=f"TFX pipeline {config.name}")(function)
    _open_retry_windows(pipeline.pipeline_spec)
    return pipeline


def _open_retry_windows(spec: pipeline_spec_pb2.PipelineSpec) -> None:
    """Lets a step be retried however long its attempts take; their number and `timeout_seconds` are the limits.

    `backoff_max_duration` is not the longest wait but counts from the start of the first attempt: when it is over, Argo
    ends the attempt that runs and starts no other. kfp writes an hour at most; the backend takes any time.
    """
    for component in (spec.root, *spec.components.values()):
        for task in component.dag.tasks.values():
            if task.retry_policy.max_retry_count:
                task.retry_policy.backoff_max_duration.seconds = _RETRY_WINDOW_SECONDS


def _component(
    node_id: str, module: str, image: str, encoded: str, parameters: list[RunParameter], extra: list[str]
) -> Callable[..., dsl.PipelineTask]:
    """A container component: ``python3 -m MODULE`` with the run's id, the config and the run parameters."""

    def container(**inputs: Any) -> dsl.ContainerSpec:
        settings = [item for p in parameters for item in ("--set", f"{p.key}={inputs[p.name]}")]
        return dsl.ContainerSpec(
            image=image,
            command=["python3", "-m", module],
            args=[*extra, "--run-id", inputs[_RUN_ID], "--config", encoded, *settings],
        )

    run_id = inspect.Parameter(_RUN_ID, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=str)
    signature = _signature(parameters, with_defaults=False)
    signature = signature.replace(parameters=[run_id, *signature.parameters.values()])
    component: Callable[..., dsl.PipelineTask] = dsl.container_component(
        _by_position(container, _snake_case(node_id), signature)
    )
    return component


def _by_position(function: Callable[..., Any], name: str, signature: inspect.Signature) -> Callable[..., Any]:
    """``function``, which takes keywords, as KFP wants it: named, with a signature, called by position."""

    def positional(*values: Any) -> Any:
        return function(**dict(zip(signature.parameters, values, strict=True)))

    positional.__name__ = name
    positional.__signature__ = signature  # type: ignore[attr-defined]
    return positional


def _signature(parameters: list[RunParameter], *, with_defaults: bool) -> inspect.Signature:
    """The run parameters as the signature KFP reads its inputs from."""
    return inspect.Signature(
        [
            inspect.Parameter(
                parameter.name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                annotation=parameter.type,
                default=parameter.default if with_defaults else inspect.Parameter.empty,
            )
            for parameter in parameters
        ]
    )


def _docstring(summary: str, parameters: list[RunParameter]) -> str:
    """A docstring, from which KFP takes what its form says beside every input."""
    lines = [f"    {parameter.name}: {parameter.description}" for parameter in parameters]
    return "\n".join([summary, "", "Args:", *lines]) if lines else summary


def _snake_case(node_id: str) -> str:
    """``ObjectDetectionExampleGen`` -> ``object_detection_example_gen``."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", node_id).lower())


def _configure(task: dsl.PipelineTask, node_id: str, pipeline_name: str, cluster: ClusterSettings) -> None:
    """Everything about the step's pod."""
    step = cluster.step(node_id)
    task.set_display_name(node_id)
    # A step that Kubeflow takes from its cache would be missing in ML Metadata; TFX has a cache of its own.
    task.set_caching_options(False)
    _set_resources(task, step)
    if step.retries:
        task.set_retry(
            num_retries=step.retries,
            backoff_duration=f"{step.retry_delay_seconds}s",
            backoff_factor=step.retry_factor,
        )
    if step.timeout_seconds:
        kubernetes.set_timeout(task, step.timeout_seconds)
    for key, value in step.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    for toleration in step.tolerations:
        kubernetes.add_toleration(
            task,
            key=toleration.key,
            operator=toleration.operator,
            value=toleration.value,
            effect=toleration.effect,
            toleration_seconds=toleration.seconds,
        )
    labels = {
        "app.kubernetes.io/name": pipeline_name,
        "app.kubernetes.io/component": _snake_case(node_id).replace("_", "-"),
        "app.kubernetes.io/part-of": "object-detection-pipeline",
        **step.labels,
    }
    for key, value in labels.items():
        kubernetes.add_pod_label(task, key, value)
    for volume in cluster.volumes:
        kubernetes.mount_pvc(task, volume.claim, volume.mount_path, volume.sub_path)
    _set_environment(task, node_id, step, cluster)
    kubernetes.set_image_pull_policy(task, cluster.image_pull_policy)
    if cluster.image_pull_secret:
        kubernetes.set_image_pull_secrets(task, [cluster.image_pull_secret])


def _set_resources(task: dsl.PipelineTask, step: StepSettings) -> None:
    if step.cpu_request:
        task.set_cpu_request(step.cpu_request)
    if step.cpu_limit:
        task.set_cpu_limit(step.cpu_limit)
    if step.memory_request:
        task.set_memory_request(_in_kfps_units(step.memory_request))
    if step.memory_limit:
        task.set_memory_limit(_in_kfps_units(step.memory_limit))
    if step.gpus:
        task.set_accelerator_type(step.gpu_type).set_accelerator_limit(step.gpus)


def _in_kfps_units(memory: str) -> str:
    """``4000000k`` in bytes: kfp wants a `K` there, which Kubernetes refuses."""
    return f"{memory[:-1]}000" if memory.endswith("k") else memory


def _set_environment(task: dsl.PipelineTask, node_id: str, step: StepSettings, cluster: ClusterSettings) -> None:
    store = cluster.metadata_store
    variables = {
        metadata_store.HOST_VARIABLE: store.host,
        metadata_store.PORT_VARIABLE: str(store.port),
        metadata_store.DATABASE_VARIABLE: store.database,
        **({metadata_store.SSL_CA_VARIABLE: store.ssl_ca} if store.ssl_ca else {}),
        # Not the default in a pod: what a step prints last has to be in the log when it is killed.
        "PYTHONUNBUFFERED": "1",
        **step.env,
    }
    for name, value in variables.items():
        task.set_env_variable(name, value)
    kubernetes.use_field_path_as_env(task, POD_VARIABLE, "metadata.name")
    kubernetes.use_secret_as_env(
        task,
        store.secret,
        {store.user_key: metadata_store.USER_VARIABLE, store.password_key: metadata_store.PASSWORD_VARIABLE},
    )
    for secret in cluster.secrets:
        if secret.mount_path is not None:
            kubernetes.use_secret_as_volume(task, secret.secret, secret.mount_path)
        else:
            kubernetes.use_secret_as_env(task, secret.secret, {key: name for name, key in secret.env.items()})
    if node_id == NOTIFY_STEP and cluster.notify.webhook_secret:
        kubernetes.use_secret_as_env(
            task, cluster.notify.webhook_secret, {cluster.notify.webhook_key: WEBHOOK_VARIABLE}
        )
