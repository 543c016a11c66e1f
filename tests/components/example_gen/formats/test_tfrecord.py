from __future__ import annotations

import pathlib

import pytest
import tensorflow as tf

from components.example_gen.annotations import DataError
from components.example_gen.formats.tfrecord import TFRecord
from components.example_gen.settings import DataSettings
from components.example_gen.verdict import BadInputError


def example(encoded: bytes, source_id: str, boxes: int = 1, text: bool = True, **extra) -> tf.train.Example:
    made = tf.train.Example()
    values = made.features.feature
    values["image/encoded"].bytes_list.value.append(encoded)
    if source_id:
        values["image/source_id"].bytes_list.value.append(source_id.encode())
    for key, fraction in (("xmin", 0.1), ("ymin", 0.2), ("xmax", 0.5), ("ymax", 0.6)):
        values[f"image/object/bbox/{key}"].float_list.value.extend([fraction] * boxes)
    values["image/object/class/label"].int64_list.value.extend([2] * boxes)
    if text:
        values["image/object/class/text"].bytes_list.value.extend([b"dog"] * boxes)
    values["image/key/sha256"].bytes_list.value.append(b"dropped")
    for key, value in extra.items():
        values[f"image/meta/{key}"].bytes_list.value.append(value)
    return made


def write(path: pathlib.Path, records: list[bytes], compression: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)


def test_files_people_already_have(run, tmp_path, image_bytes) -> None:
    train = [example(image_bytes(seed=i), f"id{i}", weather=b"fog").SerializeToString() for i in range(4)]
    write(tmp_path / "train.record-00000-of-00002", train[:2])
    write(tmp_path / "train.record-00001-of-00002", [*train[2:], train[0]], "GZIP")
    bad = example(image_bytes(), "bad", boxes=2)
    bad.features.feature["image/object/bbox/xmin"].float_list.value.pop()
    nameless = example(image_bytes(seed=7), "", boxes=0).SerializeToString()
    cut = example(image_bytes()[:-9], "cut").SerializeToString()
    write(tmp_path / "val.tfrecord", [b"\xff no example", bad.SerializeToString(), nameless, cut])
    result = run(format="tfrecord", path=str(tmp_path))
    assert result.source_ids("train") == {"id0", "id1", "id2", "id3"}
    assert result.source_ids("eval") == {"val.tfrecord#2"}
    assert result.summary.findings == {"malformed_annotation": 2, "duplicate_image": 1, "truncated_image": 1}
    assert (result.summary.listed_images, result.summary.skipped_images) == (9, 4)
    values = result.record("id3").features.feature
    assert values["image/object/class/text"].bytes_list.value[:] == [b"dog"]
    assert values["image/object/bbox/ymax"].float_list.value[:] == pytest.approx([0.6])
    assert values["image/object/area"].float_list.value[:] == pytest.approx([0.16 * 1200])
    assert values["image/meta/weather"].bytes_list.value[:] == [b"fog"]
    assert (values["image/width"].int64_list.value[0], values["image/format"].bytes_list.value[0]) == (40, b"jpeg")
    assert "image/key/sha256" not in values


def test_class_numbers_need_a_label_map(run, tmp_path, image_bytes) -> None:
    for split in ("train", "val"):
        records = [example(image_bytes(seed=i), f"{split}{i}", text=False).SerializeToString() for i in range(2)]
        write(tmp_path / split / "part-00000-of-00001", records)
    without = run(format="tfrecord", path=str(tmp_path))
    assert without.summary.findings == {"unknown_class": 4}
    label_map = tmp_path / "map.pbtxt"
    label_map.write_text("item { id: 2 name: 'bird' }")
    result = run(format="tfrecord", path=str(tmp_path), label_map=str(label_map))
    assert not result.findings
    values = result.records["train"][0].features.feature
    assert values["image/object/class/text"].bytes_list.value[:] == [b"bird"]
    assert values["image/object/class/label"].int64_list.value[:] == [2]


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_a_file_that_breaks_off_fails_the_run_unless_what_it_has_is_enough(
    run, tmp_path, image_bytes, compression: str
) -> None:
    for split in ("train", "val"):
        records = [example(image_bytes(seed=i), f"{split}{i}").SerializeToString() for i in range(9)]
        write(tmp_path / f"{split}.tfrecord", records, compression)
    path = tmp_path / "train.tfrecord"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(BadInputError, match=r"`fail`: 1 damaged_record_file.*\(damaged_record_file: keep\)"):
        run(format="tfrecord", path=str(tmp_path))
    result = run(format="tfrecord", path=str(tmp_path), bad_input={"damaged_record_file": "keep"})
    (finding,) = result.findings
    kept = len(result.records["train"])
    assert 0 < kept < 9
    assert (finding.file, finding.where) == ("train.tfrecord", f"record {kept}")
    assert (result.summary.listed_images, result.summary.skipped_images) == (kept + 9, 0)


def test_patterns(tmp_path) -> None:
    for name in ("a-1.bin", "a-2.bin", "b.bin"):
        (tmp_path / name).write_bytes(b"")
    settings = DataSettings(format="tfrecord", path=str(tmp_path), annotations={"train": "a-*.bin", "eval": "b.bin"})
    sources = TFRecord(settings).sources(str(tmp_path))
    assert [(source.path, source.split) for source in sources] == [
        ("a-1.bin", "train"),
        ("a-2.bin", "train"),
        ("b.bin", "eval"),
    ]
    with pytest.raises(DataError, match=r"data.annotations: no file matches c\*"):
        TFRecord(settings.model_copy(update={"annotations": "c*"})).sources(str(tmp_path))


def read(folder, *records: tf.train.Example, **settings) -> tuple[list, list]:
    """Keys of the items, and what was loaded."""
    write(folder / "train.record", [record.SerializeToString() for record in records])
    reader = TFRecord(DataSettings(format="tfrecord", path=str(folder), **settings))
    items = list(reader.items(*reader.sources(str(folder))))
    return [item.key for item in items], list(reader.load(items))


def test_one_id_in_all_records_is_no_id(tmp_path) -> None:
    records = [example(b"x", "0") for _ in range(4)]
    for record, name in zip(records, ("a.jpg", "b.jpg", "b.jpg", ""), strict=True):
        if name:
            record.features.feature["image/filename"].bytes_list.value.append(name.encode())
    assert read(tmp_path, *records)[0] == ["0", "b.jpg", "b.jpg", "0"]


def test_numbers_in_lists_of_another_type(tmp_path) -> None:
    record = example(b"x", "0", text=False)
    values = record.features.feature
    values["image/object/class/label"].float_list.value.append(2)
    for key, number in (("xmin", 1), ("xmax", 30)):
        values[f"image/object/bbox/{key}"].int64_list.value.append(number)
    (tmp_path / "map.pbtxt").write_text("item { id: 2 name: 'bird' }")
    _, (loaded,) = read(tmp_path, record, label_map=str(tmp_path / "map.pbtxt"))
    (entry,) = loaded.annotation.objects
    assert (entry.class_name, entry.box_xyxy) == ("bird", pytest.approx((1, 0.2, 30, 0.6)))
    assert [(finding.kind, finding.where) for finding in loaded.annotation.findings] == [
        ("coerced_value", "image/object/class/label")
    ]


def test_what_a_record_lacks_is_named(tmp_path) -> None:
    no_class, no_image, half = (example(b"x", str(i), text=False) for i in range(3))
    del no_class.features.feature["image/object/class/label"]
    del no_image.features.feature["image/encoded"]
    half.features.feature["image/object/class/label"].float_list.value.append(1.5)
    unnamed = example(b"x", "3", text=False)
    _, (first, second, third, loaded) = read(tmp_path, no_class, no_image, half, unnamed)
    assert first.found == "1 boxes, but neither image/object/class/text nor image/object/class/label"
    assert second.found.startswith("no bytes in image/encoded; the record has image/key/sha256, image/object/bbox/xmax")
    assert third.found == "1.5 is no whole number"
    (entry,) = loaded.annotation.objects
    assert entry.class_found == "label 2, which only a label map could name; set data.label_map"
