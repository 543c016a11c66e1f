"""Who may import whom, as pyproject.toml says under ``tool.importlinter``, and the drawing of who does."""

from __future__ import annotations

import pathlib
import subprocess
import sys

from docs.draw_architecture import DRAWING, architecture_edges, drawn_edges

ROOT = pathlib.Path(__file__).parents[1]


def test_imports_keep_to_the_contracts() -> None:
    # In a process of its own: it takes hold of stdout and keeps it.
    lint_imports = [str(pathlib.Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    checked = subprocess.run(lint_imports, cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_drawing_shows_the_imports_of_today() -> None:
    there, drawn = architecture_edges(), drawn_edges(DRAWING.read_text(encoding="utf-8"))
    assert drawn == there, (
        f"docs/architecture.svg lacks {sorted(there - drawn)} and shows {sorted(drawn - there)} that is gone; "
        "run `make drawing` and look at it"
    )
