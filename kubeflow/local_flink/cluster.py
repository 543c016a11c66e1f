"""A Flink cluster of this machine: a job manager, a task manager and the pool of Beam workers beside it, on loopback.

What ``manifests/flink`` has in pods. It is there for trying and testing: nobody who is not on this machine reaches it,
and everybody on it can run code in it while it is there.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import IO, Final

from components.user_error import UserError
from kubeflow.local_flink.installation import FlinkInstallation

_LOOPBACK: Final = "127.0.0.1"
_START_SECONDS: Final = 600
_GRACE_SECONDS: Final = 20
_JAVA_17: Final = [
    *(f"--add-exports=java.base/{package}=ALL-UNNAMED" for package in ("sun.net.util",)),
    *(
        f"--add-opens=java.base/{package}=ALL-UNNAMED"
        for package in (
            "java.lang", "java.net", "java.io", "java.nio", "sun.nio.ch", "java.lang.reflect", "java.text", "java.time",
            "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks",
        )
    ),
]  # fmt: skip
"""What of Java's own classes Flink reaches into: `env.java.opts.all` of the configuration that Flink comes with."""
_LOG: Final = """
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} - %m%n
"""


class ClusterError(UserError):
    """The cluster did not come up; the message says which part, and where its log is."""


class LocalFlinkCluster(contextlib.AbstractContextManager["LocalFlinkCluster"]):
    """Started on entering, stopped on leaving; it also ends when this process does, however that ends.

    Args:
      installation: Flink.
      folder: for configuration, logs and Flink's temporary files.
      slots: of the task manager, so the largest parallelism.
    """

    def __init__(self, installation: FlinkInstallation, folder: pathlib.Path, slots: int = 1) -> None:
        self._installation = installation
        self._folder = folder
        self._slots = slots
        self._rest_port, self._rpc_port = _free_ports(2)
        self._pool_address = ""
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def beam_options(self) -> dict[str, str | int | float | bool | list[str]]:
        """What goes into ``beam.options`` beside ``runner: FlinkRunner``, for all slots of the cluster."""
        return {
            "flink_master": f"{_LOOPBACK}:{self._rest_port}",
            "flink_version": self._installation.version,
            "flink_job_server_jar": str(self._installation.job_server),
            "job_server_jvm_properties": ["-Xmx512m", *_JAVA_17],
            "environment_type": "EXTERNAL",
            "environment_config": self._pool_address,
            "parallelism": self._slots,
            # One worker is one Python process: with fewer of them than slots, slots wait for each other.
            "sdk_worker_parallelism": self._slots,
        }

    def process_ids(self) -> dict[str, int]:
        """The process of every part that was started."""
        return {name: process.pid for name, process in self._processes.items()}

    def log(self, part: str) -> pathlib.Path:
        """Where a part (``jobmanager``, ``taskmanager``, ``worker``) writes what it says."""
        return self._folder / f"{part}.log"

    def __enter__(self) -> LocalFlinkCluster:
        """Starts the parts and waits for them.

        Raises:
          ClusterError: one of them ended, or was not there in time.
        """
        (self._folder / "configuration").mkdir(parents=True, exist_ok=True)
        (self._folder / "configuration" / "config.yaml").write_text(self._configuration())
        (self._folder / "log4j2.properties").write_text(_LOG)
        try:
            self._start("worker", [sys.executable, "-m", "pipeline", "worker", "--port", "0"])
            self._start("jobmanager", self._java("runtime.entrypoint.StandaloneSessionClusterEntrypoint", "-Xmx512m"))
            self._start(
                "taskmanager",
                self._java("runtime.taskexecutor.TaskManagerRunner", "-Xmx768m", "-XX:MaxDirectMemorySize=1408m"),
            )
            for _ in self._waiting("worker"):
                if said := re.search(r"^workers for Beam at (\S+)\n", self.log("worker").read_text(), re.MULTILINE):
                    self._pool_address = said[1]
                    break
            for _ in self._waiting("taskmanager"):
                if self._slots_there() == self._slots:
                    break
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def _configuration(self) -> str:
        settings = {
            "jobmanager.rpc.address": _LOOPBACK,
            "jobmanager.rpc.port": self._rpc_port,
            "jobmanager.bind-host": _LOOPBACK,
            "rest.address": _LOOPBACK,
            "rest.bind-address": _LOOPBACK,
            "rest.port": self._rest_port,
            "rest.server.max-content-length": 2**30,
            "taskmanager.host": _LOOPBACK,
            "taskmanager.bind-host": _LOOPBACK,
            "taskmanager.numberOfTaskSlots": self._slots,
            "taskmanager.cpu.cores": float(self._slots),
            # Flink's own start script works these out from the whole; a process that is started directly needs them.
            "taskmanager.memory.framework.heap.size": "128m",
            "taskmanager.memory.framework.off-heap.size": "128m",
            "taskmanager.memory.jvm-metaspace.size": "256m",
            "taskmanager.memory.jvm-overhead.min": "192m",
            "taskmanager.memory.jvm-overhead.max": "192m",
            "taskmanager.memory.task.heap.size": "512m",
            "taskmanager.memory.task.off-heap.size": "256m",
            # The Evaluator has more stages than even this has buffers for, at the 16 MiB a stage that Flink sets aside.
            "taskmanager.network.sort-shuffle.min-buffers": 64,
            "taskmanager.memory.network.min": "768m",
            "taskmanager.memory.network.max": "768m",
            "taskmanager.memory.managed.size": "256m",
            "io.tmp.dirs": str((self._folder / "temporary").resolve()),
            "restart-strategy.type": "none",
        }
        (self._folder / "temporary").mkdir(exist_ok=True)
        return "".join(f"{name}: {value}\n" for name, value in settings.items())

    def _java(self, entry_point: str, *memory: str) -> list[str]:
        return [
            "java", *memory, *_JAVA_17, f"-Dlog4j2.configurationFile={self._folder.resolve() / 'log4j2.properties'}",
            "-classpath", str(self._installation.libraries.resolve() / "*"), f"org.apache.flink.{entry_point}",
            "--configDir", str((self._folder / "configuration").resolve()),
        ]  # fmt: skip

    def _start(self, part: str, command: Sequence[str]) -> None:
        with self.log(part).open("wb") as log:
            self._processes[part] = _start_tied(command, log)

    def _waiting(self, part: str) -> Iterator[None]:
        """Comes back again and again until the time for a start is over."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            yield
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise ClusterError(f"{name} ended with exit status {process.returncode}; see {self.log(name)}")
            time.sleep(0.25)
        raise ClusterError(f"{part} was not there after {_START_SECONDS} s; see {self.log(part)}")

    def _slots_there(self) -> int:
        """Slots that the job manager knows of; 0 while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{_LOOPBACK}:{self._rest_port}/overview", timeout=5) as answer:
                return int(json.load(answer)["slots-total"])
        except (urllib.error.URLError, OSError):
            return 0

    def _stop(self) -> None:
        """The task manager before its workers, which it then lets go."""
        for name in ("taskmanager", "jobmanager", "worker"):
            process = self._processes.pop(name, None)
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start_tied(command: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Starts a process that is told to end when this one is no more, whatever ended it."""
    return subprocess.Popen(
        # Of util-linux, which every Linux has.
        ["setpriv", "--pdeathsig", "TERM", "--", *command],
        stdout=log,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


def _free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    with contextlib.ExitStack() as held:
        listening = [held.enter_context(socket.create_server((_LOOPBACK, 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in listening]
