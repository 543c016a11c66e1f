"""A program of ours in a process of its own: what brings it down does not bring down the one that waits for it.

Models and converters are other people's machine code. A segmentation fault in it, or the kernel's answer to too much
memory, is here a sentence and not the end of a run.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from absl import logging

_LAST_LINES: Final = 3


@dataclasses.dataclass(frozen=True)
class ProcessEnd:
    """How a program came to its end.

    Attributes:
      found: in words: ``its end by SIGSEGV, after it said: loading``.
      is_of_time: it was ended, for it had no time left.
      is_of_memory: it was killed from outside, as a kernel does that has no memory left.
    """

    found: str
    is_of_time: bool = False
    is_of_memory: bool = False


def run_program(module: str, arguments: Sequence[str], *, timeout_seconds: int | None = None) -> ProcessEnd:
    """Runs ``python -m module arguments...`` to its end; what it says comes into the log.

    It sees no GPU, whose memory the process that waits may hold, and may end itself in time by ``signal.alarm``.

    Args:
      module: dotted path.
      arguments: of the program.
      timeout_seconds: it is ended after these. None: it has all the time that it gives itself.
    """
    environment = {
        **os.environ,
        # The packages of this process are found there as here.
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    environment.pop("TF_CONFIG", None)
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return ProcessEnd(f"no end after {timeout_seconds} s{_said(error.output)}", is_of_time=True)
    logging.info("%s said:\n%s", module, done.stdout.decode("utf-8", "replace"))
    if done.returncode >= 0:
        return ProcessEnd(f"its end with status {done.returncode}{_said(done.stdout)}")
    ended_by = signal.Signals(-done.returncode)
    return ProcessEnd(
        f"its end by {ended_by.name}{_said(done.stdout)}",
        is_of_time=ended_by == signal.SIGALRM,
        is_of_memory=ended_by == signal.SIGKILL,
    )


def _said(output: bytes | None) -> str:
    lines = (output or b"").decode("utf-8", "replace").strip().splitlines()[-_LAST_LINES:]
    return f", after it said: {' | '.join(lines)}" if lines else ""
