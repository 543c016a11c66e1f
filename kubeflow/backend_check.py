"""Whether the open-source backend of Kubeflow Pipelines can run a compiled package.

``python -m kubeflow.backend_check FILE``. That a client compiles or uploads a file proves nothing: the backend finds
out while a run is under way, or never says (spans are ignored). What is refused here, and why:

- ``resolver`` executors: "resolver executors not implemented" in the backend's driver.
- ``lifecycle.preCacheCheck``: the span driver of TFX's ExampleGen; the backend does not run it.
- TFX's own container entry point, and artifacts of ``tfx.*`` types: the backend hands out artifacts without type.
- parameters of the 2.0 schema (``type: INT``), ``customJob`` executors, `{{$...}}` placeholders unknown to the backend.
- a retry window (`backoffMaxDuration`, from the start of the first attempt) that the attempts do not fit in: Argo kills
  the one that runs when it is over.
- Kubeflow's cache: a step taken from it would be missing in ML Metadata.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

INSTALL_ADVICE: Final = "install kfp and kfp-kubernetes as requirements.lock has them (`make install`)"
_PLACEHOLDER: Final = re.compile(r"\{\{\$.*?\}\}")
_KNOWN_PLACEHOLDER: Final = re.compile(
    r"\{\{\$\.(inputs\.parameters\[(['\"]).+?\2\]|pipeline_job_(uuid|name|resource_name)|pipeline_task_(uuid|name))\}\}"
)
_EXECUTORS: Final = ("container", "importer")
_CONTAINER_FIELDS: Final = ("image", "command", "args", "env", "resources")
_TFX_ENTRY_POINT: Final = "tfx.orchestration.kubeflow"
_NAME: Final = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")


def check_package(path: pathlib.Path) -> None:
    """Reads a compiled package and checks it.

    Raises:
      ValueError: the backend cannot run it, and the message lists every reason; or what checks it is not installed.
    """
    try:
        documents = [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read as YAML: {error}") from error
    try:
        problems = list(find_problems(documents))
    except ImportError as error:
        raise ValueError(f"{path}: cannot be checked: {error}; {INSTALL_ADVICE}") from error
    if problems:
        raise ValueError("\n  ".join([f"{path}: the open-source backend cannot run this:", *problems]))


def find_problems(documents: Sequence[Any]) -> Iterator[str]:
    """What the backend cannot run, a line each.

    Args:
      documents: the YAML documents of a package: the pipeline spec and, if there is one, the platform spec.
    """
    if not documents or not isinstance(documents[0], Mapping) or "root" not in documents[0]:
        yield "the first document is no pipeline spec (no `root`); expected what `kubeflow.compile` writes"
        return
    spec = documents[0]
    yield from _schema_problems(documents)
    name = spec.get("pipelineInfo", {}).get("name", "")
    if not _NAME.match(name):
        yield f"pipelineInfo.name {name!r}: expected lower-case letters, digits and dashes"
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    for label, executor in executors.items():
        yield from _executor_problems(label, executor)
    components = {**spec.get("components", {}), "root": spec["root"]}
    timeouts = _timeouts_seconds(documents[1:])
    for label, component in components.items():
        yield from _component_problems(label, component, executors, components)
        yield from _retry_problems(label, component, components, timeouts)


def _timeouts_seconds(platform_specs: Sequence[Any]) -> dict[str, int]:
    """Executor label -> longest time that its pod may run, for those that have a limit."""
    return {
        label: int(executor["activeDeadlineSeconds"])
        for document in platform_specs
        if isinstance(document, Mapping)
        for label, executor in document.get("platforms", {})
        .get("kubernetes", {})
        .get("deploymentSpec", {})
        .get("executors", {})
        .items()
        if "activeDeadlineSeconds" in executor
    }


def _retry_problems(
    label: str, component: Mapping[str, Any], components: Mapping[str, Any], timeouts_seconds: Mapping[str, int]
) -> Iterator[str]:
    for name, task in component.get("dag", {}).get("tasks", {}).items():
        policy = task.get("retryPolicy", {})
        executor = components.get(task.get("componentRef", {}).get("name"), {}).get("executorLabel")
        attempts = int(policy.get("maxRetryCount", 0)) + 1
        window = float(str(policy.get("backoffMaxDuration", "0s")).removesuffix("s"))
        needed = timeouts_seconds.get(executor, 0) * attempts
        if attempts > 1 and window < needed:
            yield (
                f"{label}.{name}: {attempts} attempts of up to {timeouts_seconds[executor]} s do not fit in the "
                f"{window:.0f} s of retryPolicy.backoffMaxDuration, after which Argo kills the one that runs"
            )


def _schema_problems(documents: Sequence[Any]) -> Iterator[str]:
    """Fields that the messages behind the YAML do not have."""
    from google.protobuf import json_format
    from kfp.kubernetes import kubernetes_executor_config_pb2
    from kfp.pipeline_spec import pipeline_spec_pb2

    version = str(documents[0].get("schemaVersion", ""))
    if not version.startswith("2.1"):
        yield f"schemaVersion {version!r}: expected 2.1.x"
    try:
        json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
    except json_format.ParseError as error:
        yield f"pipeline spec: {error}"
    for document in documents[1:]:
        platforms = document.get("platforms", {}) if isinstance(document, Mapping) else {}
        for platform in set(platforms) - {"kubernetes"}:
            yield f"platforms.{platform}: only `kubernetes` is known to the backend"
        executors = platforms.get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
        for label, executor in executors.items():
            if label not in documents[0].get("deploymentSpec", {}).get("executors", {}):
                yield f"platforms.kubernetes: {label} is no executor of the pipeline"
            try:
                json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
            except json_format.ParseError as error:
                yield f"platforms.kubernetes.{label}: {error}"


def _executor_problems(label: str, executor: Mapping[str, Any]) -> Iterator[str]:
    for kind in executor:
        if kind == "resolver":
            yield f"{label}: a resolver; resolver executors are not implemented in the backend"
        elif kind not in _EXECUTORS:
            yield f"{label}: {kind}; expected one of {', '.join(_EXECUTORS)}"
    container = executor.get("container")
    if container is None:
        return
    if "lifecycle" in container:
        yield f"{label}: lifecycle.preCacheCheck (TFX's span driver); the backend ignores it, no span is chosen"
    for field in set(container) - {*_CONTAINER_FIELDS, "lifecycle"}:
        yield f"{label}: container.{field}; expected one of {', '.join(_CONTAINER_FIELDS)}"
    if not container.get("image"):
        yield f"{label}: no image"
    words = [str(word) for word in [*container.get("command", []), *container.get("args", [])]]
    if any(_TFX_ENTRY_POINT in word for word in words):
        yield f"{label}: TFX's own container entry point, which needs typed artifacts from the backend"
    for word in words:
        for placeholder in _PLACEHOLDER.findall(word):
            if not _KNOWN_PLACEHOLDER.fullmatch(placeholder):
                yield f"{label}: the placeholder {placeholder} is unknown to the backend or needs artifacts"


def _component_problems(
    label: str, component: Mapping[str, Any], executors: Mapping[str, Any], components: Mapping[str, Any]
) -> Iterator[str]:
    for side in ("inputDefinitions", "outputDefinitions"):
        definitions = component.get(side, {})
        for name, artifact in definitions.get("artifacts", {}).items():
            artifact_type = artifact.get("artifactType", {})
            title = artifact_type.get("schemaTitle") or artifact_type.get("instanceSchema", "")
            if "tfx." in title:
                yield f"{label}: the artifact {name} has the type {title.splitlines()[0]}, which would be lost"
        for name, parameter in definitions.get("parameters", {}).items():
            if "type" in parameter:
                yield f"{label}: the parameter {name} is of the 2.0 schema (`type`); expected `parameterType`"
    if "executorLabel" in component and component["executorLabel"] not in executors:
        yield f"{label}: the executor {component['executorLabel']} is not there"
    tasks = component.get("dag", {}).get("tasks", {})
    for name, task in tasks.items():
        if task.get("componentRef", {}).get("name") not in components:
            yield f"{label}.{name}: the component {task.get('componentRef', {}).get('name')!r} is not there"
        for before in task.get("dependentTasks", []):
            if before not in tasks:
                yield f"{label}.{name}: depends on {before!r}, which is not there"
        if task.get("cachingOptions", {}).get("enableCache"):
            yield f"{label}.{name}: Kubeflow's cache is on; a step taken from it would be missing in ML Metadata"
    if tasks and (circle := _circle({name: task.get("dependentTasks", []) for name, task in tasks.items()})):
        yield f"{label}: {' and '.join(circle)} wait for each other"


def _circle(edges: Mapping[str, Sequence[str]]) -> list[str]:
    """Tasks that can never start because they wait for each other; empty when there are none."""
    waiting = {name: {before for before in upstream if before in edges} for name, upstream in edges.items()}
    while ready := [name for name, upstream in waiting.items() if not upstream]:
        waiting = {name: upstream - set(ready) for name, upstream in waiting.items() if name not in ready}
    return sorted(waiting)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 the backend can run it, 1 it cannot."""
    parser = argparse.ArgumentParser(prog="python -m kubeflow.backend_check", description=__doc__.splitlines()[0])
    parser.add_argument("package", type=pathlib.Path, help="a compiled pipeline")
    try:
        check_package(parser.parse_args(argv).package)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
