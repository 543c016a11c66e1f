"""Records and a small detector for the trainer's tests."""

from __future__ import annotations

import io
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import schema as schema_package
from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.trainer.input.input_pipeline import Parser
from components.trainer.input.record_parser import parse_clean_records
from schema import features

WriteRecords = Callable[..., str]
MakeRecord = Callable[..., bytes]
MakeSquare = Callable[..., tuple[bytes, list[float], int]]


@pytest.fixture(scope="session")
def make_detector() -> Callable[[], Detector]:
    """Builds the smallest real detector: 64 x 64 pixels, two classes."""
    return _small_detector


@pytest.fixture(scope="session")
def detector() -> Detector:
    """One of those, for tests that do not train it."""
    return _small_detector()


def _small_detector() -> Detector:
    return build_detector(
        "ssd_mobilenet_v2_fpnlite",
        num_classes=2,
        image_size=(64, 64),
        alpha=0.35,
        fpn_depth=16,
        num_head_layers=1,
        batch_norm_momentum=0.9,
    )


@pytest.fixture(scope="session")
def parse() -> Parser:
    return parse_clean_records


@pytest.fixture(scope="session")
def make_square() -> MakeSquare:
    return _square_image


@pytest.fixture(scope="session")
def make_record() -> MakeRecord:
    return _record


def _square_image(number: int, size: int = 96) -> tuple[bytes, list[float], int]:
    """A JPEG with one bright square on noise: class 0 is red, class 1 is green. Returns its box, too (yxyx)."""
    random = np.random.default_rng(number)
    pixels = random.integers(60, 100, (size, size, 3), dtype=np.uint8)
    side = int(random.integers(size // 3, size // 2))
    y, x = random.integers(0, size - side, 2)
    class_index = number % 2
    pixels[y : y + side, x : x + side] = (230, 30, 30) if class_index == 0 else (30, 230, 30)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=92)
    return buffer.getvalue(), [float(v) / size for v in (y, x, y + side, x + side)], class_index


def _record(
    encoded: bytes,
    source_id: str,
    boxes_yxyx: Sequence[Sequence[float]],
    classes: Sequence[int],
    crowd: Sequence[int] | None = None,
    height_width: tuple[int, int] = (96, 96),
) -> bytes:
    example = tf.train.Example()
    feature = example.features.feature
    feature[features.IMAGE_ENCODED].bytes_list.value.append(encoded)
    feature[features.IMAGE_FORMAT].bytes_list.value.append(b"jpeg")
    feature[features.IMAGE_FILENAME].bytes_list.value.append(os.fsencode(f"{source_id}.jpg"))
    feature[features.IMAGE_SOURCE_ID].bytes_list.value.append(os.fsencode(source_id))
    feature[features.IMAGE_HEIGHT].int64_list.value.append(height_width[0])
    feature[features.IMAGE_WIDTH].int64_list.value.append(height_width[1])
    for position, key in enumerate(features.BOX_KEYS_YXYX):
        feature[key].float_list.value.extend([box[position] for box in boxes_yxyx])
    feature[features.OBJECT_CLASS_LABEL].int64_list.value.extend([index + 1 for index in classes])
    feature[features.OBJECT_CLASS_TEXT].bytes_list.value.extend([b"red" if i == 0 else b"green" for i in classes])
    feature[features.OBJECT_IS_CROWD].int64_list.value.extend(crowd or [0] * len(classes))
    feature[features.OBJECT_DIFFICULT].int64_list.value.extend([0] * len(classes))
    return bytes(example.SerializeToString())


def _write_shards(folder: pathlib.Path, records: Sequence[bytes], shards: int) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        with tf.io.TFRecordWriter(str(folder / f"data-{shard:05d}-of-{shards:05d}.gz"), "GZIP") as writer:
            for serialized in records[shard::shards]:
                writer.write(serialized)
    return str(folder / "*")


def _square_records(split: str, count: int) -> list[bytes]:
    records = []
    for number in range(count):
        encoded, box, class_index = _square_image(number)
        records.append(_record(encoded, f"{split}-{number}", [box], [class_index]))
    return records


@pytest.fixture
def write_records(tmp_path: pathlib.Path) -> WriteRecords:
    """Writes records to gzipped shards, returns the pattern that matches them."""

    def write(split: str, records: Sequence[bytes], shards: int = 1) -> str:
        return _write_shards(tmp_path / split, records, shards)

    return write


@pytest.fixture
def squares(write_records: WriteRecords) -> Callable[[str, int], str]:
    """Writes a split of images with one square each, returns its pattern."""

    def write(split: str, count: int) -> str:
        return write_records(split, _square_records(split, count), shards=2)

    return write


@pytest.fixture(scope="session")
def transform_output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The transform graph of the ``train`` split of 12 squares, made by TFX's own processor, to be read only."""
    import apache_beam as beam
    from tfx.components.transform import executor, labels
    from tfx.proto import example_gen_pb2

    from components.transform.preprocessing import preprocessing_fn

    folder = tmp_path_factory.mktemp("transform")
    train = _write_shards(folder / "train", _square_records("train", 12), shards=2)
    executor.TransformProcessor().Transform(
        {
            labels.DISABLE_STATISTICS_LABEL: True,
            labels.SCHEMA_PATH_LABEL: str(pathlib.Path(schema_package.__file__).with_name("schema.pbtxt")),
            labels.EXAMPLES_DATA_FORMAT_LABEL: example_gen_pb2.FORMAT_TF_EXAMPLE,
            labels.ANALYZE_DATA_PATHS_LABEL: [train],
            labels.ANALYZE_PATHS_FILE_FORMATS_LABEL: [labels.FORMAT_TFRECORD],
            labels.TRANSFORM_DATA_PATHS_LABEL: [],
            labels.TRANSFORM_PATHS_FILE_FORMATS_LABEL: [],
            labels.PREPROCESSING_FN: preprocessing_fn,
            labels.MAKE_BEAM_PIPELINE_FN: lambda: beam.Pipeline(),
            labels.FORCE_TF_COMPAT_V1_LABEL: False,
        },
        {
            labels.TRANSFORM_METADATA_OUTPUT_PATH_LABEL: str(folder / "transform"),
            labels.TEMP_OUTPUT_LABEL: str(folder / "temporary"),
        },
    )
    return str(folder / "transform")
