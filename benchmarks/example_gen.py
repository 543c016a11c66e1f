"""ExampleGen images/s against a plain copy of the same files.

``python -m benchmarks.example_gen [--images 3000] [--workers 1]`` makes a COCO data set of 640x480 JPEGs, copies its
files, and runs the executor on it; both read from a warm file cache. Startup of Beam is measured on ten images and
shown apart. Peak memory and core time are of the process and its workers.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

DISTINCT_IMAGES = 25
BOXES_PER_IMAGE = 8


def make_data(folder: pathlib.Path, images: int) -> int:
    """Writes a data set and returns the bytes of its images."""
    random = np.random.default_rng(0)
    encoded = []
    for _ in range(DISTINCT_IMAGES):
        picture = Image.fromarray(random.integers(0, 256, (48, 64, 3), dtype=np.uint8)).resize((640, 480))
        noisy = np.asarray(picture, int) + random.normal(0, 6, (480, 640, 3))
        output = io.BytesIO()
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(output, "JPEG", quality=85)
        encoded.append(output.getvalue())
    (folder / "images").mkdir(parents=True)
    entries, annotations = [], []
    for number in range(images):
        name = f"{number:06d}.jpg"
        (folder / "images" / name).write_bytes(encoded[number % DISTINCT_IMAGES])
        entries.append({"id": number, "file_name": name, "width": 640, "height": 480, "weather": "fog"})
        for _ in range(BOXES_PER_IMAGE):
            x, y = random.integers(0, 400, 2).tolist()
            annotations.append({"image_id": number, "category_id": 1, "bbox": [x, y, 60, 50], "id": len(annotations)})
    data = {"images": entries, "annotations": annotations, "categories": [{"id": 1, "name": "a"}]}
    (folder / "labels.json").write_text(json.dumps(data))
    return sum(len(encoded[number % DISTINCT_IMAGES]) for number in range(images))


def copy_seconds(data: pathlib.Path, target: pathlib.Path) -> float:
    """Seconds a plain copy of the data folder takes."""
    start = time.perf_counter()
    shutil.copytree(data, target)
    return time.perf_counter() - start


def executor_seconds(data: pathlib.Path, target: pathlib.Path, workers: int) -> tuple[float, float, float]:
    """Seconds, core-seconds and peak memory (MiB) of the executor, in a process of its own so that they are its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.example_gen",
        "--run",
        str(data),
        str(target),
        "--workers",
        str(workers),
    ]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, core_seconds, mebibytes = map(float, result.stdout.split()[-3:])
    return seconds, core_seconds, mebibytes


def run_executor(data: str, target: str, workers: int) -> None:
    """Runs the executor here and prints seconds, core-seconds and peak memory."""
    import resource

    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.types import standard_artifacts

    from components.artifacts import Findings
    from components.example_gen.executor import Executor
    from components.example_gen.settings import DataSettings
    from components.example_gen.spans import resolve_spans, spans_to_json

    settings = DataSettings(format="coco", path=data)
    examples, findings = standard_artifacts.Examples(), Findings()
    examples.uri, findings.uri = f"{target}/gen/examples/1", f"{target}/gen/findings/1"
    arguments = [f"--direct_num_workers={workers}", "--direct_running_mode=multi_processing"] if workers > 1 else []
    context = BaseBeamExecutor.Context(beam_pipeline_args=["--runner=DirectRunner", *arguments])
    start, start_core = time.perf_counter(), _core_seconds()
    Executor(context).Do(
        {},
        {"examples": [examples], "findings": [findings]},
        {"settings": settings.model_dump_json(), "span_folders": spans_to_json(resolve_spans(settings))},
    )
    seconds = time.perf_counter() - start
    core_seconds = _core_seconds() - start_core
    peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(seconds, core_seconds, max(peaks))


def _core_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--run", nargs=2, metavar=("DATA", "TARGET"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run_executor(*arguments.run, arguments.workers[0])
        return
    with tempfile.TemporaryDirectory() as temporary:
        base = pathlib.Path(temporary)
        size = make_data(base / "data", arguments.images)
        make_data(base / "small", 10)
        copy_seconds(base / "data", base / "warm-up")
        seconds = copy_seconds(base / "data", base / "copy")
        print("| | seconds | startup | images/s | MB/s | core-ms/image | peak MiB |\n|---|---|---|---|---|---|---|")
        rates = f"{arguments.images / seconds:.0f} | {size / seconds / 1e6:.0f}"
        print(f"| plain copy of {arguments.images} files | {seconds:.2f} | | {rates} | | |")
        for workers in arguments.workers:
            startup, startup_core, _ = executor_seconds(base / "small", base / f"small-{workers}", workers)
            seconds, core, peak = executor_seconds(base / "data", base / f"out-{workers}", workers)
            work = seconds - startup
            row = (
                f"{seconds:.2f} | {startup:.2f} | {arguments.images / work:.0f} | {size / work / 1e6:.0f} | "
                f"{(core - startup_core) / arguments.images * 1e3:.2f} | {peak:.0f}"
            )
            print(f"| ExampleGen, {workers} worker{'s' if workers > 1 else ''} | {row} |")


if __name__ == "__main__":
    main()
