"""What the COCO metric costs beside pycocotools (Python), faster-coco-eval (C++) and hotcoco (Rust), as images grow.

    python -m benchmarks.metric                              all sizes
    python -m benchmarks.metric --images 500 --classes 80    one
    python -m benchmarks.metric --beam-images 50000          with the Evaluator's stages at every size

The detections are made up but shaped like a COCO detector's: classes with a long tail, 7.3 objects and 100 detections
an image, several detections of each object, the rest background. Every library starts from what it keeps in memory
(arrays here, annotation objects there) and gives the twelve numbers of all images; then of all images and of ten slices
that part them. Libraries take turns, every size is a process of its own.

The Evaluator's stages in Beam (matching, TFMA's slicing, the metric) are timed with one and two processes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import faster_coco_eval
import hotcoco
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from components.evaluator.coco import ImageResult, coco_metrics

IMAGES: Final = (500, 5_000, 50_000)
CLASSES: Final = (20, 80)
NUM_SLICES: Final = 10
_ROUNDS: Final = 3
_MOST_IMAGES: Final = {"pycocotools": 500, "faster-coco-eval": 5_000}
"""Beyond these a library would take the better part of an hour."""
_BEAM_MOST_IMAGES: Final = 5_000
"""Unless asked for more: the stages take 15 to 25 ms an image."""
OBJECTS_PER_IMAGE = 7.3
DETECTIONS_PER_IMAGE = 100
DETECTIONS_PER_OBJECT = 4
IMAGE_PIXELS = 640


def make_results(num_images: int, num_classes: int) -> list[ImageResult]:
    """Images with objects of log-normal size and detections that are jittered objects or background."""
    random = np.random.default_rng(0)
    frequency = 1 / np.arange(1, num_classes + 1)
    results = []
    for _ in range(num_images):
        there = 1 + int(random.poisson(OBJECTS_PER_IMAGE - 1))
        # A scene shows few classes, each several times.
        scene = random.choice(num_classes, size=4, p=frequency / frequency.sum())
        classes = random.choice(scene, size=there)
        truth = _boxes(random, there)  # [G, 4]
        near = np.repeat(np.arange(there), DETECTIONS_PER_OBJECT)[:DETECTIONS_PER_IMAGE]
        side = np.sqrt((truth[near, 2] - truth[near, 0]) * (truth[near, 3] - truth[near, 1]))
        jittered = truth[near] + random.normal(0, 0.12, (len(near), 4)) * side[:, None]  # [near, 4]
        background = DETECTIONS_PER_IMAGE - len(near)
        confused = np.where(random.random(len(near)) < 0.15, random.choice(scene, len(near)), classes[near])
        results.append(
            ImageResult(
                np.concatenate([jittered, _boxes(random, background)]),
                np.concatenate([random.beta(2, 2, len(near)), random.beta(1, 8, background)]).round(4),
                np.concatenate([confused, random.choice(num_classes, background)]),
                truth,
                classes,
                (truth[:, 2] - truth[:, 0]) * (truth[:, 3] - truth[:, 1]) * random.uniform(0.5, 1, there),
                random.random(there) < 0.01,
                np.zeros(there, np.bool_),
            )
        )
    return results


def _boxes(random: np.random.Generator, count: int) -> np.ndarray:
    size = np.exp(random.normal(4.2, 0.9, (count, 2))).clip(4, IMAGE_PIXELS)
    corner = random.uniform(0, 1, (count, 2)) * (IMAGE_PIXELS - size)
    return np.concatenate([corner, corner + size], axis=1)  # [count, 4]


def as_coco(results: Sequence[ImageResult], num_classes: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The dictionaries of COCO's JSON files: ground truth and detections."""
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for image_id, result in enumerate(results, start=1):
        truth, found = _xywh(result.truth_boxes_yxyx_pixels), _xywh(result.detection_boxes_yxyx_pixels)
        for row, box in enumerate(truth):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(result.truth_classes[row]) + 1,
                    "bbox": box,
                    "area": float(result.truth_areas_pixels[row]),
                    "iscrowd": int(result.truth_is_crowd[row]),
                }
            )
        for box, score, index in zip(
            found, result.detection_scores.tolist(), result.detection_classes.tolist(), strict=True
        ):
            detections.append({"image_id": image_id, "category_id": index + 1, "bbox": box, "score": score})
    dataset = {
        "images": [
            {"id": image_id, "width": IMAGE_PIXELS, "height": IMAGE_PIXELS} for image_id in range(1, len(results) + 1)
        ],
        "categories": [{"id": number, "name": str(number)} for number in range(1, num_classes + 1)],
        "annotations": annotations,
    }
    return dataset, detections


def _xywh(boxes_yxyx: np.ndarray) -> list[list[float]]:
    ymin, xmin, ymax, xmax = boxes_yxyx.T
    rows: list[list[float]] = np.stack([xmin, ymin, xmax - xmin, ymax - ymin], axis=1).tolist()
    return rows


Metric = Callable[[], float]
"""Gives AP, of what was loaded before."""


def metrics_by_library(results: Sequence[ImageResult], num_classes: int) -> dict[str, Metric]:
    """AP by every library that can be asked about so many images."""
    class_names = [str(number) for number in range(1, num_classes + 1)]
    dataset, detections = as_coco(results, num_classes)
    by_library: dict[str, Metric] = {"this project": lambda: coco_metrics(results, class_names)["AP"]}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = hotcoco.COCO(dataset)
        by_library["hotcoco"] = _asked(hotcoco.COCOeval, truth, truth.load_res(detections))
        if len(results) <= _MOST_IMAGES["faster-coco-eval"]:
            fast = faster_coco_eval.COCO(dataset)
            by_library["faster-coco-eval"] = _asked(
                faster_coco_eval.COCOeval_faster, fast, fast.loadRes(detections), extra_calc=False
            )
        if len(results) <= _MOST_IMAGES["pycocotools"]:
            plain = COCO()
            plain.dataset = dataset
            plain.createIndex()
            by_library["pycocotools"] = _asked(COCOeval, plain, plain.loadRes(detections))
    return by_library


def _asked(evaluation_class: Any, truth: Any, found: Any, **options: Any) -> Metric:
    def average_precision() -> float:
        evaluation = evaluation_class(truth, found, "bbox", **options)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        return float(evaluation.stats[0])

    return average_precision


def slice_metrics_by_library(results: Sequence[ImageResult], num_classes: int) -> dict[str, Metric]:
    """The sum of AP of all images and of ten slices, each asked for by itself."""
    parts = [results, *(list(results[first::NUM_SLICES]) for first in range(NUM_SLICES))]
    metrics = [metrics_by_library(part, num_classes) for part in parts]

    def summed(name: str) -> Metric:
        return lambda: sum(of_part[name]() for of_part in metrics)

    return {name: summed(name) for name in metrics[0]}


def cpu_seconds(metrics: Mapping[str, Metric]) -> dict[str, float]:
    """Median CPU seconds by library, of rounds in which all take turns.

    Raises:
      ValueError: they do not agree.
    """
    seconds: dict[str, list[float]] = {name: [] for name in metrics}
    answers: dict[str, float] = {}
    for _ in range(_ROUNDS):
        for name, metric in metrics.items():
            if name == "pycocotools" and seconds[name]:
                continue  # once is long enough
            start = time.process_time()
            with contextlib.redirect_stdout(io.StringIO()):
                answers[name] = metric()
            seconds[name].append(time.process_time() - start)
    if max(answers.values()) - min(answers.values()) > 1e-6:
        raise ValueError(f"the libraries do not agree: {answers}")
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def beam_seconds(results: Sequence[ImageResult], num_classes: int, processes: int) -> tuple[float, float]:
    """Wall and CPU seconds of the Evaluator's stages from matching on, with all slices."""
    import apache_beam as beam
    import tensorflow_model_analysis as tfma
    import tfx.v1  # noqa: F401 - TFMA's protos are there only after it
    from tensorflow_model_analysis import constants

    from components.evaluator.eval_config import build_eval_config
    from components.evaluator.matched_images import ImageFacts, match_image
    from components.evaluator.record_matching import MATCHED_IMAGE_KEY
    from components.evaluator.settings import EvalSettings

    class_names = [str(number) for number in range(1, num_classes + 1)]
    config = build_eval_config(EvalSettings(slices=(("part",),)), ["candidate"])

    def matched(number: int) -> dict[str, Any]:
        part = str(number % NUM_SLICES)
        facts = ImageFacts(f"{number:06}", "", IMAGE_PIXELS, IMAGE_PIXELS, {"part": (part,)}, str(number))
        return {
            constants.INPUT_KEY: b"",
            constants.FEATURES_KEY: {"part": np.array([part], object)},
            MATCHED_IMAGE_KEY: match_image(facts, class_names, {"candidate": results[number]}),
        }

    options = beam.options.pipeline_options.PipelineOptions(
        runner="DirectRunner" if processes == 1 else "FnApiRunner",
        direct_num_workers=processes,
        direct_running_mode="in_memory" if processes == 1 else "multi_processing",
    )
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), _cpu()
        with beam.Pipeline(options=options) as pipeline:
            _ = (
                pipeline
                | beam.Create(range(len(results)))
                | beam.Reshuffle()
                | beam.Map(matched)
                | tfma.ExtractEvaluateAndWriteResults(
                    eval_config=config,
                    extractors=[tfma.extractors.SliceKeyExtractor(eval_config=config, materialize=False)],
                    output_path=str(pathlib.Path(folder)),
                )
            )
        return time.perf_counter() - wall, _cpu() - cpu


def _cpu() -> float:
    """CPU seconds of this process and of those that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def measured(num_images: int, num_classes: int, beam_images: int) -> dict[str, Any]:
    """One size, in this process; the Beam stages of at most ``beam_images``."""
    results = make_results(num_images, num_classes)
    peak_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    coco_metrics(results, [str(number) for number in range(1, num_classes + 1)])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    row: dict[str, Any] = {
        "memory_mib": (peak - peak_before) / 1024,
        "all": cpu_seconds(metrics_by_library(results, num_classes)),
        "sliced": cpu_seconds(slice_metrics_by_library(results, num_classes)),
    }
    if num_images <= beam_images:
        row["beam"] = [beam_seconds(results, num_classes, processes) for processes in (1, 2)]
    return row


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=list(IMAGES))
    parser.add_argument("--classes", type=int, nargs="+", default=list(CLASSES))
    parser.add_argument("--beam-images", type=int, default=_BEAM_MOST_IMAGES, help="most images in Beam's stages")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        with contextlib.redirect_stdout(sys.stderr):
            row = measured(arguments.images[0], arguments.classes[0], arguments.beam_images)
        print(json.dumps(row))
        return
    rows = {}
    for num_images in arguments.images:
        for num_classes in arguments.classes:
            size = ["--images", str(num_images), "--classes", str(num_classes)]
            size += ["--beam-images", str(arguments.beam_images)]
            command = [sys.executable, "-m", "benchmarks.metric", "--one", *size]
            finished = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            rows[num_images, num_classes] = json.loads(finished.stdout.splitlines()[-1])
            print(f"{num_images} images, {num_classes} classes: measured", file=sys.stderr, flush=True)
    libraries = ("this project", "hotcoco", "faster-coco-eval", "pycocotools")
    versions = (
        f"hotcoco {hotcoco.__version__}, faster-coco-eval {faster_coco_eval.__version__}, all answers equal to 1e-6."
    )
    for key, what in (("all", "Of all images"), ("sliced", "Of all images and of ten slices that part them")):
        print(f"{what}, CPU seconds (median of {_ROUNDS} rounds that alternate; {versions}):\n")
        print(f"| images | classes | {' | '.join(libraries)} | ratio to hotcoco |\n| ---: | ---: |{' ---: |' * 5}")
        for (num_images, num_classes), row in rows.items():
            cells = [f"{row[key][name]:.3f}" if name in row[key] else "" for name in libraries]
            ratio = row[key]["this project"] / row[key]["hotcoco"]
            print(f"| {num_images} | {num_classes} | {' | '.join(cells)} | {ratio:.2f} |")
        print()
    print(
        "Memory of the metric beyond the detections, and the Evaluator's Beam stages from the matches on, ten slices:\n"
    )
    print("| images | classes | MiB | 1 process: wall s | CPU s | 2 processes: wall s | CPU s |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for (num_images, num_classes), row in rows.items():
        beam_cells = [f"{value:.1f}" for pair in row.get("beam", ()) for value in pair] or [""] * 4
        print(f"| {num_images} | {num_classes} | {row['memory_mib']:.0f} | {' | '.join(beam_cells)} |")


if __name__ == "__main__":
    main()
