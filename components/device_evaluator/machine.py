"""The machine that a latency was measured on, in a few words."""

from __future__ import annotations

import os
import pathlib
import platform
from typing import Final

_CPU_INFO: Final = pathlib.Path("/proc/cpuinfo")


def machine_name(cpu_info: pathlib.Path = _CPU_INFO) -> str:
    """``Intel(R) Xeon(R) Platinum 8581C CPU @ 2.10GHz, 2 cores``: the cores are those that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{_model(cpu_info)}, {cores} {'core' if cores == 1 else 'cores'}"


def _model(cpu_info: pathlib.Path) -> str:
    if cpu_info.is_file():
        for line in cpu_info.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    # ARM's kernels name no model there.
    return platform.processor() or platform.machine()
