"""A shard is whole, whoever else writes it."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence

import tensorflow as tf

from components.example_gen.annotations import ImageAnnotation, Item, LoadedImage
from components.example_gen.settings import DataSettings
from components.example_gen.shards import ShardWriter

PATH = "Split-train/data_tfrecord-00000-of-00001.gz"


class _Reader:
    """Stands for a format; in the middle of the first shard the same one is written by another attempt."""

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded
        self.writer: ShardWriter | None = None

    def load(self, items: Sequence[Item]) -> Iterator[LoadedImage]:
        for number, item in enumerate(items):
            if number == len(items) // 2 and self.writer is not None:
                writer, self.writer = self.writer, None
                writer.write(PATH, items, {})
            yield LoadedImage(item, item.file, self._encoded, ImageAnnotation(()))


def test_two_attempts_at_a_shard_do_not_meet(tmp_path: pathlib.Path, image_bytes) -> None:
    items = [
        Item(key=f"{n}.jpg", name=f"{n}.jpg", split="train", root="", order=(0, n), metadata={}, file=f"{n}.jpg")
        for n in range(40)
    ]
    settings = DataSettings.model_validate({"format": "coco", "path": str(tmp_path)})
    (tmp_path / "Split-train").mkdir()
    reader = _Reader(image_bytes())
    reader.writer = writer = ShardWriter(settings, reader, None, str(tmp_path))
    shard = writer.write(PATH, items, {})
    assert reader.writer is None
    assert shard.profile.images == 40
    written = tf.data.TFRecordDataset(str(tmp_path / PATH), "GZIP").as_numpy_iterator()
    assert len(list(written)) == 40
    writer.remove_unfinished(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["Split-train"]
