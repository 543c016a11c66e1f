"""The contract check in a process of its own: a model that brings its process down stops a push, not the pipeline.

It is a program and no import: ``components`` do not know ``serving``.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Final

from components.child_process import run_program
from components.serving_contract.settings import ContractSettings
from schema.contract_report import CONTRACT_FILE, Check, ContractReport

PROGRAM: Final = "serving.contract.__main__"
"""What the process runs."""


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
    arguments = [
        *(str(model), "--json", str(report)),
        *("--sides", *map(str, settings.sides_pixels)),
        *("--latency_runs", str(settings.latency_runs)),
        *("--latency_batch_sizes", *map(str, settings.latency_batch_sizes)),
        *("--max_reply_bytes", str(settings.max_reply_bytes)),
        *(("--images", *map(str, images)) if images else ()),
    ]
    end = run_program(PROGRAM, arguments, timeout_seconds=settings.timeout_seconds)
    if report.is_file() and not end.is_of_time:
        return ContractReport.of_json(report.read_text(encoding="utf-8"))
    by_hand = "run `python -m serving.contract` on the model by hand"
    if end.is_of_time:
        by_hand = f"raise push.contract.timeout_seconds, or {by_hand}"
    elif end.is_of_memory:
        by_hand = f"give the node more memory, or {by_hand}"
    return ContractReport((Check("process", False, end.found, "an answer of the process that checks", by_hand),))
