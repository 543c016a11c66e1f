"""The SavedModel as it is exported against the same network with its variables: answering, loading, size, memory.

    python -m benchmarks.answering [CASE ...] [--rounds N]

Both are made here of one detector with random weights and settled statistics of its batch normalisation: one by
``export``, whose network is frozen and folded, the other without that, as a trained network is traced. Both answer
``serving_default`` under the C++ loader (that of the embedded server and of TF Serving) in one process, in turns, each
going first in every other round, on a JPEG of 640 x 480. A ratio is exported / traced, the median of the rounds, with
the range of the rounds in brackets. Loading, with the warm-up requests, and memory with all signatures run at batches
of 1 and 8, are of a process for each.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from pipeline.tensorflow_environment import prepare_tensorflow

if TYPE_CHECKING:
    import numpy as np

    from components.detector.detector import Detector

CASES: Final = {
    "ssd_mobilenet_v2": 300,
    "ssd_mobilenet_v2_fpnlite": 320,
    "efficientdet_d0": 512,
    "faster_rcnn_resnet50": 640,
}
"""Detector -> side of its canvas in pixels."""
BATCHES: Final = (1, 8)
_NAMES: Final = ("traced", "exported")
_LEAST_SECONDS: Final = 0.3
"""Of a block; a network that is faster answers several times in it."""


def settled_detector(name: str, side_pixels: int) -> Detector:
    """With statistics and factors as of a training, so that folding them is not folding ones and zeros."""
    import numpy as np

    from components.detector.registry import build_detector

    detector = build_detector(name, num_classes=10, image_size=(side_pixels, side_pixels))
    random = np.random.default_rng(0)
    for variable in detector.weights:
        if variable.name in ("moving_variance", "gamma"):
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
        elif variable.name in ("moving_mean", "beta"):
            variable.assign(random.normal(0.0, 0.1, variable.shape))
    return detector


def write_versions(folder: pathlib.Path, detector: Detector) -> None:
    """``traced`` and ``exported``, each a SavedModel with the same files beside it."""
    import shutil

    import tensorflow as tf

    from components.export.saved_model import ServingModule, export
    from schema.label_map import LabelMap

    label_map = LabelMap.of_names([f"class {number}" for number in range(detector.num_classes)])
    exported, traced = folder / "exported", folder / "traced"
    export(str(exported), detector, label_map, serving_batch_size=max(BATCHES))
    module = ServingModule(detector, label_map, str(exported / "assets" / "labels.txt"))
    tf.saved_model.save(module, str(traced), signatures=module.signatures())
    shutil.copytree(exported / "assets.extra", traced / "assets.extra")


def photograph() -> bytes:
    """A JPEG of 640 x 480."""
    import io

    import numpy as np
    from PIL import Image

    coarse = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def answering(folder: pathlib.Path, batch: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """(CPU, wall) seconds of an image by version, a pair a round."""
    import contextlib

    import numpy as np

    from serving.models.cpp_session import CppSession

    request = {"image_bytes": np.array([photograph()] * batch, object)}
    with contextlib.ExitStack() as stack:
        sessions = {name: stack.enter_context(CppSession(folder / name)) for name in _NAMES}

        def block(name: str, times: int) -> tuple[float, float]:
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(times):
                sessions[name].run("serving_default", request)
            return tuple(
                seconds / (times * batch) for seconds in (time.process_time() - cpu, time.perf_counter() - wall)
            )

        for name in _NAMES:
            block(name, 2)
        times = max(1, round(_LEAST_SECONDS / (batch * block("exported", 1)[1])))
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in _NAMES}
        for number in range(rounds):
            for name in _NAMES if number % 2 else _NAMES[::-1]:
                measured[name].append(block(name, times))
    return measured


def loading(version: pathlib.Path, side_pixels: int) -> dict[str, float]:
    """Seconds of CPU until a version answers, and megabytes that the process grew by, in this process."""
    import numpy as np
    import tensorflow as tf

    from schema import features
    from serving.models.loader import Loader
    from serving.models.runnable import Call

    image = photograph()
    tf.io.decode_jpeg(image)
    before, started = _resident_mb(), time.process_time()
    model = Loader().load("detector", 1, version)
    seconds, warm = time.process_time() - started, _resident_mb()
    record = tf.train.Example()
    record.features.feature[features.IMAGE_ENCODED].bytes_list.value.append(image)
    inputs: dict[str, Callable[[int], Mapping[str, np.ndarray]]] = {
        "serving_default": lambda batch: {"image_bytes": np.array([image] * batch, object)},
        "serving_tolerant": lambda batch: {"image_bytes": np.array([image] * batch, object)},
        "serving_tensor": lambda batch: {"images": np.zeros((batch, side_pixels, side_pixels, 3), np.uint8)},
        "evaluate": lambda batch: {"examples": np.array([record.SerializeToString()] * batch, object)},
    }
    for signature, make in inputs.items():
        for batch in BATCHES:
            model.run(Call(signature, make(batch)))
    return {"seconds": seconds, "warm_mb": warm - before, "all_mb": _resident_mb() - before}


def _resident_mb() -> float:
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def _loading_apart(version: pathlib.Path, side_pixels: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.answering", "--loading", str(version), str(side_pixels)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _megabytes(folder: pathlib.Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _ratio(measured: Mapping[str, list[tuple[float, float]]], which: int) -> str:
    traced, exported = ([pair[which] for pair in measured[name]] for name in _NAMES)
    ratios = [ours / theirs for ours, theirs in zip(exported, traced, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def _milliseconds(pairs: list[tuple[float, float]], which: int) -> str:
    return f"{1000 * statistics.median(pair[which] for pair in pairs):.1f}"


def rows(name: str, rounds: int) -> tuple[list[str], str]:
    """The lines of a case in both tables."""
    side = CASES[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        write_versions(folder, settled_detector(name, side))
        answered = []
        for batch in BATCHES:
            measured = answering(folder, batch, rounds)
            cells = [_milliseconds(measured[version], which) for which in (0, 1) for version in _NAMES]
            ratios = [_ratio(measured, which) for which in (0, 1)]
            answered.append(
                f"| {name} {side}, batch {batch} | {' | '.join([*cells[:2], ratios[0], *cells[2:], ratios[1]])} |"
            )
        apart = {version: _loading_apart(folder / version, side) for version in _NAMES}
        loaded = [f"{_megabytes(folder / version):.1f}" for version in _NAMES]
        for key, form in (("seconds", ".2f"), ("warm_mb", ".0f"), ("all_mb", ".0f")):
            loaded += [format(apart[version][key], form) for version in _NAMES]
    return answered, f"| {name} {side} | {' | '.join(loaded)} |"


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answering", description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"default: {' '.join(CASES)}")
    parser.add_argument("--rounds", type=int, default=11, help="of each pair (default: %(default)s)")
    parser.add_argument("--loading", nargs=2, help=argparse.SUPPRESS)
    options: Any = parser.parse_args(argv)
    if unknown := set(options.cases) - CASES.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    prepare_tensorflow()
    if options.loading:
        print(json.dumps(loading(pathlib.Path(options.loading[0]), int(options.loading[1]))))
        return 0
    print("| detector | CPU ms an image, traced | exported | ratio | wall ms, traced | exported | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|", flush=True)
    loaded = []
    for name in options.cases or CASES:
        answered, line = rows(name, options.rounds)
        print("\n".join(answered), flush=True)
        loaded.append(line)
    print(
        "\n| detector, loading | MB on disk, traced | exported | CPU s to load and warm up, traced | exported", end=""
    )
    print(" | MB warmed up, traced | exported | MB all signatures run, traced | exported |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    print("\n".join(loaded))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
