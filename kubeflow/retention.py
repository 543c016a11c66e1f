"""What is deleted when it is old: ``python -m kubeflow.retention``, by hand or as the last step of a run.

Kept is everything that the newest runs and those under way made or used, that the runs of the kept pushed versions made
or used (so that a rolled-back model still has its examples and its verdict), and the run of the last blessed model that
the contract check did not refuse, which the next run is compared with and starts from. The rest is first marked in ML
Metadata, so that no run takes it up any more, and then deleted.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import pathlib
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Final

import ml_metadata
from ml_metadata.proto import metadata_store_pb2

from components.evaluator.blessed_models import Judgement, blessed_models
from components.serving_contract.keys import BLESSED, MODEL_ID
from components.trainer.input.feature_folders import remove_unused
from kubeflow.metadata_store import StoreAddress, UnreachableError, wait_for_store
from kubeflow.step_config import add_config_arguments, config_from_arguments
from pipeline.config import PipelineConfig
from pipeline.config_errors import ConfigError
from schema.device_model import DEVICE_FORMATS

_ACTIVE: Final = (metadata_store_pb2.Execution.NEW, metadata_store_pb2.Execution.RUNNING)
_DELETABLE: Final = (metadata_store_pb2.Artifact.LIVE, metadata_store_pb2.Artifact.MARKED_FOR_DELETION)
_DISCARDED_PREFIX: Final = ".deleted-"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be deleted.

    Attributes:
      artifacts: whose folders go.
      versions: folders of pushed versions, and of the device models that were made of them.
      folders: of interrupted trainings and of TFX's bookkeeping.
      features: folders of kept features that no training has used for long.
      stale_executions: to be marked as failed.
      kept_runs: names of the runs that stay, newest first.
    """

    artifacts: list[metadata_store_pb2.Artifact]
    versions: list[pathlib.Path]
    folders: list[pathlib.Path]
    features: list[pathlib.Path]
    stale_executions: list[metadata_store_pb2.Execution]
    kept_runs: list[str]

    def lines(self) -> list[str]:
        """The plan in a few lines."""
        return [
            f"kept runs: {len(self.kept_runs)}",
            f"artifacts to delete: {len(self.artifacts)}",
            f"pushed versions to delete: {', '.join(map(_version_name, self.versions)) or 'none'}",
            f"left-over folders to delete: {len(self.folders)}",
            f"folders of kept features to delete: {len(self.features)}",
            f"executions to mark as failed: {', '.join(str(e.id) for e in self.stale_executions) or 'none'}",
        ]


def make_plan(store: ml_metadata.MetadataStore, config: PipelineConfig, now_seconds: float) -> Plan:
    """Reads store and folders; changes nothing.

    Args:
      store: ML Metadata.
      config: as it holds where the folders are.
      now_seconds: since the epoch.

    Raises:
      UnreachableError: the folders that the store speaks of are not there.
    """
    policy = config.cluster.retention
    versions = _pushed_versions(config.push_directory)
    kept_versions, old_versions = versions[: policy.versions], versions[policy.versions :]
    old_versions = [*old_versions, *_older_device_models(config.device_directory, kept_versions)]
    before_seconds = now_seconds - policy.stale_hours * 3600
    stale_checkpoints, stale_features = (
        [folder for folder in _folders(config.pipeline_root / parent) if _newest_change(folder) < before_seconds]
        for parent in ("checkpoints", "features")
    )
    pipeline = store.get_context_by_type_and_name("pipeline", config.name)
    if pipeline is None:
        return Plan([], old_versions, stale_checkpoints, stale_features, [], [])

    executions = {execution.id: execution for execution in store.get_executions_by_context(pipeline.id)}
    artifacts = {artifact.id: artifact for artifact in store.get_artifacts_by_context(pipeline.id)}
    _check_folders(config, artifacts.values())
    used = _artifacts_of_executions(store, list(executions))
    runs = _runs(store, set(executions))
    active = [execution for execution in executions.values() if execution.last_known_state in _ACTIVE]
    stale = [execution for execution in active if execution.last_update_time_since_epoch / 1000 < before_seconds]
    under_way = {execution.id for execution in active} - {execution.id for execution in stale}
    kept = [
        run
        for position, run in enumerate(runs)
        if position < policy.runs
        or run.execution_ids & under_way
        or _is_served(run.artifacts(used), artifacts, kept_versions)
    ]
    blessed = _run_of_last_blessed(runs, artifacts, used, has_contract=config.push.contract.enabled)
    if blessed is not None and blessed not in kept:
        kept.append(blessed)
    kept_ids = {artifact_id for run in kept for artifact_id in run.artifacts(used)}
    kept_folders = [pathlib.Path(artifacts[i].uri) for i in kept_ids if i in artifacts]
    old = [
        artifact
        for artifact in artifacts.values()
        if artifact.id not in kept_ids
        and artifact.state in _DELETABLE
        and _is_ours(pathlib.Path(artifact.uri), config.pipeline_root, kept_folders)
    ]
    kept_executions = {execution_id for run in kept for execution_id in run.execution_ids}
    return Plan(
        artifacts=old,
        versions=old_versions,
        folders=[*stale_checkpoints, *_bookkeeping(config.pipeline_root, set(executions) - kept_executions)],
        features=stale_features,
        stale_executions=stale,
        kept_runs=[run.name for run in kept],
    )


def _check_folders(config: PipelineConfig, artifacts: Iterable[metadata_store_pb2.Artifact]) -> None:
    """Refuses to conclude from a volume that is not mounted that its folders are gone.

    Raises:
      UnreachableError: the message names the folder.
    """
    live = [artifact for artifact in artifacts if artifact.state in _DELETABLE]
    folders = [artifact.uri for artifact in live]
    folders += [
        artifact.custom_properties["pushed_destination"].string_value
        for artifact in live
        if artifact.type == "PushedModel"
    ]
    for folder in (config.pipeline_root, config.push_directory):
        if not folder.is_dir() and any(pathlib.Path(path).is_relative_to(folder) for path in folders):
            raise UnreachableError(
                f"{folder} is not there, but ML Metadata knows of artifacts in it; nothing was deleted. Run this where "
                "the volume is mounted"
            )


def apply(store: ml_metadata.MetadataStore, plan: Plan) -> list[str]:
    """Carries the plan out; returns what could not be deleted, a line each. Repeating it does no harm."""
    for execution in plan.stale_executions:
        execution.last_known_state = metadata_store_pb2.Execution.FAILED
    if plan.stale_executions:
        store.put_executions(plan.stale_executions)
    for artifact in plan.artifacts:
        artifact.state = metadata_store_pb2.Artifact.MARKED_FOR_DELETION
    if plan.artifacts:
        store.put_artifacts(plan.artifacts)
    problems: list[str] = []
    deleted = [artifact for artifact in plan.artifacts if _delete(pathlib.Path(artifact.uri), problems)]
    for artifact in deleted:
        artifact.state = metadata_store_pb2.Artifact.DELETED
    if deleted:
        store.put_artifacts(deleted)
    for version in plan.versions:
        # A server that scans the folder must not see half a version.
        discarded = version.with_name(f"{_DISCARDED_PREFIX}{version.name}")
        try:
            version.rename(discarded)
        except OSError as error:
            problems.append(f"{version}: {error}")
        else:
            _delete(discarded, problems)
    for folder in plan.folders:
        _delete(folder, problems)
    for folder in plan.features:
        try:
            # What a training holds after all is no problem: it goes another time.
            remove_unused(folder)
        except OSError as error:
            problems.append(f"{folder}: {error}")
    return problems


@dataclasses.dataclass(frozen=True)
class _Run:
    name: str
    created_ms: int
    execution_ids: frozenset[int]

    def artifacts(self, used: dict[int, set[int]]) -> set[int]:
        """Ids of all artifacts that the run made or used."""
        return {artifact for execution in self.execution_ids for artifact in used.get(execution, ())}


def _runs(store: ml_metadata.MetadataStore, ours: set[int]) -> list[_Run]:
    """Runs of the pipeline, newest first."""
    runs = []
    for context in store.get_contexts_by_type("pipeline_run"):
        ids = frozenset(execution.id for execution in store.get_executions_by_context(context.id))
        if ids & ours:
            runs.append(_Run(context.name, context.create_time_since_epoch, ids & ours))
    return sorted(runs, key=lambda run: -run.created_ms)


def _artifacts_of_executions(store: ml_metadata.MetadataStore, execution_ids: list[int]) -> dict[int, set[int]]:
    """Inputs and outputs, cached ones included, by execution."""
    used: dict[int, set[int]] = {}
    for event in store.get_events_by_execution_ids(execution_ids):
        used.setdefault(event.execution_id, set()).add(event.artifact_id)
    return used


def _is_served(
    artifact_ids: set[int], artifacts: dict[int, metadata_store_pb2.Artifact], versions: list[pathlib.Path]
) -> bool:
    destinations = {str(path) for path in versions}
    return any(
        artifacts[i].custom_properties["pushed_destination"].string_value.rstrip("/") in destinations
        for i in artifact_ids
        if i in artifacts and "pushed_destination" in artifacts[i].custom_properties
    )


def _run_of_last_blessed(
    runs: list[_Run],
    artifacts: dict[int, metadata_store_pb2.Artifact],
    used: dict[int, set[int]],
    *,
    has_contract: bool,
) -> _Run | None:
    """The newest run with what `LatestBlessedBefore` resolves: the model, and everything that blesses it."""
    live = [artifact for artifact in artifacts.values() if artifact.state == metadata_store_pb2.Artifact.LIVE]
    gate = {artifact.id: _judgement(artifact) for artifact in live if artifact.type == "ModelBlessing"}
    contract = {artifact.id: _judgement(artifact) for artifact in live if artifact.type == "InfraBlessing"}
    models = {artifact.id for artifact in live if artifact.type == "Model"}
    blessed = models & blessed_models(gate.values(), contract.values() if has_contract else ())
    if not blessed:
        return None
    wanted = Judgement(max(blessed), is_blessed=True)
    blessings = [{i for i, said in judgements.items() if said == wanted} for judgements in (gate, contract)]
    return next((run for run in runs if all(run.artifacts(used) & ids for ids in blessings if ids)), None)


def _judgement(blessing: metadata_store_pb2.Artifact) -> Judgement:
    properties = blessing.custom_properties
    return Judgement(properties[MODEL_ID].int_value, properties[BLESSED].int_value == 1)


def _is_ours(folder: pathlib.Path, root: pathlib.Path, kept: Iterable[pathlib.Path]) -> bool:
    """True for a folder below the root that has nothing to do with a kept one."""
    if not folder.is_relative_to(root) or folder == root:
        return False
    return not any(folder.is_relative_to(other) or other.is_relative_to(folder) for other in kept)


def _pushed_versions(directory: pathlib.Path) -> list[pathlib.Path]:
    """Version folders, newest first."""
    numbered = [folder for folder in _folders(directory) if folder.name.isdecimal()]
    return sorted(numbered, key=lambda folder: -int(folder.name))


def _older_device_models(directory: pathlib.Path, kept: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Versions of every format from before the oldest SavedModel that is kept; none where none is."""
    oldest = min((int(version.name) for version in kept), default=0)
    versions = (version for format_folder in _folders(directory) for version in _pushed_versions(format_folder))
    return [version for version in versions if int(version.name) < oldest]


def _version_name(folder: pathlib.Path) -> str:
    """``17``, or ``litert/17``."""
    of_format = folder.parent.name if folder.parent.name in DEVICE_FORMATS else ""
    return "/".join(filter(None, (of_format, folder.name)))


def _folders(parent: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _newest_change(folder: pathlib.Path) -> float:
    """Time of the newest change in a folder, seconds since the epoch."""
    newest = folder.stat().st_mtime
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a training replaces its checkpoints meanwhile
            newest = max(newest, path.stat().st_mtime)
    return newest


def _bookkeeping(root: pathlib.Path, execution_ids: set[int]) -> list[pathlib.Path]:
    """What TFX and failed nodes left beside outputs: ``.system/*/<execution>`` and ``failed/<execution>``."""
    found = [*root.glob("*/.system/*/*"), *root.glob("*/failed/*")]
    return [path for path in found if path.name.isdecimal() and int(path.name) in execution_ids]


def _delete(path: pathlib.Path, problems: list[str]) -> bool:
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return True
    except OSError as error:
        problems.append(f"{path}: {error}")
        return False
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 done, 1 something could not be deleted, 2 config, 3 store or root out of reach."""
    parser = argparse.ArgumentParser(prog="python -m kubeflow.retention", description=__doc__.splitlines()[0])
    add_config_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be deleted, delete nothing")
    arguments = parser.parse_args(argv)
    try:
        config = config_from_arguments(arguments)
        address = StoreAddress.from_environment()
        wait_for_store(address, config.cluster.metadata_store.wait_seconds)
        store = ml_metadata.MetadataStore(address.connection_config())
        plan = make_plan(store, config, time.time())
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except UnreachableError as error:
        print(error, file=sys.stderr)
        return 3
    print("\n".join(plan.lines()), flush=True)
    problems = [] if arguments.dry_run else apply(store, plan)
    for problem in problems:
        print(f"not deleted: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
