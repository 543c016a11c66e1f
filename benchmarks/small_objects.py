"""What lifts the average precision of small objects with a long tail of classes: Romanian traffic signs.

    python -m benchmarks.small_objects                          every variant (most of a day on two cores)
    python -m benchmarks.small_objects anchors "tiles 2x2"      only these
    python -m benchmarks.small_objects base --steps 4           a smoke test: its rows are not kept

197 images of 416 x 416 pixels, 31 classes of signs of about 18 pixels; ImageNet weights at full width, and the same
number of images for every variant. Each changes `anchors` as its name says. "One class" calls every sign a sign, in
training and evaluation: what is missing there is finding, what is more there is telling apart. Rows are kept in
``build/benchmarks/small_objects/rows.jsonl`` and not measured again; what was stopped goes on at its last checkpoint.
"""

from __future__ import annotations

import argparse
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from ruamel.yaml import YAML

from benchmarks.measured_run import keep_row, kept_rows, measured_run
from benchmarks.real_data import DATA, REPOSITORY, WEIGHTS

ROOT: Final = REPOSITORY / "build" / "benchmarks" / "small_objects"
ROWS: Final = ROOT / "rows.jsonl"
SIGNS: Final = DATA["traffic_signs_yolo"]
ONE_CLASS: Final = "one class"

_STEPS: Final = 1500
_BATCH_SIZE: Final = 4
_RARE_OFTEN: Final = {"sampling": {"repeat_threshold": 0.1}}
_PASTED: Final = {"copy_paste": 0.5, "copy_paste_objects": 4}
_TILES: Final = {"rows": 2, "columns": 2, "overlap": 0.2}

VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "base": {"model": {"anchors": "options"}},
    "anchors": {},
    "canvas 640": {"model": {"image_size": [640, 640]}},
    "repeat-factor sampling": {"train": _RARE_OFTEN},
    "copy-paste": {"augmentation": _PASTED},
    "mosaic": {"augmentation": {"mosaic": 0.5}},
    "tiles 2x2": {"model": {"tiling": _TILES}},
    "tiles 3x3 of 320": {"model": {"image_size": [320, 320], "tiling": {**_TILES, "rows": 3, "columns": 3}}},
    "tiles, sampling, copy-paste": {"model": {"tiling": _TILES}, "train": _RARE_OFTEN, "augmentation": _PASTED},
    ONE_CLASS: {},
    f"{ONE_CLASS}, tiles": {"model": {"tiling": _TILES}},
}
"""What differs from the variant ``anchors``: in ``model``, in ``train``, and in ``train.augmentation``."""


def config_of(variant: str, seed: int, steps: int | None = None) -> dict[str, Any]:
    """The config of a training, as YAML would have it.

    Args:
      variant: one of ``VARIANTS``.
      seed: of the training.
      steps: in place of all, for a smoke test.
    """
    changes = VARIANTS[variant]
    words = "".join(letter if letter.isalnum() else "-" for letter in variant).replace("--", "-")
    return {
        "name": f"signs-{words}-{seed}" + ("" if steps is None else "-smoke"),
        "root": str(ROOT),
        "data": {"format": "yolo", "path": str(ROOT / "one_class" if variant.startswith(ONE_CLASS) else SIGNS)},
        "model": {
            "detector": "ssd_mobilenet_v2_fpnlite",
            "pretrained": str(WEIGHTS),
            "image_size": [480, 480],
            "anchors": "data",
            **changes.get("model", {}),
        },
        "train": {
            "steps": steps or _STEPS,
            "batch_size": _BATCH_SIZE,
            "seed": seed,
            # A mirrored arrow is another sign.
            "augmentation": {"horizontal_flip": 0.0, **changes.get("augmentation", {})},
            **changes.get("train", {}),
        },
    }


def write_one_class(source: pathlib.Path, target: pathlib.Path) -> None:
    """A copy of a YOLO data set of Roboflow's layout in which everything is of one class; images are linked."""
    if target.exists():
        return
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for split in ("train", "valid", "test"):
        labels = partial / split / "labels"
        labels.mkdir(parents=True)
        (partial / split / "images").symlink_to((source / split / "images").resolve())
        for file in (source / split / "labels").glob("*.txt"):
            rows = (line.split(maxsplit=1)[1] for line in file.read_text().splitlines() if line.strip())
            (labels / file.name).write_text("".join(f"0 {row}\n" for row in rows))
    description = {"names": ["sign"], "nc": 1, "train": "../train/images", "val": "../valid/images"}
    with (partial / "data.yaml").open("w") as stream:
        YAML().dump({**description, "test": "../test/images"}, stream)
    partial.rename(target)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for every variant: means over the seeds, and the spread of AP50."""
    lines = [
        "| variant | seeds | steps x batch | anchors | Trainer, min | AP | AP50 | AP50, lowest to highest |",
        "|---|---:|---|---|---:|---:|---:|---|",
    ]
    for variant in VARIANTS:
        of_line = [row for row in rows if row["variant"] == variant]
        if of_line:
            means = {key: float(np.mean([row[key] for row in of_line])) for key in ("minutes", "AP", "AP50")}
            spread = [row["AP50"] for row in of_line]
            lines.append(
                f"| {variant} | {len(of_line)} | {of_line[0]['training']} | {of_line[0]['anchors']} "
                f"| {means['minutes']:.1f} | {means['AP']:.3f} | {means['AP50']:.3f} "
                f"| {min(spread):.3f} to {max(spread):.3f} |"
            )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.small_objects", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones (default: all): {', '.join(VARIANTS)}")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="of every training, to try the script; its rows are not kept")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.names) - VARIANTS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(VARIANTS)}")
    if not WEIGHTS.exists() or not SIGNS.exists():
        parser.error(f"{WEIGHTS} or {SIGNS} is not there; set SHARED_DIR to the folder with data/ and weights/")
    ROOT.mkdir(parents=True, exist_ok=True)
    write_one_class(SIGNS, ROOT / "one_class")
    kept = arguments.steps is None
    rows = kept_rows(ROWS) if kept else []
    known = {(row["variant"], row["seed"]) for row in rows}
    for seed in range(arguments.seeds):
        for variant in arguments.names or VARIANTS:
            if (variant, seed) in known:
                continue
            row = {"variant": variant, "seed": seed, **measured_run(config_of(variant, seed, arguments.steps))}
            rows.append(row)
            if kept:
                keep_row(ROWS, row)
    print(_table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
