"""The compiled package, step by step as subprocesses, against a real MariaDB server.

A run to a pushed model, a local one that gives the same, and an unchanged one from the cache. With
``KUBEFLOW_FULL_TEST=1`` also a new span with baseline and warm start, a trainer killed with -9 and retried, and two
runs at once.
"""

from __future__ import annotations

import collections
import dataclasses
import gzip
import hashlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import ml_metadata
import pytest
import yaml
from google.protobuf import json_format
from kfp import local
from kfp.local import pipeline_orchestrator, subprocess_task_handler
from kfp.pipeline_spec import pipeline_spec_pb2
from ml_metadata.proto import metadata_store_pb2
from tensorflow_metadata.proto.v0 import anomalies_pb2

from demo.scenes import main as draw_scenes
from kubeflow.metadata_store import StoreAddress
from tests.forked_program import ForkedProgram
from tests.kubeflow.metadata_server import environment, free_port, running_server, server_program

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(server_program() is None, reason="no mariadbd here (apt-get install mariadb-server)"),
]
full_only = pytest.mark.skipif(
    not os.environ.get("KUBEFLOW_FULL_TEST"), reason="set KUBEFLOW_FULL_TEST=1 for the runs that take many minutes"
)

NAME = "on-kubeflow"
ROOT = pathlib.Path(__file__).parents[2]
CONFIG = """
name: on-kubeflow
data: {{format: coco, path: unused, split: {{source: given}}}}
model:
  image_size: [96, 96]
  pretrained: null
  options: {{alpha: 0.35, fpn_depth: 16, num_head_layers: 1, batch_norm_momentum: 0.9}}
transfer: {{warm_start_from_blessed: true}}
train: {{steps: 400, batch_size: 4, evaluate_every: 4}}
eval: {{gates: {{minimum: {{AP50: 0.0}}, max_drop: {{}}}}}}
cluster:
  image: python
  root: {folder}/root
  volumes: []
  overrides: {{data.path: "{folder}/data/span-{{SPAN}}"}}
  metadata_store: {{wait_seconds: 120}}
"""
RESOLVERS = {"PreviousStatistics", "WarmStartModel", "BlessedBaseline"}
"""Resolvers look artifacts up; TFX runs them every time."""
Execution = metadata_store_pb2.Execution


@dataclasses.dataclass
class Cluster:
    """The package and what it runs against."""

    folder: pathlib.Path
    address: StoreAddress

    @property
    def store(self) -> ml_metadata.MetadataStore:
        return ml_metadata.MetadataStore(self.address.connection_config())

    @property
    def versions(self) -> list[str]:
        """Pushed versions, oldest first."""
        served = self.folder / "root" / NAME / "served" / "detector"
        return sorted(path.name for path in served.iterdir()) if served.exists() else []

    def draw_span(self, span: int) -> None:
        draw_scenes(["--output", str(self.folder / f"data/span-{span}"), "--images", "40", "--seed", str(span)])

    def run(self) -> None:
        """One run of the package, as Kubeflow would: steps in order, with the package's run parameters."""
        spec = pipeline_spec_pb2.PipelineSpec()
        first = next(yaml.safe_load_all((self.folder / "pipeline.yaml").read_text()))
        json_format.ParseDict(first, spec)
        pipeline_orchestrator.run_local_pipeline(spec, {"train_steps": 4})

    def runs(self) -> list[metadata_store_pb2.Context]:
        """Runs in ML Metadata, oldest first."""
        return sorted(self.store.get_contexts_by_type("pipeline_run"), key=lambda context: context.id)

    def attempts(self, run: metadata_store_pb2.Context) -> dict[str, list[metadata_store_pb2.Execution]]:
        """Executions by node, oldest first."""
        found: dict[str, list[metadata_store_pb2.Execution]] = collections.defaultdict(list)
        for execution in sorted(self.store.get_executions_by_context(run.id), key=lambda execution: execution.id):
            [node] = [c.name for c in self.store.get_contexts_by_execution(execution.id) if c.type == "node"]
            found[node.removeprefix(f"{NAME}.")].append(execution)
        return found

    def states(self, run: metadata_store_pb2.Context) -> dict[str, str]:
        """Node -> state of its last attempt."""
        return {
            node: Execution.State.Name(attempts[-1].last_known_state) for node, attempts in self.attempts(run).items()
        }

    def outputs(self, run: metadata_store_pb2.Context, node: str) -> list[int]:
        """Ids of the artifacts that a node gave out."""
        events = self.store.get_events_by_execution_ids([self.attempts(run)[node][-1].id])
        kinds = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.INTERNAL_OUTPUT)
        return [event.artifact_id for event in events if event.type in kinds]


DETERMINISTIC = {
    "ObjectDetectionExampleGen": "examples/*/*/*.gz",
    "StatisticsGen": "statistics/*/*/*.pb",
    "ImportSchemaGen": "schema/*/schema.pbtxt",
    "ExampleValidator": "anomalies/*/*/*.pb",
    "AnnotationValidator": "report/*/*",
    "Transform": "transform_graph/*/transform_fn/assets/*",
}
"""Node -> its files that a run on the same data makes again; a training on several threads does not."""


def _content(file: pathlib.Path) -> bytes:
    """What a file says, without what no two writings of it share: gzip's header, the order of a protobuf's map."""
    if file.suffix == ".gz":
        return gzip.decompress(file.read_bytes())
    if file.name == "SchemaDiff.pb":
        anomalies = anomalies_pb2.Anomalies.FromString(file.read_bytes())
        return bytes(anomalies.SerializeToString(deterministic=True))
    return file.read_bytes()


def _digests(root: pathlib.Path) -> dict[str, str]:
    """Hash of every deterministic file below a pipeline's root, by path without the execution's number."""
    digests = {}
    for node, pattern in DETERMINISTIC.items():
        files = sorted((root / node).glob(pattern))
        assert files, f"{node} wrote nothing like {pattern}"
        for file in files:
            output, _, *rest = file.relative_to(root / node).parts
            digests["/".join((node, output, *rest))] = hashlib.sha256(_content(file)).hexdigest()
    return digests


def _verdict(store: ml_metadata.MetadataStore) -> tuple[int, int | None]:
    """Of the newest evaluation: blessed (1) or not (0), and that of the baseline it was compared with."""
    blessing = max(store.get_artifacts_by_type("ModelBlessing"), key=lambda artifact: artifact.id)
    properties = blessing.custom_properties
    baseline = properties["baseline_model_id"].int_value if "baseline_model_id" in properties else None
    return properties["blessed"].int_value, baseline


class _Steps:
    """How a step is run: as a process of its own, again when it fails, as its retry policy in the package says.

    What is no node, and one node once, begins with a bare interpreter as in a container; the others find TFX imported.
    """

    retries = 2
    kill_node: str | None = None
    begins_bare: str | None = "StatisticsGen"
    log: pathlib.Path

    @classmethod
    def run(cls, command: list[str]) -> int:
        node = command[command.index("--node") + 1] if "--node" in command else None  # the first step is no node
        for _ in range(cls.retries + 1):
            process = cls._start(command, node)
            if node is not None and cls.kill_node == node:
                cls.kill_node = None
                cls._kill_when_running(process, node)
            if process.wait() == 0:
                return 0
        return 1

    @classmethod
    def _start(cls, command: list[str], node: str | None) -> subprocess.Popen[bytes] | ForkedProgram:
        if node in (None, cls.begins_bare):
            cls.begins_bare = cls.begins_bare if node is None else None
            with cls.log.open("ab") as log:
                return subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
        interpreter, *arguments = command
        assert pathlib.Path(interpreter).name.startswith("python"), command
        return ForkedProgram(arguments, cls.log, cls.log)

    @classmethod
    def _kill_when_running(cls, process: subprocess.Popen[bytes] | ForkedProgram, node: str) -> None:
        """Waits for the first output folder of the node's attempt, then kill -9."""
        folder = cls.log.parent / "root" / NAME / node
        before = set(folder.glob("*/*"))
        while process.poll() is None and set(folder.glob("*/*")) == before:
            time.sleep(0.2)
        process.send_signal(signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(folder=folder))
    compile_package = ["-m", "kubeflow.compile", "--config", str(config), "--output", str(folder / "pipeline.yaml")]
    subprocess.run([sys.executable, *compile_package], check=True, cwd=ROOT)
    _Steps.log = folder / "steps.log"
    patch = pytest.MonkeyPatch()
    with running_server(folder / "database", free_port()) as address, patch.context():
        for name, value in environment(address).items():
            patch.setenv(name, value)
        # kfp.local refuses container components outside of Docker; the command is the same.
        handler = subprocess_task_handler.SubprocessTaskHandler
        patch.setattr(handler, "validate_not_container_component", lambda self, command: None)
        patch.setattr(subprocess_task_handler, "run_local_subprocess", lambda full_command: _Steps.run(full_command))
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "kfp"))
        yield Cluster(folder, address)
        patch.undo()


def test_a_run_pushes_a_model(cluster: Cluster) -> None:
    cluster.draw_span(1)
    cluster.run()
    [run] = cluster.runs()
    states = cluster.states(run)
    assert {"ObjectDetectionExampleGen", "Trainer", "Evaluator", "Pusher"} <= states.keys()
    assert set(states.values()) == {"COMPLETE"}, states
    assert len(cluster.versions) == 1
    for node, attempts in cluster.attempts(run).items():
        assert [a.custom_properties["kfp_run_id"].string_value for a in attempts] == [run.name], node


def test_a_local_run_makes_the_same_artifacts_and_the_same_verdict(cluster: Cluster) -> None:
    local_root = cluster.folder / "local"
    overrides = [f"root={local_root}", f"data.path={cluster.folder}/data/span-{{SPAN}}", "train.steps=4"]
    command = [sys.executable, "-m", "pipeline", "run", "--config", str(cluster.folder / "config.yaml")]
    subprocess.run([*command, *(f"--set={override}" for override in overrides)], check=True, cwd=ROOT)
    assert _digests(local_root / NAME) == _digests(cluster.folder / "root" / NAME)
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(local_root / NAME / "metadata.sqlite")
    assert _verdict(ml_metadata.MetadataStore(connection)) == _verdict(cluster.store) == (1, None)


def test_an_unchanged_run_is_cached(cluster: Cluster) -> None:
    pushed = cluster.versions
    cluster.run()
    states = cluster.states(cluster.runs()[-1])
    assert {node for node, state in states.items() if state != "CACHED"} == RESOLVERS
    assert cluster.versions == pushed


@full_only
def test_a_new_span_is_compared_with_the_blessed_model_and_starts_from_it_though_a_step_is_killed(
    cluster: Cluster,
) -> None:
    [model] = list(cluster.store.get_artifacts_by_type("Model"))
    cluster.draw_span(2)
    _Steps.kill_node = "Trainer"
    cluster.run()
    run = cluster.runs()[-1]
    assert model.id in cluster.outputs(run, "BlessedBaseline")
    assert model.id in cluster.outputs(run, "WarmStartModel")
    trainer = [Execution.State.Name(attempt.last_known_state) for attempt in cluster.attempts(run)["Trainer"]]
    assert trainer == ["FAILED", "COMPLETE"]
    assert set(cluster.states(run).values()) <= {"COMPLETE", "CACHED"}
    assert len(cluster.versions) == 2


@full_only
def test_two_runs_at_once(cluster: Cluster) -> None:
    cluster.draw_span(3)
    before = {run.id for run in cluster.runs()}
    threads = [threading.Thread(target=cluster.run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = [run for run in cluster.runs() if run.id not in before]
    assert len(runs) == 2
    for run in runs:
        assert set(cluster.states(run).values()) <= {"COMPLETE", "CACHED"}
    types = cluster.store.get_artifact_types()
    assert len({kind.name for kind in types}) == len(types)
