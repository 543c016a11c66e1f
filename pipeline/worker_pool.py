"""A pool of Beam workers beside a task manager of Flink or Spark: forks them ready-made, ends them when it is told to.

It speaks the protocol of Beam's ``worker_pool_main`` (``environment_type: EXTERNAL``), whose workers each pay for the
import of TensorFlow; a runner asks for a new one up to once a stage. Here one process imports, and workers are its
children.
"""

from __future__ import annotations

import collections
import concurrent.futures
import multiprocessing.process
import signal
import threading
import traceback
from collections.abc import Callable
from typing import Any, Final

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from components.user_error import UserError

Process = multiprocessing.process.BaseProcess
StartProcess = Callable[[bytes], Process]

_CALLS_AT_ONCE: Final = 16
_GRACE_SECONDS: Final = 10.0


class PoolError(UserError):
    """The pool cannot listen; the message says where and what to do."""


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Starts and stops workers.

    Args:
      start_process: given a serialised ``StartWorkerRequest``, starts a process that works for who asks.
    """

    def __init__(self, start_process: StartProcess) -> None:
        self._start_process = start_process
        self._workers: dict[str, list[Process]] = collections.defaultdict(list)
        self._lock = threading.Lock()

    def StartWorker(  # noqa: N802 - Beam's name
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: Any
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Starts one; ids need not be unique: two jobs, and two task managers, both begin with ``1-1``."""
        del context
        try:
            process = self._start_process(request.SerializeToString())
        except Exception:
            return beam_fn_api_pb2.StartWorkerResponse(error=traceback.format_exc())
        with self._lock:
            self._workers[request.worker_id].append(process)
        print(f"worker {request.worker_id} for {request.control_endpoint.url}: process {process.pid}", flush=True)
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(  # noqa: N802 - Beam's name
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: Any
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        """Ends the worker of that id, if it is the only one; of several, the right one ends with its connection.

        The request does not say whose it is. Ending the other's would leave its runner waiting for ever.
        """
        del context
        with self._lock:
            living = [process for process in self._workers.pop(request.worker_id, []) if process.is_alive()]
            if len(living) > 1:
                self._workers[request.worker_id] = living
                return beam_fn_api_pb2.StopWorkerResponse()
        for process in living:
            _end(process)
        return beam_fn_api_pb2.StopWorkerResponse()

    def close(self) -> None:
        """Ends all workers."""
        with self._lock:
            living = [process for processes in self._workers.values() for process in processes]
            self._workers.clear()
        for process in living:
            _end(process)


def _end(process: Process) -> None:
    process.terminate()
    process.join(_GRACE_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()


def forked_worker() -> StartProcess:
    """Starts workers as children of a process that has imported ``pipeline.worker_process``, and waits until it has.

    The pool itself, which has threads and connections, forks nothing.

    Raises:
      PoolError: the import failed; the traceback is above.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pipeline.worker_process"])

    def start(serialized_request: bytes) -> Process:
        process = context.Process(target=_work, args=(serialized_request,), daemon=True)
        process.start()
        return process

    first = start(b"")
    first.join()
    if first.exitcode != 0:
        raise PoolError("a worker cannot import what it needs; the traceback is above")
    return start


def _work(serialized_request: bytes) -> None:
    """What a child does; an empty request asks for nothing but that it can be done."""
    # Has been imported before the fork. Not by the pool: it has no use for TensorFlow.
    from pipeline.worker_process import run_worker

    if serialized_request:
        run_worker(serialized_request)


def serve(address: str, port: int) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
      address: to listen on; the protocol has no credentials, so one that only the task manager reaches.
      port: 0 for a free one, which is printed.

    Raises:
      PoolError: the port is taken, or workers cannot start.
    """
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(_CALLS_AT_ONCE),
        options=[
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.so_reuseport", 0),
        ],
    )
    try:
        bound = server.add_insecure_port(f"{address}:{port}")
    except RuntimeError as error:
        raise PoolError(f"--address {address} --port {port}: cannot listen there ({error}); choose another") from error
    pool = WorkerPool(forked_worker())
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    server.start()
    print(f"workers for Beam at {address}:{bound}", flush=True)
    stopped.wait()
    server.stop(_GRACE_SECONDS).wait()
    pool.close()
