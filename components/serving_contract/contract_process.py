"""The contract check in a process of its own: a model that brings its process down stops a push, not the pipeline.

It is a program and no import: ``components`` do not know ``serving``.
"""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from absl import logging

from components.serving_contract.settings import ContractSettings
from schema.contract_report import CONTRACT_FILE, Check, ContractReport

PROGRAM: Final = "serving.contract.__main__"
"""What the process runs."""
_LAST_LINES: Final = 3


def run_contract_check(
    model: pathlib.Path, images: Sequence[pathlib.Path], settings: ContractSettings, folder: pathlib.Path
) -> ContractReport:
    """What ``python -m serving.contract`` says about a model. Where it says nothing, that is a failed check.

    Args:
      model: folder of the SavedModel.
      images: files that it is asked about.
      settings: with what.
      folder: for the file that the process writes.
    """
    report = folder / CONTRACT_FILE
    command = [
        *(sys.executable, "-m", PROGRAM, str(model), "--json", str(report)),
        *("--sides", *map(str, settings.sides_pixels)),
        *("--latency_runs", str(settings.latency_runs)),
        *("--latency_batch_sizes", *map(str, settings.latency_batch_sizes)),
        *("--max_reply_bytes", str(settings.max_reply_bytes)),
        *(("--images", *map(str, images)) if images else ()),
    ]
    environment = {
        **os.environ,
        # The packages of this process are found there as here.
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        # The process that waits may hold all of a GPU's memory, and nothing here depends on one.
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    environment.pop("TF_CONFIG", None)
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=settings.timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return _no_answer(
            f"no end after {settings.timeout_seconds} s", error.output, "raise push.contract.timeout_seconds, or"
        )
    logging.info("%s said:\n%s", PROGRAM, done.stdout.decode("utf-8", "replace"))
    if report.is_file():
        return ContractReport.of_json(report.read_text(encoding="utf-8"))
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        memory = "give the node more memory, or" if name == "SIGKILL" else ""
        return _no_answer(f"its end by {name}", done.stdout, memory)
    return _no_answer(f"its end with status {done.returncode}", done.stdout)


def _no_answer(found: str, output: bytes | None, advice: str = "") -> ContractReport:
    lines = (output or b"").decode("utf-8", "replace").strip().splitlines()[-_LAST_LINES:]
    said = f", after it said: {' | '.join(lines)}" if lines else ""
    by_hand = "run `python -m serving.contract` on the model by hand"
    return ContractReport(
        (Check("process", False, found + said, "an answer of the process that checks", f"{advice} {by_hand}".strip()),)
    )
