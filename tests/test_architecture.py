"""Who may import whom, as pyproject.toml says under ``tool.importlinter``."""

from __future__ import annotations

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def test_imports_keep_to_the_contracts() -> None:
    # In a process of its own: it takes hold of stdout and keeps it.
    lint_imports = [str(pathlib.Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    checked = subprocess.run(lint_imports, cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
