"""Input pipeline images/s against a bare ``tf.io.decode_jpeg`` of the same files.

    python -m benchmarks.input_pipeline [--images DIR] [--size 320] [--batch 16]

Both read the same gzipped TFRecord files and decode in parallel with ``tf.data.AUTOTUNE``; the bare one only decodes,
the pipeline also parses boxes, augments, crops, resizes and batches, the training step's colour change included in the
line "with colour". Without ``--images``, JPEGs with the statistics of photographs are generated in three sizes.
"""

from __future__ import annotations

import argparse
import io
import pathlib
import tempfile
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.trainer.augmentation_settings import AugmentationSettings
from components.trainer.input.augmentation.colour import apply_colour_maps
from components.trainer.input.input_pipeline import training_batches
from components.trainer.input.record_parser import parse_clean_records
from components.trainer.settings import InputSettings, TrainSettings
from schema import features

OBJECTS = 8
_KINDS = ("quarter_turn", "blur", "noise", "jpeg", "erase", "copy_paste", "mosaic", "mixup")
"""Augmentations that are off by default."""


def generated_jpegs(count: int, height: int, width: int, seed: int = 0) -> Iterator[bytes]:
    """Pictures whose spectrum falls like that of photographs, as JPEG of quality 90."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        pixels = np.zeros((height, width, 3))
        for octave in range(1, 7):
            cells = 2**octave
            noise = random.uniform(0, 255, (cells, cells, 3)).astype(np.uint8)
            pixels += np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)) / octave
        pixels += random.normal(0, 4, pixels.shape)
        buffer = io.BytesIO()
        image = Image.fromarray((pixels / pixels.max() * 255).clip(0, 255).astype(np.uint8))
        image.save(buffer, "JPEG", quality=90)
        yield buffer.getvalue()


def record(encoded: bytes, number: int, random: np.random.Generator) -> bytes:
    """A record with ``OBJECTS`` random boxes."""
    corners = np.sort(random.uniform(0, 1, (OBJECTS, 2, 2)), axis=1).reshape(OBJECTS, 4)  # ymin, xmin, ymax, xmax
    width, height = Image.open(io.BytesIO(encoded)).size
    floats = {key: corners[:, i] for i, key in enumerate(features.BOX_KEYS_YXYX)}
    integers = {
        features.IMAGE_HEIGHT: [height],
        features.IMAGE_WIDTH: [width],
        features.OBJECT_CLASS_LABEL: random.integers(1, 4, OBJECTS),
        features.OBJECT_IS_CROWD: [0] * OBJECTS,
        features.OBJECT_DIFFICULT: [0] * OBJECTS,
    }
    example = tf.train.Example()
    for key, values in floats.items():
        example.features.feature[key].float_list.value.extend(values)
    for key, numbers in integers.items():
        example.features.feature[key].int64_list.value.extend(numbers)
    example.features.feature[features.IMAGE_ENCODED].bytes_list.value.append(encoded)
    example.features.feature[features.IMAGE_SOURCE_ID].bytes_list.value.append(str(number).encode())
    return bytes(example.SerializeToString())


class Rate(NamedTuple):
    """Speed by the clock, and by the processor's time, which other programs on the machine do not change."""

    images_per_second: float
    images_per_core_second: float


def measured(dataset: tf.data.Dataset, images_an_element: int, seconds: float) -> Rate:
    """Iterates for about ``seconds``, after a warm-up of a quarter of it."""
    iterator = iter(dataset)
    start = time.perf_counter()
    while time.perf_counter() - start < seconds / 4:
        next(iterator)
    done, start, start_processor = 0, time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - start) < seconds:
        next(iterator)
        done += images_an_element
    return Rate(done / elapsed, done / (time.process_time() - start_processor))


def measured_rows(name: str, jpegs: Iterable[bytes], detector: Detector, batch_size: int, seconds: float) -> list[str]:
    """Writes the pictures as records and measures; rows of the table."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "train-00000.gz"
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for number, encoded in enumerate(jpegs):
                writer.write(record(encoded, number, random))
        only_image = {features.IMAGE_ENCODED: tf.io.FixedLenFeature([], tf.string)}
        bare = (
            tf.data.TFRecordDataset(str(path), compression_type="GZIP")
            .repeat()
            .map(
                lambda r: tf.io.decode_jpeg(
                    tf.io.parse_single_example(r, only_image)[features.IMAGE_ENCODED], channels=3
                ),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            .prefetch(batch_size)
        )

        def pipeline(augmentation: AugmentationSettings | None) -> tf.data.Dataset:
            settings = TrainSettings(batch_size=batch_size, augmentation=augmentation, input=InputSettings())
            return training_batches([str(path)], parse_clean_records, detector, settings)

        with_colour = pipeline(AugmentationSettings()).map(
            lambda batch: apply_colour_maps(tf.cast(batch.images, tf.float32), batch.colour_maps)
        )
        candidates = {
            "pipeline": (pipeline(AugmentationSettings()), batch_size),
            "without augmentation": (pipeline(None), batch_size),
            "with colour": (with_colour, batch_size),
            **{
                f"and {kind} of every image": (pipeline(AugmentationSettings.model_validate({kind: 1.0})), batch_size)
                for kind in _KINDS
            },
        }
        rows = []
        for label, (dataset, images) in candidates.items():
            # The bare run beside each, so that a busy machine slows both.
            reference, rate = measured(bare, 1, seconds), measured(dataset, images, seconds)
            cells = [name, label, f"{reference.images_per_second:.0f}", f"{rate.images_per_second:.0f}"]
            cells += [f"{mine / other:.2f}" for mine, other in zip(rate, reference, strict=True)]
            rows.append(f"| {' | '.join(cells)} |")
        return rows


def main() -> None:
    arguments = argparse.ArgumentParser(description="input pipeline against bare tf.io.decode_jpeg")
    arguments.add_argument("--images", type=pathlib.Path, help="folder of JPEG files")
    arguments.add_argument("--size", type=int, default=320, help="canvas in pixels")
    arguments.add_argument("--batch", type=int, default=16)
    arguments.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    options = arguments.parse_args()
    detector = build_detector("ssd_mobilenet_v2_fpnlite", num_classes=3, image_size=(options.size, options.size))
    sources: dict[str, Iterable[bytes]]
    if options.images:
        files = sorted(path for path in options.images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        sources = {options.images.name: (path.read_bytes() for path in files)}
    else:
        sizes = ((320, 320), (480, 640), (960, 1280))
        sources = {f"generated {h} x {w}": generated_jpegs(64, h, w) for h, w in sizes}
    print(f"To {options.size} x {options.size} pixels, batches of {options.batch}:\n")
    print("| images | what | bare decode_jpeg, images/s | images/s | ratio | ratio by core time |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name, jpegs in sources.items():
        for row in measured_rows(name, jpegs, detector, options.batch, options.seconds):
            print(row, flush=True)


if __name__ == "__main__":
    main()
