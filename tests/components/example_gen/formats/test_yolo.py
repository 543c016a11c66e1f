from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.example_gen.annotations import DataError
from components.example_gen.formats.yolo import Yolo, parse_line
from components.example_gen.settings import DataSettings

NAMES = {0: "car", 1: "bus"}


@pytest.mark.parametrize(
    ("folder", "images", "boxes"),
    [
        ("ro_trafficsigns_yolo", {"train": 197, "eval": 54, "test": 30}, 491),
        ("vehicles/source_openimages", {"train": 439, "eval": 125, "test": 63}, 1194),
        ("vehicles/target_trafficcam", {"train": 235, "eval": 31, "test": 18}, 4755),
    ],
)
def test_real_data(run, shared_data, folder: str, images: dict[str, int], boxes: int) -> None:
    result = run(format="yolo", path=str(shared_data / folder), max_skipped_images=0, max_dropped_boxes=0)
    assert result.summary.images == images
    assert sum(result.summary.boxes.values()) == boxes
    assert not result.findings


def test_what_is_bad_and_what_is_background(run, tmp_path, image_bytes) -> None:
    for split in ("train", "val"):
        (tmp_path / "images" / split).mkdir(parents=True)
        (tmp_path / "labels" / split).mkdir(parents=True)
        for i in range(3):
            (tmp_path / "images" / split / f"{i}.PNG").write_bytes(image_bytes(image_format="PNG", seed=i))
    (tmp_path / "data.yaml").write_text("path: .\ntrain: images/train\nval: images/val\nnames: {0: car, 1: bus}\n")
    lines = "1 0.5 0.5 0.5 0.5\n7 0.5 0.5 0.1 0.1\n0 0.5 0.5 nan 0.1\n0 0.5 0.5\n\n0 0.95 0.5 0.2 0.2 0.9\n"
    (tmp_path / "labels" / "train" / "0.txt").write_text(lines)
    (tmp_path / "labels" / "train" / "1.txt").write_text("")
    (tmp_path / "labels" / "val" / "0.txt").write_text("0 0.1 0.1 0.9 0.1 0.9 0.8\n")
    (tmp_path / "labels" / "val" / "gone.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    result = run(format="yolo", path=str(tmp_path))
    assert result.summary.images == {"train": 3, "eval": 3}
    assert result.summary.boxes == {"train": 2, "eval": 1}
    assert {(f.kind, f.where) for f in result.findings} == {
        ("unknown_class", "labels/train/0.txt line 2"),
        ("box_not_finite", "labels/train/0.txt line 3"),
        ("malformed_box", "line 4"),
        ("box_outside", "labels/train/0.txt line 6"),
        ("missing_image", ""),
    }
    values = result.record("images/train/0.PNG").features.feature
    assert values["image/object/class/text"].bytes_list.value[:] == [b"bus", b"car"]
    assert values["image/object/class/label"].int64_list.value[:] == [2, 1]
    assert values["image/object/bbox/xmax"].float_list.value[:] == pytest.approx([0.75, 1.0])
    polygon = result.record("images/val/0.PNG").features.feature
    assert polygon["image/object/bbox/ymax"].float_list.value[:] == pytest.approx([0.8])


@pytest.mark.parametrize(
    ("folder", "image", "label"),
    [
        ("train", "train/images/{}.jpg", "train/labels/{}.txt"),
        ("train", "train/deep/images/{}.jpg", "train/deep/labels/{}.txt"),
        ("train", "train/{}.jpg", "train/{}.txt"),
        (".", "{}.jpg", "{}.txt"),
        (".", "images/{}.jpg", "images/{}.txt"),
        ("images", "images/{}.jpg", "images/{}.txt"),
    ],
)
def test_labels_are_found_where_images_look_for_them(tmp_path, image_bytes, folder, image, label) -> None:
    (tmp_path / "data.yaml").write_text(f"train: {folder}\nnames: [car]\n")
    for name in "ab":
        for path in (image.format(name), label.format(name)):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / image.format(name)).write_bytes(image_bytes())
        (tmp_path / label.format(name)).write_text("0 0.5 0.5 0.5 0.5\n")
    reader = Yolo(DataSettings(format="yolo", path=str(tmp_path)))
    (source,) = reader.sources(str(tmp_path))
    items = list(reader.items(source))
    assert [getattr(item, "key", item) for item in items] == [image.format("a"), image.format("b")]
    assert [len(loaded.annotation.objects) for loaded in reader.load(items)] == [1, 1]


@given(st.tuples(*[st.floats(0.1, 0.4)] * 4), st.sampled_from(sorted(NAMES)))
def test_line_round_trip(box: tuple[float, float, float, float], number: int) -> None:
    cx, cy, width, height = box
    parsed = parse_line(f" {number}\t{cx!r} {cy!r}  {width!r} {height!r} ", "line 1", NAMES)
    xmin, ymin, xmax, ymax = parsed.box_xyxy
    assert ((xmin + xmax) / 2, (ymin + ymax) / 2) == pytest.approx((cx, cy))
    assert (xmax - xmin, ymax - ymin) == pytest.approx((width, height))
    assert (parsed.class_name, parsed.class_id) == (NAMES[number], number + 1)


@given(st.text(max_size=40))
def test_no_line_does_worse_than_a_value_error(line: str) -> None:
    try:
        parse_line(line or "x", "line 1", NAMES)
    except ValueError as error:
        assert "expected: class cx cy width height" in str(error)


def test_data_yaml_must_make_sense(tmp_path, image_bytes) -> None:
    def sources():
        return Yolo(DataSettings(format="yolo", path=str(tmp_path))).sources(str(tmp_path))

    with pytest.raises(DataError, match=r"expected one data.yaml .* found none"):
        sources()
    path = tmp_path / "data.yaml"
    for text, message in (
        ("- 1", "expected a map"),
        ("{", "cannot be read as YAML"),
        ("names: [a]", "expected `train`, `val` or `test`"),
        ("names: [a]\ntrain: absent", "train: absent is not in the data folder"),
        ("train: images", "expected `names`"),
        ("train: images\nnames: {a: b}", "`names` must be a list"),
    ):
        path.write_text(text)
        (tmp_path / "images").mkdir(exist_ok=True)
        with pytest.raises(DataError, match=message):
            sources()
    path.write_text("train: ../images\nnames: [a]")
    (source,) = sources()
    assert (source.path, source.split) == ("images", None), "a train folder alone is divided by hash"
    (tmp_path / "images" / "a.jpg").write_bytes(image_bytes())
    with pytest.raises(DataError, match="images, but no txt file of theirs in labels"):
        list(Yolo(DataSettings(format="yolo", path=str(tmp_path))).items(source))


def test_a_list_that_is_not_utf8_is_named(tmp_path) -> None:
    (tmp_path / "data.yaml").write_text("train: train.txt\nnames: [car]\n")
    (tmp_path / "train.txt").write_bytes("images/ä.jpg\n".encode("latin-1"))
    reader = Yolo(DataSettings(format="yolo", path=str(tmp_path)))
    with pytest.raises(DataError, match=r"train.txt: cannot be read .*byte 0xe4 in position 7"):
        list(reader.items(*reader.sources(str(tmp_path))))
