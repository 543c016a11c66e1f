from __future__ import annotations

import apache_beam as beam
import numpy as np
from apache_beam.testing.util import assert_that, equal_to

from components.validation import duplicates
from components.validation.duplicates import DUPLICATES, LEAKAGE, CopyTally, FileGroup, TallyCopies
from components.validation.image_facts import ImageFacts


def _image(split: str, file: str, content: int, picture: bytes | None) -> ImageFacts:
    no_boxes = np.zeros((0, 4), np.float32)
    return ImageFacts(split, file, 10, 10, no_boxes, content.to_bytes(16, "big"), picture)


def _flipped(picture: bytes, bits: list[int]) -> bytes:
    unpacked = np.unpackbits(np.frombuffer(picture, np.uint8))
    unpacked[bits] ^= 1
    return np.packbits(unpacked).tobytes()


def _check_tallies(
    images: list[ImageFacts], expected: list[tuple[tuple[str, str], CopyTally]], near: bool = True
) -> None:
    with beam.Pipeline(runner="DirectRunner") as pipeline:
        counted = pipeline | beam.Create(images) | TallyCopies(near=near, max_distance_bits=16, listed_files=5)
        assert_that(counted, equal_to(expected))


def test_equal_files_and_near_pictures_are_counted_once_a_record_and_blamed_on_the_later_split() -> None:
    rng = np.random.default_rng(0)
    one, two, three = (rng.bytes(32) for _ in range(3))
    _check_tallies(
        [
            _image("train", "a.jpg", 1, one),
            _image("train", "b.jpg", 1, one),
            _image("eval", "c.jpg", 1, one),
            _image("train", "d.jpg", 2, two),
            _image("eval", "e.jpg", 3, _flipped(two, [0, 7, 100, 255])),
            _image("train", "f.jpg", 4, _flipped(two, list(range(10)))),
            _image("eval", "g.jpg", 5, three),
            _image("eval", "h.jpg", 6, None),
            _image("train", "i.jpg", 7, None),
        ],
        [
            ((DUPLICATES, "train"), CopyTally(2, 1, [(0, "a.jpg = a.jpg"), (10, "f.jpg = d.jpg")])),
            ((LEAKAGE, "eval"), CopyTally(2, 1, [(0, "c.jpg = train/a.jpg"), (4, "e.jpg = train/d.jpg")])),
        ],
    )


def test_only_files_are_compared_when_pictures_are_not_asked_for() -> None:
    picture = bytes(range(32))
    _check_tallies([_image("train", "a", 1, picture), _image("eval", "b", 2, picture)], [], near=False)


def test_buckets_find_every_pair_within_the_distance_once() -> None:
    rng = np.random.default_rng(1)
    groups = [FileGroup(bytes([number]), rng.bytes(32), {"train": 1}, {"train": str(number)}) for number in range(30)]
    near = [
        FileGroup(
            bytes([100 + number]),
            _flipped(groups[number].picture_hash or b"", rng.choice(256, size=number, replace=False).tolist()),
            {"eval": 1},
            {"eval": str(number)},
        )
        for number in range(30)
    ]
    buckets: dict[tuple[int, bytes], list[FileGroup]] = {}
    for group in groups + near:
        for key, member in duplicates._keyed_by_pieces(group, 17):
            buckets.setdefault(key, []).append(member)
    pairs = [pair for bucket in buckets.items() for pair in duplicates._compare_bucket(bucket, 16)]
    assert sorted(distance for _, _, distance in pairs) == list(range(17))
