"""Runs the benchmarks and keeps their tables in benchmarks/RESULTS.md.

python -m benchmarks.all                      all of them
python -m benchmarks.all metric run           only these; the other tables in RESULTS.md stay as they are
python -m benchmarks.all overfit --cases X Y  only these rows of one table; its others stay
"""

from __future__ import annotations

import argparse
import datetime
import os
import pathlib
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata

from pipeline.tensorflow_environment import prepare_tensorflow

RESULTS = pathlib.Path(__file__).with_name("RESULTS.md")

BENCHMARKS = {
    "example_gen": "Reading annotated images into records",
    "fuzz_annotations": "Annotation files with damage",
    "scale_counts": "Ten million images, counted",
    "input_pipeline": "Records to training batches",
    "training_loop": "The training loop around the gradient step",
    "metric": "The COCO metric",
    "gate": "The gate: how sure it is, and how sure it says it is",
    "detectors": "Every detector: training, inference, memory",
    "precision": "float32 or bfloat16: a gradient step in each",
    "overfit": "Every detector learns eight pictures by heart",
    "feature_extraction": "Kept features: speed, and trainings on 25 images",
    "transfer": "The demo from the shipped checkpoint and from scratch",
    "anchors": "Anchors for the data",
    "defaults": "Five lines of YAML against hand-tuned settings",
    "small_objects": "Small objects: traffic signs",
    "adding_a_class": "A class added to a trained detector",
    "label_errors": "Wrong annotations found again",
    "few_shot": "Few-shot detection against plain fine-tuning on the same shots",
    "domain_adaptation": "From one domain to another without its annotations",
    "transfer_ladder": "Every way of transfer on blood cells, by labelled images",
    "answering": "The exported network against the network as it is traced",
    "serving": "The embedded server",
    "devices": "Device models beside the SavedModel",
    "served_drift": "Drift from what is served, and AP without labels",
    "run": "A whole run against its unavoidable parts",
    "real_data": "Real data from ImageNet weights",
}
"""Module in this folder -> heading of its table."""

_SECTION = re.compile(r"^## (?P<heading>.*)\n(?P<body>(?:(?!^## ).*\n)*)", re.MULTILINE)


def _machine() -> str:
    """The machine in a line, as far as a reader of the figures needs it."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("tensorflow", "keras", "tfx", "numpy"))
    return f"{os.cpu_count()} cores of {model}, {memory_gib:.0f} GiB, Python {platform.python_version()}, {versions}"


def _read_sections() -> dict[str, str]:
    if not RESULTS.exists():
        return {}
    return {match["heading"]: match["body"].strip() for match in _SECTION.finditer(RESULTS.read_text() + "\n")}


def _write_sections(sections: dict[str, str]) -> None:
    ordered = [(heading, sections[heading]) for heading in BENCHMARKS.values() if heading in sections]
    text = "# Results\n\nWritten by `python -m benchmarks.all [NAME ...]`; no figure here was typed by hand.\n"
    text += "".join(f"\n## {heading}\n\n{body}\n" for heading, body in ordered)
    partial = RESULTS.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(RESULTS)


def with_rows(table: str, rows: str) -> str:
    """A table with some of its rows measured anew.

    Args:
      table: Markdown, as it is in RESULTS.md.
      rows: what the benchmark printed for some of its cases, a table with the same columns.

    Returns:
      ``table`` in which every row of ``rows`` stands for the one with the same first cell, or behind the last.
    """
    fresh = {_first_cell(line): line for line in rows.splitlines() if line.startswith("|")}
    lines = [fresh.pop(_first_cell(line), line) if line.startswith("|") else line for line in table.splitlines()]
    behind = max((number for number, line in enumerate(lines, start=1) if line.startswith("|")), default=0)
    return "\n".join([*lines[:behind], *fresh.values(), *lines[behind:]])


def _first_cell(row: str) -> str:
    return row.split("|")[1].strip()


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status 1 when a benchmark failed; the tables of the others are kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.all", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones (default: all): {', '.join(BENCHMARKS)}")
    parser.add_argument("--cases", nargs="+", default=[], metavar="CASE", help="only these rows, of one benchmark")
    arguments = parser.parse_args(argv)
    unknown = set(arguments.names) - BENCHMARKS.keys()
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    if arguments.cases and len(arguments.names) != 1:
        parser.error("--cases are those of one benchmark: name it")
    # The benchmarks inherit what the pipeline sets for itself.
    prepare_tensorflow()
    failed = []
    for name in arguments.names or BENCHMARKS:
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments.cases]
        print(f"== {BENCHMARKS[name]}: python -m benchmarks.{name}", flush=True)
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        print(result.stdout, flush=True)
        if result.returncode != 0:
            failed.append(name)
            continue
        sections, heading = _read_sections(), BENCHMARKS[name]
        table = result.stdout.strip()
        # A table that has further rows already is of the whole.
        cases = [] if heading in sections else arguments.cases
        shown = " ".join([f"python -m benchmarks.{name}", *cases])
        footer = f"`{shown}`, {datetime.date.today()}, {_machine()}"
        if arguments.cases and heading in sections:
            table = with_rows(sections[heading].rpartition("\n\n")[0], table)
        _write_sections(sections | {heading: f"{table}\n\n{footer}"})
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
