"""The pool, asked by Beam's own runner; and what becomes of workers of one name."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_fn_api_pb2, endpoints_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.environments import ExternalEnvironment

from components.example_gen import executor
from components.example_gen.findings_writer import remove_parts
from components.example_gen.settings import DataSettings
from components.example_gen.spans import resolve_spans
from demo.scenes import main as draw_scenes
from pipeline.verbs import worker
from pipeline.worker_pool import WorkerPool

REPOSITORY = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pool() -> Iterator[str]:
    """Address of a pool in a process of its own."""
    command = [sys.executable, "-m", "pipeline", "worker", "--port", "0"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("workers for Beam at ").strip()
        process.terminate()
        assert process.wait(60) == 0


def _what_a_worker_is(_: int, here: int) -> str:
    there = {"tfx.v1", "components.example_gen.executor", "components.evaluator.executor"} <= set(sys.modules)
    import tensorflow as tf
    import tensorflow_data_validation  # noqa: F401

    # TensorFlow's threads have to be the child's own: those of a forked process are not there.
    total = int(tf.reduce_sum(tf.linalg.matmul(tf.ones([300, 300]), tf.ones([300, 300]))))
    process = "this" if os.getpid() == here else "another"
    return f"{process} process, imported {'before' if there else 'late'}, TFDV can be, TensorFlow adds up to {total}"


def test_beams_runner_gets_workers_that_have_imported_in_order(pool: str) -> None:
    here = os.getpid()
    options = PipelineOptions(["--beam_plugin=tfx"])
    for _ in range(2):
        runner = FnApiRunner(default_environment=ExternalEnvironment(pool))
        with beam.Pipeline(runner=runner, options=options) as pipeline:
            found = (
                pipeline
                | beam.Create(range(20))
                | beam.Reshuffle()
                | beam.Map(lambda number: _what_a_worker_is(number, here))
                | beam.Distinct()
            )
            assert_that(
                found, equal_to(["another process, imported before, TFDV can be, TensorFlow adds up to 27000000"])
            )


def _example_gen(pipeline: beam.Pipeline, data: pathlib.Path, output: pathlib.Path) -> dict[str, bytes]:
    """Runs ExampleGen's whole pipeline; returns what it wrote."""
    settings = DataSettings.model_validate({"format": "coco", "path": str(data), "shard_images": 4})
    reading = executor.Reading.of_data(settings, resolve_spans(settings))
    for split in reading.policy.split_names:
        (output / "examples" / f"Split-{split}").mkdir(parents=True)
    (output / "findings").mkdir()
    with pipeline:
        executor.read_examples(pipeline, settings, [reading], None, str(output / "examples"), str(output / "findings"))
    remove_parts(str(output / "findings"))
    written = [path for path in output.rglob("*") if path.is_file()]
    return {str(path.relative_to(output)): path.read_bytes() for path in written}


def test_example_gen_writes_in_the_pools_workers_what_it_writes_here(pool: str, tmp_path: pathlib.Path) -> None:
    data = tmp_path / "data"
    draw_scenes(["--output", str(data), "--images", "24", "--seed", "3"])
    damaged = sorted(data.rglob("*.jpg"))[:3]
    for image in damaged:
        image.write_bytes(image.read_bytes()[:-50])
    here = _example_gen(beam.Pipeline(runner="DirectRunner"), data, tmp_path / "here")
    runner = FnApiRunner(default_environment=ExternalEnvironment(pool))
    options = PipelineOptions(["--beam_plugin=tfx"])
    there = _example_gen(beam.Pipeline(runner=runner, options=options), data, tmp_path / "there")
    assert here["findings/findings.jsonl"].count(b"truncated_image") == len(damaged)
    assert sum(name.endswith(".gz") for name in here) > 4
    assert there == here


def test_a_port_that_is_taken_is_named(pool: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert worker.main(["--port", pool.rpartition(":")[2]]) == 1
    assert "cannot listen there" in capsys.readouterr().err


class _Process:
    def __init__(self) -> None:
        self.alive, self.pid = True, 1

    def is_alive(self) -> bool:
        return self.alive

    def terminate(self) -> None:
        self.alive = False

    def join(self, timeout: float | None = None) -> None:
        del timeout


def _request(worker_id: str, port: int) -> beam_fn_api_pb2.StartWorkerRequest:
    endpoint = endpoints_pb2.ApiServiceDescriptor(url=f"localhost:{port}")
    return beam_fn_api_pb2.StartWorkerRequest(worker_id=worker_id, control_endpoint=endpoint)


def test_of_two_workers_of_one_name_none_is_ended_for_the_other() -> None:
    processes: list[_Process] = []

    def start(_: bytes) -> _Process:
        processes.append(_Process())
        return processes[-1]

    pool = WorkerPool(start)  # type: ignore[arg-type]
    for port in (1, 2):
        assert not pool.StartWorker(_request("1-1", port), None).error
    stop = beam_fn_api_pb2.StopWorkerRequest(worker_id="1-1")
    pool.StopWorker(stop, None)
    assert [process.alive for process in processes] == [True, True]
    # The first runner has closed its connection: its worker ends by itself, and the other one can be told to.
    processes[0].alive = False
    pool.StopWorker(stop, None)
    assert [process.alive for process in processes] == [False, False]
    pool.StopWorker(stop, None)


def test_what_keeps_a_worker_from_starting_is_answered() -> None:
    def start(_: bytes) -> _Process:
        raise OSError("no more processes")

    assert "no more processes" in WorkerPool(start).StartWorker(_request("1-1", 1), None).error  # type: ignore[arg-type]
