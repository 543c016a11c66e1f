"""Python programs as processes of their own that find TensorFlow and TFX imported.

A bare interpreter pays some fourteen seconds of one core for those imports, more than most programs of these tests then
need. Here one process imports them, does nothing with them, and forks for each program. A program still imports all
code of this project itself, and has an environment, memory, signals and an exit status of its own: `kill -9` ends it as
any other. What a program imports, and how long it takes to say something, is a matter for ``sys.executable``.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from types import ModuleType

REPOSITORY = pathlib.Path(__file__).parents[1]

_CONTEXT = multiprocessing.get_context("forkserver")
# TFX before whatever imports TFDV.
_CONTEXT.set_forkserver_preload(["tfx.v1", "tensorflow", "tensorflow_model_analysis", "ml_metadata", "h5py"])


class ForkedProgram:
    """Much as ``subprocess.Popen([sys.executable, *arguments])``, run in the repository's folder.

    Args:
      arguments: the file of a program, ``-m`` and a module, or ``-c`` and code; then what is in its ``sys.argv[1:]``.
      output: file that standard output is appended to.
      errors: the same for standard error.
      environment: all variables of the program; those of this process if None.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        output: pathlib.Path,
        errors: pathlib.Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        variables = dict(os.environ if environment is None else environment)
        self._process = _CONTEXT.Process(
            target=_become, args=(list(arguments), str(output), str(errors), variables), daemon=True
        )
        self._process.start()

    def poll(self) -> int | None:
        """The exit status, the negative number of a signal that ended it, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end; kills what has not ended within so many seconds.

        Raises:
          TimeoutError: it had to be killed.
        """
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            self._process.kill()
            self._process.join()
            raise TimeoutError(f"process {self._process.pid} has not ended within {timeout} s")
        return status

    def send_signal(self, number: int) -> None:
        """Sends a signal to what still runs."""
        if self._process.exitcode is None and self._process.pid is not None:
            os.kill(self._process.pid, number)


class CaughtProgram(ForkedProgram):
    """A ``ForkedProgram`` whose outputs are kept for who asks."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._files = [pathlib.Path(self._folder.name) / name for name in ("output", "errors")]
        super().__init__(arguments, *self._files, environment)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits for the end, returns all of standard output and of standard error."""
        self.wait(timeout)
        output, errors = (file.read_text() if file.exists() else "" for file in self._files)
        return output, errors


def run_forked(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Much as ``subprocess.run([sys.executable, *arguments], capture_output=True, text=True)``."""
    program = CaughtProgram(arguments, environment)
    output, errors = program.communicate()
    return subprocess.CompletedProcess(arguments, program.wait(), output, errors)


def _become(arguments: list[str], output: str, errors: str, variables: dict[str, str]) -> None:
    """What a forked process does."""
    # The collector need not look at all that was imported, again and again.
    gc.freeze()
    for descriptor, path in ((1, output), (2, errors)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(REPOSITORY)
    first, *rest = arguments
    if first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv = ["-c", *rest[1:]]
        main = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), vars(main))
    else:
        sys.argv = arguments
        runpy.run_path(first, run_name="__main__")
