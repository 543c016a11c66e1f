"""Device models beside the SavedModel that they are made of: boxes, speed and size, and AP on two sets of images.

    python -m benchmarks.devices                      both parts (about half an hour on two cores)
    python -m benchmarks.devices speed --rounds 5     a look at the speed alone
    python -m benchmarks.devices accuracy --only demo-fpnlite

``speed``: every format and the SavedModel answer one JPEG in turns, in one process with two threads each. Ratios are
medians over the rounds of images/s beside the SavedModel's in the same round. Detectors are those that ``accuracy`` has
trained, with an image and calibration of their data; one that it does not train, or has not yet, has random weights and
noise, for which every box is as good as any and suppression has most to do.

``accuracy``: the pipeline, with all formats pushed, on the demo's scenes and on blood cells (BCCD from
``$SHARED_DIR``): what the cards of the pushed models say. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import yaml
from PIL import Image

from benchmarks.measured_run import measured_run
from benchmarks.real_data import DATA, REPOSITORY, WEIGHTS
from pipeline.tensorflow_environment import prepare_tensorflow
from schema.device_model import CARD_FILE, DEVICE_FORMATS, DeviceCard

ROOT: Final = REPOSITORY / "build" / "benchmarks" / "devices"
DETECTORS: Final = {
    "ssd_mobilenet_v2": ((300, 300), "bccd-ssd"),
    "ssd_mobilenet_v2_fpnlite": ((320, 320), "bccd-fpnlite"),
    "efficientdet_d0": ((512, 512), None),
}
"""Canvas in pixels, and the row of ``accuracy`` that trains it, by detector."""
_CALIBRATION: Final = 8
"""Images of noise, where weights are random."""
_THREADS: Final = 2
_SAVED_MODEL: Final = "saved_model"

Answer = Callable[[], Any]


def photograph() -> bytes:
    """A JPEG of 640 x 480 pixels with flat parts and noise."""
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 255, (24, 32, 3), np.uint8))
    pixels = np.asarray(coarse.resize((640, 480), Image.Resampling.BICUBIC), np.int16)
    noisy = pixels + generator.integers(-10, 10, pixels.shape)
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()


def speed(rounds: int) -> str:
    """Images/s and boxes of every format beside the SavedModel."""
    lines = [
        "| detector | weights | format | size, MB | whole answer, ms | images/s beside the SavedModel | CPU beside it "
        "| network alone, ms | boxes off by | scores off by |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, (image_size, row) in DETECTORS.items():
        subject = _random(name, image_size) if row is None or not (ROOT / row / "Trainer").is_dir() else _trained(row)
        with tempfile.TemporaryDirectory() as folder:
            lines += _speed_of(subject, pathlib.Path(folder), rounds)
    return "\n".join(lines)


class _Subject(NamedTuple):
    """What is measured: a detector, what its weights have learnt, its classes, and images."""

    detector: Any
    weights: str
    label_map: Any
    encoded: bytes
    calibration: list[Any]


def _random(name: str, image_size: tuple[int, int]) -> _Subject:
    from components.detector.registry import build_detector
    from components.export.device_network import CanvasImage
    from schema.label_map import LabelMap

    noise = np.random.default_rng(1).uniform(0, 255, (_CALIBRATION, *image_size, 3)).astype(np.float32)
    return _Subject(
        build_detector(name, num_classes=10, image_size=image_size),
        "random",
        LabelMap.of_names([f"class {number}" for number in range(10)]),
        photograph(),
        [CanvasImage(pixels, np.ones(2, np.float32)) for pixels in noise],
    )


def _trained(row: str) -> _Subject:
    """What a run of ``accuracy`` has exported, with the first of its judged images."""
    import tensorflow as tf

    from components.export.calibration import calibration_images
    from components.exporter.exported_detector import built_detector, read_export
    from components.exporter.settings import CalibrationSettings
    from components.record_reading import record_files
    from schema.features import IMAGE_ENCODED

    folder = str(_newest(ROOT / row / "Trainer" / "model") / "Format-Serving")
    examples = _newest(ROOT / row / "ObjectDetectionExampleGen" / "examples")
    export = read_export(folder)
    detector = built_detector(folder, export)
    settings = CalibrationSettings()
    records = tf.data.TFRecordDataset(record_files(str(examples / "Split-eval")), compression_type="GZIP")
    example = tf.train.Example.FromString(next(records.as_numpy_iterator()))
    return _Subject(
        detector,
        row,
        export.label_map,
        example.features.feature[IMAGE_ENCODED].bytes_list.value[0],
        calibration_images(
            record_files(str(examples / "Split-train")),
            detector,
            count=settings.calibration_images,
            seed=settings.seed,
        ),
    )


def _newest(folder: pathlib.Path) -> pathlib.Path:
    """Of folders with numbers for names."""
    return max(folder.iterdir(), key=lambda version: int(version.name))


def _speed_of(subject: _Subject, folder: pathlib.Path, rounds: int) -> list[str]:
    import tensorflow as tf

    from components.export.device_model import metadata_of, write_device_model
    from components.export.saved_model import export
    from serving.devices.device_detector import DeviceDetector
    from serving.devices.resizing import to_canvas

    detector, _, label_map, encoded, calibration = subject
    export(str(folder / _SAVED_MODEL), detector, label_map, serving_batch_size=1)
    metadata = metadata_of(detector, label_map)
    pixels = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
    canvas, share = to_canvas(pixels, metadata.resizing)
    predictions = detector.head_predictions(
        detector.features(detector.normalize(tf.constant(canvas[np.newaxis])), training=False), share[np.newaxis]
    )
    expected = [part[0].numpy() for part in detector.scored_boxes(predictions)]

    serving = tf.saved_model.load(str(folder / _SAVED_MODEL)).signatures["serving_default"]
    images = tf.constant([encoded])

    def by_saved_model() -> None:
        for output in serving(image_bytes=images).values():
            output.numpy()

    whole: dict[str, Answer] = {_SAVED_MODEL: by_saved_model}
    network: dict[str, Answer] = {}
    off: dict[str, list[float]] = {}
    for format_name in DEVICE_FORMATS:
        write_device_model(str(folder / format_name), format_name, detector, metadata, calibration)
        opened = DeviceDetector.open(folder / format_name, threads=_THREADS)
        whole[format_name] = functools.partial(opened.detect, [encoded], 0.0)
        network[format_name] = functools.partial(opened.model.run, canvas, share)
        if DEVICE_FORMATS[format_name].is_quantized:
            continue  # what it loses is a question of AP, and of weights that see something
        found = opened.model.run(canvas, share)
        off[format_name] = [float(np.abs(ours - theirs).max()) for ours, theirs in zip(found, expected, strict=True)]
    wall, cpu = _in_turns(whole, rounds)
    alone, _ = _in_turns(network, rounds)
    lines = []
    for format_name in whole:
        ratios = [beside / own for own, beside in zip(wall[format_name], wall[_SAVED_MODEL], strict=True)]
        cpu_ratios = [own / beside for own, beside in zip(cpu[format_name], cpu[_SAVED_MODEL], strict=True)]
        cells = [
            detector.name,
            subject.weights,
            format_name,
            f"{_size(folder / format_name) / 1e6:.1f}",
            f"{1000 * statistics.median(wall[format_name]):.1f}",
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            f"{statistics.median(cpu_ratios):.2f}",
        ]
        cells += [f"{1000 * statistics.median(alone[format_name]):.1f}"] if format_name in alone else [""]
        cells += [f"{value:.0e}" for value in off[format_name]] if format_name in off else ["", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _in_turns(answers: Mapping[str, Answer], rounds: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Wall and CPU seconds of an answer, by round: each answers a few times before the next has its turn."""
    wall: dict[str, list[float]] = {name: [] for name in answers}
    cpu: dict[str, list[float]] = {name: [] for name in answers}
    repeats = 5
    for answer in answers.values():
        answer()
    for _ in range(rounds):
        for name, answer in answers.items():
            answer()  # what another has left in the caches is none of its business
            start, cpu_start = time.perf_counter(), time.process_time()
            for _ in range(repeats):
                answer()
            wall[name].append((time.perf_counter() - start) / repeats)
            cpu[name].append((time.process_time() - cpu_start) / repeats)
    return wall, cpu


def _size(folder: pathlib.Path) -> int:
    # A SavedModel has the weights twice, the second time for the next training.
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and "assets.extra" not in file.parts)


def _trees() -> dict[str, dict[str, Any]]:
    """Configs by the name of the rows."""
    demo = yaml.safe_load((REPOSITORY / "pipeline" / "configs" / "demo.yaml").read_text())
    demo["data"]["path"] = str(ROOT / "scenes")
    demo["model"]["pretrained"] = str(REPOSITORY / demo["model"]["pretrained"])
    small = WEIGHTS.with_name(WEIGHTS.name.replace("_1.0_", "_0.35_"))
    demo_ssd = demo | {
        "model": {
            "detector": "ssd_mobilenet_v2",
            "image_size": [300, 300],
            "pretrained": str(small),
            "options": {"alpha": 0.35},
        }
    }
    cells = {
        "data": {"format": "voc", "path": str(DATA["blood_cells_voc"])},
        "train": {"batch_size": 8, "steps": 250},
    }
    return {
        "demo-fpnlite": demo,
        "demo-ssd": demo_ssd,
        "bccd-fpnlite": cells | {"model": {"detector": "ssd_mobilenet_v2_fpnlite", "pretrained": str(WEIGHTS)}},
        "bccd-ssd": cells | {"model": {"detector": "ssd_mobilenet_v2", "pretrained": str(WEIGHTS)}},
    }


def accuracy(only: Sequence[str]) -> str:
    """AP of every format beside the SavedModel's; ``only``: of these rows of ``_trees``, all when empty."""
    from demo.scenes import write_scenes

    with contextlib.redirect_stdout(sys.stderr):
        write_scenes(ROOT / "scenes", 700, seed=0)
    lines = [
        "| data, detector | format | images | AP | SavedModel's AP | change | size beside `onnx` | ms an image |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, tree in _trees().items():
        if only and name not in only:
            continue
        # Nothing is refused: what a format loses is what is measured.
        anything = {"AP": {"absolute": 1.0}}
        measured_run(
            tree
            | {
                "name": name,
                "root": str(ROOT),
                "eval": {"slices": [], "gates": {"minimum": {"AP": 0.0}}},
                "push": {
                    "formats": [_SAVED_MODEL, *DEVICE_FORMATS],
                    "devices": {"directory": str(ROOT / name / "devices"), "max_drop": anything},
                },
            }
        )
        cards = {card.format: card for card in _cards(ROOT / name / "devices")}
        for format_name in DEVICE_FORMATS:
            card = cards[format_name]
            lines.append(
                f"| {name} | {format_name} | {card.images} | {card.ap:.4f} | {card.saved_model_ap:.4f} "
                f"| {card.ap - card.saved_model_ap:+.4f} | {card.size_bytes / cards['onnx'].size_bytes:.2f} "
                f"| {card.latency_ms:.1f} |"
            )
    return "\n".join(lines)


def _cards(folder: pathlib.Path) -> list[DeviceCard]:
    """Of the newest version of each format."""
    newest = map(_newest, folder.iterdir())
    return [DeviceCard.of_json((version / CARD_FILE).read_text()) for version in newest]


PARTS: Final = ("speed", "accuracy")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.devices", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="PART", help=f"which (default: all): {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=15, help="of the speed (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW", help=f"of the accuracy: {', '.join(_trees())}")
    options = parser.parse_args(argv)
    if missing := set(options.only) - _trees().keys():
        parser.error(f"--only: unknown: {', '.join(sorted(missing))}; there are {', '.join(_trees())}")
    if unknown := set(options.names) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    names = options.names or PARTS
    prepare_tensorflow()
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(_THREADS))
    parts = []
    for name in PARTS:
        if name in names:
            with contextlib.redirect_stdout(sys.stderr):
                parts.append(speed(options.rounds) if name == "speed" else accuracy(options.only))
    print("\n\n".join(parts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
