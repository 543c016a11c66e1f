"""What `train.precision: auto` finds: a gradient step in float32 and in mixed bfloat16, in turns.

    python -m benchmarks.precision [CASE ...]

The cases are those of `python -m benchmarks.detectors --list`. Seconds are wall time: it is what the choice goes by.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
from collections.abc import Sequence
from typing import Final

from benchmarks.detectors import CASES, NUM_CLASSES
from components.detector import names
from pipeline.tensorflow_environment import prepare_tensorflow

DEFAULT_CASES: Final = ("ssd_mobilenet_v2", "ssd_mobilenet_v2_fpnlite", "efficientdet_d0", "faster_rcnn_resnet50")
_FLAGS: Final = ("avx512f", "avx512_bf16", "amx_bf16")


def row(name: str) -> str:
    """One line of the table."""
    from components.detector.registry import build_detector
    from components.trainer.precision_choice import choose_precision

    case = CASES[name]
    size = (case.image_size, case.image_size)
    build = functools.partial(build_detector, case.detector, num_classes=NUM_CLASSES, image_size=size)
    chosen = choose_precision(build, case.train_batch)
    float32, bfloat16 = chosen.step_seconds["float32"], chosen.step_seconds["mixed_bfloat16"]
    cells = [f"{name} {case.image_size}", str(case.train_batch), f"{float32:.2f}", f"{bfloat16:.2f}"]
    return f"| {' | '.join([*cells, f'{bfloat16 / float32:.2f}', chosen.name])} |"


def _processor() -> str:
    """Which of the instructions that matter this processor has."""
    flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    return ", ".join(f"{flag} {'yes' if flag in flags else 'no'}" for flag in _FLAGS)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"default: {' '.join(DEFAULT_CASES)}")
    arguments = parser.parse_args(argv)
    known = [name for name in CASES if CASES[name].detector in names.DETECTORS]
    if unknown := set(arguments.cases).difference(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    prepare_tensorflow()
    print("| detector | images | float32, s a step | mixed_bfloat16, s | ratio | `auto` takes |")
    print("|---|---:|---:|---:|---:|---|", flush=True)
    for name in arguments.cases or DEFAULT_CASES:
        print(row(name), flush=True)
    print(f"\nProcessor: {_processor()}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
