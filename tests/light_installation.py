"""An interpreter as the distribution without its extra `pipeline` leaves it, made of this one."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import subprocess
import sys
import tomllib
from typing import Any

from kubeflow.image_packages import needed, normalized

ROOT = pathlib.Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
"""What the metadata of the package are made of."""


def base_distributions() -> set[str]:
    """Normalised names of what is installed without an extra."""
    requirements = {normalized(d.metadata["Name"]): d.requires or [] for d in importlib.metadata.distributions()}
    return needed(PROJECT["dependencies"], requirements)


def run_light(folder: pathlib.Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs Python with arguments where only `base_distributions` can be imported, and what is ours.

    Args:
      folder: an empty one, for what the interpreter reads when it starts.
      arguments: of Python.
    """
    there = base_distributions() | {normalized(PROJECT["name"])}
    hidden = sorted(
        module
        for module, names in importlib.metadata.packages_distributions().items()
        if module.isidentifier() and not there & {normalized(name) for name in names}
    )
    # What is None there is looked for nowhere else.
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({hidden!r}))\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
