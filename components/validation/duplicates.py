"""Copies of images, inside a split and across splits, found in Beam.

Equal files share a content hash. Nearly equal pictures have difference hashes within d = ``max_hash_distance`` bits:
cut a hash into d + 1 pieces and at least one piece must be equal (pigeonhole; the idea of multi-index hashing, Norouzi,
Punjani & Fleet, "Fast search in Hamming space with multi-index hashing", CVPR 2012, section 3.1, with search radius 0
in each piece). So only images that share a piece are compared, and nobody compares all pairs.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterable, Iterator
from typing import Final

import apache_beam as beam
import numpy as np

from components.split_names import SPLIT_ORDER
from components.validation.image_facts import ImageFacts
from components.validation.perceptual_hash import HASH_BITS, hamming_distances

LARGEST_BLOCK: Final = 2048
"""Images of a bucket that are compared at once; of a larger bucket each block is compared with itself and the next."""

DUPLICATES: Final = "duplicates"
LEAKAGE: Final = "leakage"


@dataclasses.dataclass(frozen=True, slots=True)
class FileGroup:
    """All records whose images are the same file.

    Attributes:
      content_hash: of the file.
      picture_hash: of the picture, None where it is not compared.
      counts: records by split.
      files: the alphabetically first file name by split.
    """

    content_hash: bytes
    picture_hash: bytes | None
    counts: dict[str, int]
    files: dict[str, str]


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Copy:
    """One record that has a copy elsewhere, or several of one file.

    Attributes:
      check: ``duplicates`` (the other is in the same split) or ``leakage`` (in another split).
      split: the split that it spoils.
      distance_bits: 0 for equal files; how many bits of the difference hashes differ.
      file: its file name.
      other: its copy: ``file``, or ``split/file`` when that is another split.
      count: records that this stands for.
      content_hash: identifies the file.
    """

    check: str
    split: str
    distance_bits: int
    file: str
    other: str
    count: int
    content_hash: bytes


class _GroupFilesFn(beam.CombineFn):
    """``ImageFacts`` with one content hash -> ``FileGroup``."""

    def create_accumulator(self) -> FileGroup | None:
        return None

    def add_input(self, group: FileGroup | None, image: ImageFacts) -> FileGroup:
        return _merged(
            group, FileGroup(image.content_hash, image.picture_hash, {image.split: 1}, {image.split: image.file})
        )

    def merge_accumulators(self, groups: Iterable[FileGroup | None]) -> FileGroup | None:
        merged: FileGroup | None = None
        for group in groups:
            if group is not None:
                merged = _merged(merged, group)
        return merged

    def extract_output(self, group: FileGroup | None) -> FileGroup | None:
        return group


def _merged(group: FileGroup | None, other: FileGroup) -> FileGroup:
    if group is None:
        return other
    counts = {
        split: group.counts.get(split, 0) + other.counts.get(split, 0) for split in {**group.counts, **other.counts}
    }
    files = {
        split: min(name for name in (group.files.get(split), other.files.get(split)) if name is not None)
        for split in counts
    }
    return FileGroup(group.content_hash, group.picture_hash or other.picture_hash, counts, files)


def _order(split: str) -> tuple[int, str]:
    """Where a copy across splits is blamed: on eval rather than train, on the target rather than the source."""
    known = SPLIT_ORDER.index(split) if split in SPLIT_ORDER else len(SPLIT_ORDER)
    return known, split


def exact_copies(group: FileGroup) -> Iterator[Copy]:
    """Copies inside one group of equal files."""
    splits = sorted(group.counts, key=_order)
    for split in splits:
        if group.counts[split] > 1:
            file = group.files[split]
            yield Copy(DUPLICATES, split, 0, file, file, group.counts[split] - 1, group.content_hash)
    for split in splits[1:]:
        other = f"{splits[0]}/{group.files[splits[0]]}"
        yield Copy(LEAKAGE, split, 0, group.files[split], other, group.counts[split], group.content_hash)


def near_copies(one: FileGroup, two: FileGroup, distance_bits: int) -> Iterator[Copy]:
    """Copies between two groups whose pictures are nearly the same."""
    first, second = sorted((one, two), key=lambda group: sorted(group.files.items()))
    for split in sorted(set(first.counts) & set(second.counts)):
        yield Copy(DUPLICATES, split, distance_bits, second.files[split], first.files[split], 1, second.content_hash)
    for this, that in ((first, second), (second, first)):
        for split in this.counts:
            earlier = [other for other in that.counts if _order(other) < _order(split)]
            if earlier:
                other = min(earlier, key=_order)
                yield Copy(
                    LEAKAGE,
                    split,
                    distance_bits,
                    this.files[split],
                    f"{other}/{that.files[other]}",
                    this.counts[split],
                    this.content_hash,
                )


def _pieces(picture_hash: bytes, pieces: int) -> list[bytes]:
    """The hash in pieces of bits that lie far apart: neighbouring bits (sky, road) are equal in many images."""
    bits = np.unpackbits(np.frombuffer(picture_hash, np.uint8))  # [256]
    return [np.packbits(bits[piece::pieces]).tobytes() for piece in range(pieces)]


def _keyed_by_pieces(group: FileGroup, pieces: int) -> Iterator[tuple[tuple[int, bytes], FileGroup]]:
    if group.picture_hash is not None:
        for index, piece in enumerate(_pieces(group.picture_hash, pieces)):
            yield (index, piece), group


def _compare_bucket(
    keyed: tuple[tuple[int, bytes], Iterable[FileGroup]], max_distance_bits: int
) -> Iterator[tuple[FileGroup, FileGroup, int]]:
    """Pairs of one bucket within the distance; a pair that shares several pieces is yielded for the first only."""
    (index, _), members = keyed
    groups = sorted(members, key=lambda group: (group.picture_hash or b"", group.content_hash))
    blocks = [groups[start : start + LARGEST_BLOCK] for start in range(0, len(groups), LARGEST_BLOCK)]
    for number, block in enumerate(blocks):
        others = block + (blocks[number + 1] if number + 1 < len(blocks) else [])
        distances = hamming_distances(_matrix(block), _matrix(others))  # [N, M]
        for row, column in np.argwhere(distances <= max_distance_bits).tolist():
            one, two = block[row], others[column]
            if column > row and not _share_earlier_piece(one, two, index, max_distance_bits + 1):
                yield one, two, int(distances[row, column])


def _matrix(groups: list[FileGroup]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.frombuffer(b"".join(group.picture_hash or b"" for group in groups), np.uint8).reshape(-1, HASH_BITS // 8)


def _share_earlier_piece(one: FileGroup, two: FileGroup, index: int, pieces: int) -> bool:
    mine, yours = _pieces(one.picture_hash or b"", pieces), _pieces(two.picture_hash or b"", pieces)
    return any(mine[earlier] == yours[earlier] for earlier in range(index))


@dataclasses.dataclass
class CopyTally:
    """Copies of one check in one split.

    Attributes:
      records: how many records are copies.
      near: how many of them only look the same.
      files: some of them, the most alike first: differing bits and ``file = other``.
    """

    records: int = 0
    near: int = 0
    files: list[tuple[int, str]] = dataclasses.field(default_factory=list)


class _TallyCopiesFn(beam.CombineFn):
    """``Copy``, one a record -> ``CopyTally``."""

    def __init__(self, listed_files: int) -> None:
        self._listed_files = listed_files

    def create_accumulator(self) -> CopyTally:
        return CopyTally()

    def add_input(self, tally: CopyTally, copy: Copy) -> CopyTally:
        tally.records += copy.count
        tally.near += copy.count if copy.distance_bits else 0
        named = (copy.distance_bits, f"{copy.file} = {copy.other}")
        tally.files = heapq.nsmallest(self._listed_files, [*tally.files, named])
        return tally

    def merge_accumulators(self, tallies: Iterable[CopyTally]) -> CopyTally:
        merged = CopyTally()
        for tally in tallies:
            merged.records += tally.records
            merged.near += tally.near
            merged.files = heapq.nsmallest(self._listed_files, [*merged.files, *tally.files])
        return merged

    def extract_output(self, tally: CopyTally) -> CopyTally:
        return tally


class TallyCopies(beam.PTransform):
    """``ImageFacts`` -> ``((check, split), CopyTally)``."""

    def __init__(self, *, near: bool, max_distance_bits: int, listed_files: int) -> None:
        super().__init__()
        self._near = near
        self._max_distance_bits = max_distance_bits
        self._listed_files = listed_files

    def expand(self, images: beam.PCollection) -> beam.PCollection:
        groups = (
            images
            | "KeyByContent" >> beam.Map(lambda image: (image.content_hash, image))
            | "GroupEqualFiles" >> beam.CombinePerKey(_GroupFilesFn())
            | "Groups" >> beam.Values()
        )
        copies = [groups | "ExactCopies" >> beam.FlatMap(exact_copies)]
        if self._near:
            copies.append(
                groups
                | "KeyByPieces" >> beam.FlatMap(_keyed_by_pieces, pieces=self._max_distance_bits + 1)
                | "Bucket" >> beam.GroupByKey()
                | "CompareBucket" >> beam.FlatMap(_compare_bucket, max_distance_bits=self._max_distance_bits)
                | "NearCopies" >> beam.FlatMapTuple(near_copies)
            )
        return (
            copies
            | beam.Flatten()
            # A record with many copies counts once: as that of its most similar one.
            | "KeyByRecord" >> beam.Map(lambda copy: ((copy.check, copy.split, copy.content_hash), copy))
            | "MostSimilar" >> beam.CombinePerKey(min)
            | "Copies" >> beam.Values()
            | "KeyByCheck" >> beam.Map(lambda copy: ((copy.check, copy.split), copy))
            | "Tally" >> beam.CombinePerKey(_TallyCopiesFn(self._listed_files))
        )
