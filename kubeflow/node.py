"""The entry point of a step: ``python -m kubeflow.node`` runs one node of the graph.

    exit status 0    the node succeeded, now or in an earlier attempt of this run, or was taken from the cache
                1    it failed
                2    the config or a run parameter is wrong
                3    the metadata store or the root cannot be reached
                143  it was asked to end (SIGTERM): the execution is marked as failed, a training kept its checkpoint

The last lines of the log say what happened; they are Kubernetes' termination message, too.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from components.user_error import failure_reason
from kubeflow.metadata_store import StoreAddress, UnreachableError, store_lock, wait_for_store
from kubeflow.pipeline_root import wait_for_root
from kubeflow.server_version import LEAST_VERSION, version_text
from kubeflow.step_config import decode_config
from pipeline.config import PipelineConfig
from pipeline.config_errors import ConfigError
from pipeline.tensorflow_environment import prepare_tensorflow

if TYPE_CHECKING:
    from kubeflow.launch import NodeRun

POD_VARIABLE: Final = "KFP_POD_NAME"
TERMINATION_MESSAGE: Final = pathlib.Path("/dev/termination-log")

EXIT_FAILED: Final = 1
EXIT_CONFIG: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_TERMINATED: Final = 128 + signal.SIGTERM

_GRACE_SECONDS: Final = 20
"""Kubernetes kills 30 s after SIGTERM; code that takes no notice of it is left behind before."""


class Terminated(SystemExit):
    """SIGTERM arrived."""


@contextmanager
def termination(last_resort: Callable[[], None], grace_seconds: float = _GRACE_SECONDS) -> Iterator[None]:
    """Turns SIGTERM into ``Terminated`` in the main thread, unless what runs there handles it in its own way.

    Args:
      last_resort: called from another thread when the process has not ended within ``grace_seconds`` of SIGTERM (the
        main thread may be deep in compiled code, or the Trainer waiting for the end of a step); then it exits.
      grace_seconds: how long that is.
    """
    # The interpreter writes the signal's number here as it arrives, whichever handler is set and whatever code runs.
    receiver, sender = socket.socketpair()
    sender.setblocking(False)

    def leave_behind() -> None:
        while number := receiver.recv(1):
            if number[0] == signal.SIGTERM:
                time.sleep(grace_seconds)
                try:
                    last_resort()
                finally:
                    os._exit(EXIT_TERMINATED)

    def terminate(number: int, frame: object) -> None:
        del number, frame
        raise Terminated(EXIT_TERMINATED)

    threading.Thread(target=leave_behind, daemon=True).start()
    previous_handler = signal.signal(signal.SIGTERM, terminate)
    previous_descriptor = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous_descriptor)
        signal.signal(signal.SIGTERM, previous_handler)
        sender.close()


@dataclasses.dataclass(frozen=True)
class Step:
    """The command line, understood.

    Attributes:
      node_id: which node.
      run_id: Kubeflow's id of the run.
      pod_name: of this attempt.
      config: of the pipeline, run parameters applied.
    """

    node_id: str
    run_id: str
    pod_name: str
    config: PipelineConfig


def parse(argv: Sequence[str] | None) -> Step:
    """Reads the command line.

    Raises:
      ConfigError: the config or a run parameter is wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m kubeflow.node", description=__doc__.splitlines()[0])
    parser.add_argument("--node", required=True, help="id of the node in the TFX graph")
    parser.add_argument("--run-id", required=True, help="Kubeflow's id of the run; all steps of a run share it")
    parser.add_argument("--config", required=True, help="the config as `kubeflow.compile` encodes it")
    parser.add_argument("--set", dest="overrides", metavar="KEY=VALUE", action="append", default=[])
    arguments = parser.parse_args(argv)
    check_run_id(arguments.run_id)
    config = decode_config(arguments.config, arguments.overrides)
    return Step(arguments.node, arguments.run_id, os.environ.get(POD_VARIABLE, ""), config)


def check_run_id(run_id: str) -> None:
    """Passes for what Kubeflow writes in place of its placeholder.

    Raises:
      ConfigError: the placeholder is still there.
    """
    if "{{" in run_id:
        raise ConfigError(
            f"--run-id: found {run_id!r}, which Kubeflow Pipelines should have replaced by the run's id; with "
            "one id for all runs, later ones would find everything done. The server is too old: expected "
            f"{version_text(LEAST_VERSION)} or later"
        )


def reach(config: PipelineConfig) -> StoreAddress:
    """Waits for the metadata store and the root.

    Raises:
      UnreachableError: one of them is not there in time.
    """
    address = StoreAddress.from_environment()
    cluster = config.cluster
    wait_for_root(
        config.pipeline_root,
        [volume.mount_path for volume in cluster.volumes],
        cluster.metadata_store.wait_seconds,
    )
    wait_for_store(address, cluster.metadata_store.wait_seconds)
    return address


def _prepare(step: Step, address: StoreAddress) -> NodeRun:
    prepare_tensorflow()
    # Behind the checks: importing TFX takes 10 s and more.
    from kubeflow.launch import NodeRun, StepIdentity

    run = NodeRun(step.config, step.node_id, StepIdentity(step.run_id, step.pod_name), address.connection_config())
    with store_lock(address, step.config.cluster.metadata_store.wait_seconds):
        run.register_types()
    return run


def say(text: str) -> None:
    """The last line of the log, and what ``kubectl describe pod`` shows."""
    print(text, file=sys.stderr, flush=True)
    if TERMINATION_MESSAGE.exists() and os.access(TERMINATION_MESSAGE, os.W_OK):
        TERMINATION_MESSAGE.write_text(text[:4096], encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; the statuses are those of the module's docstring."""
    started = time.monotonic()
    try:
        step = parse(argv)
    except ConfigError as error:
        say(str(error))
        return EXIT_CONFIG
    where = f"step {step.node_id} of run {step.run_id}"
    print(f"{where}, pod {step.pod_name or '(none)'}, root {step.config.pipeline_root}", flush=True)
    run: NodeRun | None = None

    def give_up() -> None:
        if run is not None:
            run.fail_unfinished("asked to end (SIGTERM), did not in time")

    try:
        with termination(give_up):
            address = reach(step.config)
            run = _prepare(step, address)
            outcome = run.run()
    except UnreachableError as error:
        say(f"{where} could not start: {error}")
        return EXIT_UNREACHABLE
    except SystemExit:
        # TFX's Launcher lets it pass without telling the store.
        if run is not None:
            run.fail_unfinished("asked to end (SIGTERM)")
        spent = time.monotonic() - started
        say(f"{where} was asked to end after {spent:.0f} s; a retry goes on from the last checkpoint")
        return EXIT_TERMINATED
    except Exception as error:
        traceback.print_exc()
        say(
            f"{where} failed after {time.monotonic() - started:.0f} s: {failure_reason(error)}\n"
            f"The traceback is above. Artifacts are under {step.config.pipeline_root / step.node_id}"
        )
        return EXIT_FAILED
    print(f"{where} done in {time.monotonic() - started:.0f} s: {outcome}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
