from __future__ import annotations

import pytest

from components.example_gen.annotations import DataError
from components.example_gen.formats.yolo import Yolo
from components.example_gen.settings import DataSettings


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
        ("polygon_box", "line 1"),
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
        ("train", "train/{}.jpg", "train/labels/{}.txt"),
        ("train", "train/{}.jpg", "labels/train/{}.txt"),
        ("images/train", "images/train/{}.jpg", "labels/{}.txt"),
        ("Images/train", "Images/train/{}.jpg", "Labels/train/{}.txt"),
        ("images", "images/{}.JPG", "labels/{}.TXT"),
        ("images", "images/{}.jpg", "labels/{}.jpg.txt"),
        ("images", "images/{}\u00e9.jpg", "labels/{}e\u0301.txt"),
        ("images", "images/{}.jpg", "annotations/1a2b3c4d-{}.txt"),
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


def test_a_label_elsewhere_is_of_the_only_image_called_so(tmp_path) -> None:
    write(tmp_path, IMAGES | {"data.yaml": "train: images/train\nval: images/val\nnames: [car]"})
    for path in ("images/train/c.jpg", "images/val/c.jpg", "images/train/d.jpg", "images/train/e.jpg"):
        write(tmp_path, {path: b""})
    write(tmp_path, {"labels/c.txt": ROW, "texts/d.txt": "a red car", "old/e.txt": ROW, "new/e.txt": ROW})
    assert {file: boxes for file, _, boxes in layout_of(tmp_path)} == {
        "images/train/a.jpg": 1,
        "images/val/b.jpg": 1,
        "images/train/c.jpg": 0,
        "images/val/c.jpg": 0,
        "images/train/d.jpg": 0,
        "images/train/e.jpg": 0,
    }


def test_a_list_whose_images_have_no_labels_is_refused(tmp_path) -> None:
    write(tmp_path, {"data.yaml": "train: train.txt\nnames: [car]", "train.txt": "./images/a.jpg\n"})
    write(tmp_path, {"images/a.jpg": b"", "labels/b.txt": ROW})
    with pytest.raises(DataError, match=r"train\.txt: images, but no txt file of theirs in labels"):
        layout_of(tmp_path)


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


def write(folder, files: dict[str, str | bytes]) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())


def class_names(run, folder, **settings) -> dict[str, int]:
    result = run(format="yolo", path=str(folder), split={"source": "hash"}, **settings)
    texts = [
        text.decode()
        for records in result.records.values()
        for record in records
        for text in record.features.feature["image/object/class/text"].bytes_list.value
    ]
    return {name: texts.count(name) for name in texts}


@pytest.mark.parametrize(
    ("names", "read"),
    [
        ("[02146, on]", {"02146", "on"}),
        ("{0: 'no', '1': \"1e3\"}", {"no", "1e3"}),
        ("\n- ~\n-   stop sign  ", {"~", "stop sign"}),
        ("[Gro\u0308\u00dfe, \u200b12:30]", {"Größe", "12:30"}),
    ],
)
def test_names_are_read_as_written(run, tmp_path, image_bytes, names: str, read: set[str]) -> None:
    write(tmp_path, {"data.yaml": f"\ufefftrain: images\nnames: {names}\n"})
    for i in range(12):
        row = f"{i % 2} 0.5 0.5 0.5 0.5\n"
        write(tmp_path, {f"images/{i}.jfif": image_bytes(seed=i), f"labels/{i}.txt": row.encode("utf-16")})
    assert set(class_names(run, tmp_path)) == read


def layout_of(folder) -> list[tuple[str, str | None]]:
    reader = Yolo(DataSettings(format="yolo", path=str(folder)))
    found = []
    for source in reader.sources(str(folder)):
        items = list(reader.items(source))
        loaded = list(reader.load([item for item in items if hasattr(item, "key")]))
        found += [(image.file, source.split, len(image.annotation.objects)) for image in loaded]
        found += [(item.kind, item.file, 0) for item in items if hasattr(item, "kind")]
    return found


ROW = "0 0.5 0.5 0.5 0.5\n"
IMAGES = {"images/train/a.jpg": b"", "labels/train/a.txt": ROW, "images/val/b.jpg": b"", "labels/val/b.txt": ROW}


@pytest.mark.parametrize(
    ("described", "found"),
    [
        ({"classes.txt": "car\n"}, [("images/train/a.jpg", "train", 1), ("images/val/b.jpg", "eval", 1)]),
        (
            {"notes.json": '{"categories": [{"id": 0, "name": "car"}]}', "labels/train/README.txt": "1 a"},
            [("images/train/a.jpg", "train", 1), ("images/val/b.jpg", "eval", 1)],
        ),
        (
            {"coco8.yaml": "train: images/train\nval: images/val\nvalid: images/val\nnames: [car]", "x.yaml": "a: 1"},
            [("images/train/a.jpg", "train", 1), ("images/val/b.jpg", "eval", 1)],
        ),
        (
            {"data.yaml": "path: D:\\\\me\ntrain: /content/set/images/train\nval: ..\\images\\val\nnames: [car]"},
            [("images/train/a.jpg", "train", 1), ("images/val/b.jpg", "eval", 1)],
        ),
        (
            {"labels/train/classes.txt": "car\n", "labels/val/classes.txt": "car\r\n"},
            [("images/train/a.jpg", "train", 1), ("images/val/b.jpg", "eval", 1)],
        ),
        (
            {"obj.names": "car\n", "train.txt": "data/obj/c.jpg\n", "valid.txt": "data/images/val/b.jpg\n"}
            | {"obj/c.jpg": b"", "obj/c.txt": ROW},
            [("obj/c.jpg", "train", 1), ("images/val/b.jpg", "eval", 1)],
        ),
        (
            {
                "data.yaml": "Train: data/images/train\nValidation: ../other/images/val\nNames: my.names",
                "my.names": "car",
            },
            [("images/train/a.jpg", "train", 1), ("images/val/b.jpg", "eval", 1)],
        ),
        (
            {
                "obj.data": "Train = data/Train.txt\nValidation = data/Validation.txt\nnames = data/obj.names\n",
                "obj.names": "car\n",
                "Train.txt": "data/images/train/a.jpg\n",
                "Validation.txt": "data/images/val/b.jpg\n",
            },
            [("images/train/a.jpg", "train", 1), ("images/val/b.jpg", "eval", 1)],
        ),
        (
            {
                "x/obj.data": "classes = 1\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\n",
                "x/obj.names": "car\r\n",
                "x/train.txt": "data/train/a.jpg\r\n../images/train/gone.jpg\n",
                "x/valid.txt": "../images/val/b.jpg\n",
            },
            [
                ("images/train/a.jpg", "train", 1),
                ("missing_image", "../images/train/gone.jpg", 0),
                ("images/val/b.jpg", "eval", 1),
            ],
        ),
    ],
)
def test_exports_without_a_data_yaml(tmp_path, described: dict[str, str], found: list) -> None:
    write(tmp_path, IMAGES | described)
    assert layout_of(tmp_path) == found


def test_what_must_not_be_guessed(tmp_path) -> None:
    write(tmp_path, IMAGES)
    for text, message in (
        ("train: images\nnames: car, bus", r"found the text 'car, bus'; write .* as names: \[first, second\]"),
        ("train: images\nnc: 1\nnames: '[car]'", r"found the text '\[car\]'"),
        ("train: images\nnames: data/obj.names", "found the text 'data/obj.names'"),
        (
            "val: images/val\nnames: [car]",
            "expected `train` beside val; name the folder of training images, or set data.annotations",
        ),
        ("train: images\nnc: 2\nnames: car", "`names` must be a list"),
        ("train: images\nnames: [car, [bus]]", "a name must be text, found"),
        ("train: images\nnames: {0.5: car}", "0.5' is no whole number"),
        ("train: {a: b}\nnames: [car]", "train: expected a folder or a list of folders, found {'a': 'b'}"),
        ("train: images\nkpt_shape: 8\nnames: [car]", r"kpt_shape: expected \[number of keypoints, 2 or 3\], found 8"),
        (
            "train: /a/images/train\nval: /b/images/train\nnames: [car]",
            "train: /a/images/train and val: .* both lead",
        ),
        (
            "train: /x/train/images\nval: /x/val/images\nnames: [car]",
            "train: /x/train/images is not in the data",
        ),
        ("train: images/train\nval: images/val\nnames: [a, b, a]", "0 and 2 are both 'a'; name each class once"),
        ("train: images/train\nval: images/val\nnc: 3\nnames: [a b, c]", "nc is 3, but `names` has 2: a b, c; correct"),
        ("train: images/train\nnames: [car]", "names no `val`, but there are images in images/val; write val: images/"),
        ("train: a\ntrain: b\nnames: [car]", 'cannot be read as YAML: (.|\n)*duplicate key "train"(.|\n)*line 2'),
    ):
        (tmp_path / "data.yaml").write_text(text)
        with pytest.raises(DataError, match=message):
            layout_of(tmp_path)


def test_class_names_that_differ_are_not_guessed(tmp_path) -> None:
    write(tmp_path, IMAGES | {"labels/train/classes.txt": "car\n", "labels/val/classes.txt": "bus\n"})
    with pytest.raises(DataError, match=r"found several: labels/train/classes\.txt, labels/val/classes\.txt"):
        layout_of(tmp_path)


def test_labels_of_other_images_are_no_background(tmp_path) -> None:
    write(tmp_path, {"data.yaml": "train: images\nnames: [car]", "images/a.jpg": b"", "labels/b.txt": ROW})
    with pytest.raises(DataError, match="images, but no txt file of theirs in labels"):
        layout_of(tmp_path)


def test_every_polygon_that_is_dropped_is_counted(run, tmp_path, image_bytes) -> None:
    write(tmp_path, {"data.yaml": "train: images\nnames: [car]"})
    for i in range(12):
        rows = ROW + "0.0 0.1 0.1 0.9 0.1 0.9 0.8 0.1 0.8\n" + "0.0 0.2 0.1 0.9 0.1 0.9 0.8 0.2 0.8\n"
        write(tmp_path, {f"images/{i}.jpg": image_bytes(seed=i), f"labels/{i}.txt": rows})
    kept = run(format="yolo", path=str(tmp_path))
    assert kept.summary.findings == {"polygon_box": 12, "coerced_value": 12}
    assert (kept.summary.read_boxes, kept.summary.dropped_boxes) == (36, 0)
    dropped = run(format="yolo", path=str(tmp_path), bad_input={"polygon_box": "drop"})
    assert (dropped.summary.read_boxes, dropped.summary.dropped_boxes) == (36, 24)
