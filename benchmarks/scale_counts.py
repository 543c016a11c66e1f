"""What of the data goes through groupings, and how evenly: counted by simulation, for docs/scale.md.

``python -m benchmarks.scale_counts [--images 10000000] [--workers 100]``. Nothing is timed, so the table is the same on
every machine: bytes are those of Beam's coders, shards and parts fall as ExampleGen's hashes let them fall.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import apache_beam as beam
import numpy as np

from components.example_gen.annotations import ImageAnnotation, Item, ObjectAnnotation
from components.findings import Finding
from components.validation.duplicates import FileGroup
from components.validation.settings import ValidationSettings

_CODED = 1000
_SEED = 0


def coded_bytes(values: list[object]) -> float:
    """Mean bytes of a value between two stages."""
    coder = beam.coders.registry.get_coder(object)
    return sum(len(coder.encode(value)) for value in values) / len(values)


def make_item(number: int, objects: int) -> Item:
    """An image with its boxes as COCO's reader lists it."""
    boxes = tuple(
        ObjectAnnotation((10.5 * place, 20.25, 300.125, 200.5), "traffic sign", f"annotation id {number}{place}", 7)
        for place in range(objects)
    )
    name = f"images/camera-07/{number:09d}.jpg"
    annotation = ImageAnnotation(boxes, width_pixels=1920, height_pixels=1080)
    return Item(
        key=name, name=name, split="train", root="/mnt/pipelines/data/span-1", order=(0, number),
        metadata={"weather": "fog", "camera": "07"}, file=name, annotation=annotation,
    )  # fmt: skip


def most_loaded(elements: int, places: int, random: np.random.Generator) -> float:
    """How many times the mean the fullest place holds when elements fall by a hash."""
    counts = np.bincount(random.integers(0, places, elements), minlength=places)
    return float(counts.max() / counts.mean())


def rows(images: int, workers: int, objects: int) -> list[tuple[str, str]]:
    """What is counted, and the count."""
    random = np.random.default_rng(_SEED)
    item = coded_bytes([make_item(number, objects) for number in range(_CODED)])
    found = "more than half a pixel over the edge: clipped to the picture"
    findings = [Finding("box_outside", f"{n:09d}.jpg", f"annotation id {n}", "clip", found) for n in range(_CODED)]
    finding = coded_bytes([*findings])
    group = FileGroup(random.bytes(16), random.bytes(32), {"train": 1}, {"train": "images/camera-07/000000001.jpg"})
    pieces = ValidationSettings().max_hash_distance + 1
    copies = coded_bytes([group]) * pieces
    table = [
        (f"bytes of an image with {objects} boxes in ExampleGen's groupings", f"{item:.0f}"),
        (f"of {images} images, a grouping, GB (there are two)", f"{item * images / 1e9:.1f}"),
        ("bytes of a finding", f"{finding:.0f}"),
        (f"search for near duplicates: bytes an image in its grouping ({pieces} pieces)", f"{copies:.0f}"),
        (f"of {images} images, GB", f"{copies * images / 1e9:.0f}"),
    ]
    for shard_images in (256, 1024, 8192):
        shards = -(-images // shard_images)
        largest, busiest = most_loaded(images, shards, random), most_loaded(shards, workers, random)
        table.append((f"`shard_images: {shard_images}`: shards", f"{shards}"))
        table.append(("fullest shard, of the mean", f"{largest:.2f}"))
        table.append((f"most shards on one of {workers} workers, of the mean", f"{busiest:.2f}"))
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point: prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_counts", description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000_000)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--objects", type=int, default=8, help="boxes in an image")
    arguments = parser.parse_args(argv)
    print("| what | |\n|---|---:|")
    for what, count in rows(arguments.images, arguments.workers, arguments.objects):
        print(f"| {what} | {count} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
