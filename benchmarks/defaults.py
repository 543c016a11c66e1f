"""Five lines of YAML against hand-tuned settings: AP and AP50 of the whole pipeline on real data.

    python -m benchmarks.defaults                              every row (about four hours on two cores)
    python -m benchmarks.defaults blood_cells_voc --seeds 3    one data set, three seeds
    python -m benchmarks.defaults blood_cells_voc --steps 4    a smoke test: its rows are not kept

A row that was measured is kept in ``build/benchmarks/defaults/rows.jsonl`` and not measured again; a run that was
stopped goes on at its last checkpoint. The table has all rows that there are.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from benchmarks.measured_run import keep_row, kept_rows, measured_run
from benchmarks.real_data import DATA, REPOSITORY, WEIGHTS
from pipeline.config import load_config

ROOT: Final = REPOSITORY / "build" / "benchmarks" / "defaults"
ROWS: Final = ROOT / "rows.jsonl"

FIVE_LINES: Final[dict[str, dict[str, Any]]] = {
    "blood_cells_voc": {"train": {"batch_size": 8}},
    "blood_cells_coco": {"train": {"batch_size": 8}},
    # The canvas is what a user can pay for; that a mirrored arrow is another sign, only the user knows.
    "traffic_signs_yolo": {
        "model": {"image_size": [480, 480]},
        "train": {"batch_size": 4, "augmentation": {"horizontal_flip": 0.0}},
    },
}
"""What stands in the lines ``model`` and ``train`` beside detector and weights."""

_ADAM: Final = {"name": "adam", "learning_rate": 1e-3}
HAND_TUNED: Final[dict[str, dict[str, Any]]] = {
    "blood_cells_voc": {
        "model": {"anchors": "options", "options": {"anchor_scale": 3.0, "batch_norm_momentum": 0.97}},
        "train": {"steps": 700, "batch_size": 8, "optimizer": _ADAM, "augmentation": {"vertical_flip": 0.5}},
    },
    "blood_cells_coco": {
        "model": {"anchors": "options", "options": {"batch_norm_momentum": 0.97}},
        "train": {"steps": 200, "batch_size": 8, "optimizer": _ADAM, "augmentation": {"vertical_flip": 0.5}},
    },
    "traffic_signs_yolo": {
        "model": {
            "image_size": [480, 480],
            "anchors": "options",
            "options": {"anchor_scale": 2.0, "batch_norm_momentum": 0.97},
        },
        "train": {"steps": 1000, "batch_size": 4, "optimizer": _ADAM, "augmentation": {"horizontal_flip": 0.0}},
    },
}
"""What was found by trying, before there were defaults that suit the data."""
SETTINGS: Final = {"five lines": FIVE_LINES, "hand-tuned": HAND_TUNED}


def _measured(name: str, settings: str, seed: int, steps: int | None) -> dict[str, Any]:
    """Runs the pipeline for a row."""
    given = SETTINGS[settings][name]
    kind = f"{settings.replace(' ', '-')}-{seed}" + ("" if steps is None else "-smoke")
    tree = {
        "name": f"{name.replace('_', '-')}-{kind}",
        "root": str(ROOT),
        "data": {
            "format": load_config(REPOSITORY / "pipeline" / "configs" / f"{name}.yaml").data.format,
            "path": str(DATA[name]),
        },
        "model": {"detector": "ssd_mobilenet_v2_fpnlite", "pretrained": str(WEIGHTS), **given.get("model", {})},
        "train": {**given["train"], "seed": seed, **({} if steps is None else {"steps": steps})},
    }
    return {"data": name, "settings": settings, "seed": seed, **measured_run(tree)}


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """A line for every data set and settings: means over the seeds."""
    lines = [
        "| data, settings | seeds | steps x batch | anchors | Trainer, min | AP | AP50 |",
        "|---|---:|---|---|---:|---:|---:|",
    ]
    for name in DATA:
        for settings in SETTINGS:
            of_line = [row for row in rows if (row["data"], row["settings"]) == (name, settings)]
            if of_line:
                means = {key: float(np.mean([row[key] for row in of_line])) for key in ("minutes", "AP", "AP50")}
                lines.append(
                    f"| {name}, {settings} | {len(of_line)} | {of_line[0]['training']} | {of_line[0]['anchors']} "
                    f"| {means['minutes']:.1f} | {means['AP']:.3f} | {means['AP50']:.3f} |"
                )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defaults", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which data (default: all): {', '.join(DATA)}")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="of every training, to try the script; its rows are not kept")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.names) - DATA.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(DATA)}")
    if not WEIGHTS.exists():
        parser.error(f"{WEIGHTS} is not there; set SHARED_DIR to the folder with data/ and weights/")
    kept = arguments.steps is None
    rows = kept_rows(ROWS) if kept else []
    known = {(row["data"], row["settings"], row["seed"]) for row in rows}
    for seed in range(arguments.seeds):
        for name in arguments.names or DATA:
            for settings in SETTINGS:
                if (name, settings, seed) in known:
                    continue
                row = _measured(name, settings, seed, arguments.steps)
                rows.append(row)
                if kept:
                    keep_row(ROWS, row)
    print(_table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
