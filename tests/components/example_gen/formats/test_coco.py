from __future__ import annotations

import json
import re

import pytest

from components.example_gen.annotations import DataError
from components.example_gen.formats.coco import Coco
from components.example_gen.settings import DataSettings


def coco(images: list[dict], annotations: list[dict], first_category: int = 1) -> str:
    categories = [{"id": first_category, "name": "cat"}, {"id": first_category + 2, "name": "dog"}]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


def test_real_files_one_a_split(run, shared_data) -> None:
    result = run(format="coco", path=str(shared_data / "rbc_coco"), max_skipped_images=0, max_dropped_boxes=0)
    assert {split: len(records) for split, records in result.records.items()} == {"train": 210, "eval": 20, "test": 10}
    assert sum(result.summary.boxes.values()) == 5638
    assert not result.findings
    labels = {
        (text, label)
        for record in result.records["train"]
        for text, label in zip(
            record.features.feature["image/object/class/text"].bytes_list.value,
            record.features.feature["image/object/class/label"].int64_list.value,
            strict=True,
        )
    }
    assert labels == {(b"rbc", 2), (b"wbc", 3)}, "category ids start at 0 there"


def test_boxes_crowd_area_and_metadata(run, tmp_path, image_bytes) -> None:
    (tmp_path / "images").mkdir()
    images = []
    for i in range(10):
        (tmp_path / "images" / f"{i}.png").write_bytes(image_bytes(image_format="PNG", seed=i))
        image = {"id": i, "file_name": f"{i}.png", "width": 40, "height": 30, "license": 1, "weather": "fog"}
        images.append(
            image | {"speed": 1 if i else 0.5, "is_night": True, "tags": ["dropped"], "lux": i if i else "dim"}
        )
    annotations = [
        {
            "id": 7,
            "image_id": 0,
            "category_id": 3,
            "bbox": [4, 3, 20, 15],
            "area": 33,
            "iscrowd": 1,
            "segmentation": {},
        },
        {"id": 8, "image_id": 0, "category_id": 1, "bbox": [0, 0, 4, 3], "area": float("nan")},
        {"id": 9, "image_id": 99, "category_id": 1, "bbox": [0, 0, 4, 3]},
        {"id": 10, "image_id": 1, "category_id": 2, "bbox": [0, 0, 4, 3]},
        {"id": 11, "image_id": 1, "category_id": 1, "bbox": [0, 0, float("nan"), 3]},
        {"id": 12, "image_id": 1, "category_id": 1, "bbox": [0, 0, 4]},
    ]
    (tmp_path / "labels.json").write_text(coco(images, annotations))
    result = run(format="coco", path=str(tmp_path))
    assert result.summary.findings == {"orphan_box": 1, "unknown_class": 1, "box_not_finite": 1, "malformed_box": 1}
    assert sum(result.summary.images.values()) == 10
    values = result.record("images/0.png").features.feature
    assert values["image/object/class/text"].bytes_list.value[:] == [b"dog", b"cat"]
    assert values["image/object/class/label"].int64_list.value[:] == [3, 1]
    assert values["image/object/is_crowd"].int64_list.value[:] == [1, 0]
    assert values["image/object/area"].float_list.value[:] == pytest.approx([33, 12])
    assert values["image/object/bbox/ymax"].float_list.value[:] == pytest.approx([18 / 30, 3 / 30])
    assert values["image/meta/weather"].bytes_list.value[:] == [b"fog"]
    assert values["image/meta/is_night"].bytes_list.value[:] == [b"true"]
    assert {key for key in values if key.startswith("image/meta/")} == {
        f"image/meta/{name}" for name in ("weather", "speed", "is_night", "lux")
    }
    one = result.record("images/1.png").features.feature
    assert one["image/meta/speed"].float_list.value[:] == [1.0], "one type a column: 0.5 elsewhere makes all floats"
    assert one["image/meta/lux"].bytes_list.value[:] == [b"1"]
    assert one["image/object/class/text"].bytes_list.value[:] == []
    assert one["image/object/class/text"].WhichOneof("kind") == "bytes_list"


def test_an_integer_that_no_record_holds_becomes_text(run, tmp_path, image_bytes) -> None:
    numbers = [2**63, -(2**63), 2**63 - 1, 7] + [0] * 8
    images = []
    for i, number in enumerate(numbers):
        (tmp_path / f"{i}.jpg").write_bytes(image_bytes(seed=i))
        images.append({"id": i, "file_name": f"{i}.jpg", "phash": number, "track": 2**63 - 1})
    (tmp_path / "labels.json").write_text(coco(images, []))
    result = run(format="coco", path=str(tmp_path))
    records = [result.record(f"{i}.jpg").features.feature for i in range(len(numbers))]
    texts = [values["image/meta/phash"].bytes_list.value[0].decode() for values in records]
    assert texts == [str(number) for number in numbers], "one type a column"
    assert all(values["image/meta/track"].int64_list.value[:] == [2**63 - 1] for values in records)


def test_half_a_character_in_metadata_is_written_as_its_escape(run, tmp_path, image_bytes) -> None:
    images = []
    for i in range(8):
        (tmp_path / f"{i}.jpg").write_bytes(image_bytes(seed=i))
        images.append({"id": i, "file_name": f"{i}.jpg", "note\ud800": "a\udfff"})
    (tmp_path / "labels.json").write_text(coco(images, []))
    values = run(format="coco", path=str(tmp_path)).record("3.jpg").features.feature
    assert values["image/meta/note\\ud800"].bytes_list.value[:] == [b"a\\udfff"]


def test_duplicate_and_ambiguous_ids(tmp_path, image_bytes) -> None:
    for name in "abcd":
        (tmp_path / f"{name}.jpg").write_bytes(image_bytes())
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    images += [{"id": 2, "file_name": "c.jpg"}, {"id": 3, "file_name": "d.jpg"}, {"file_name": "e.jpg"}]
    (tmp_path / "x.json").write_text(coco(images, []))
    reader = Coco(DataSettings(format="coco", path=str(tmp_path)))
    (source,) = reader.sources(str(tmp_path))
    items = list(reader.items(source))
    assert [item.key for item in items if hasattr(item, "key")] == ["a.jpg", "d.jpg"]
    kinds = [finding.kind for finding in items if hasattr(finding, "kind")]
    assert kinds == ["duplicate_image", "malformed_annotation", "ambiguous_image_id", "ambiguous_image_id"]


@pytest.mark.parametrize(
    "layout",
    [
        ("annotations/instances_{}2017.json", "{}2017/a.jpg"),
        ("annotations/instances_{}.json", "images/{}/a.jpg"),
        ("{}/_annotations.coco.json", "{}/a.jpg"),
        ("{}.json", "images/{}.a.jpg"),
        ("{}/labels.json", "{}/images/a.jpg"),
        ("annotations/custom_{}.json", "{}2017/a.jpg"),
        ("{}_labels/coco.json", "{}_images/deep/a.jpg"),
    ],
)
def test_layouts(tmp_path, image_bytes, layout: tuple[str, str]) -> None:
    labels, image = layout
    for split in ("train", "val"):
        for path in (labels.format(split), image.format(split)):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / image.format(split)).write_bytes(image_bytes())
        name = image.format(split).rpartition("/")[2]
        (tmp_path / labels.format(split)).write_text(coco([{"id": 1, "file_name": name}], []))
    if labels.startswith("annotations/"):
        (tmp_path / "annotations" / "captions_train2017.json").write_text("{}")
    reader = Coco(DataSettings(format="coco", path=str(tmp_path)))
    items = {source.split: list(reader.items(source)) for source in reader.sources(str(tmp_path))}
    assert {split: [item.key for item in found] for split, found in items.items()} == {
        "train": [image.format("train")],
        "eval": [image.format("val")],
    }


def test_what_cannot_be_guessed_is_asked_for(tmp_path) -> None:
    def sources(**values):
        return Coco(DataSettings(format="coco", path=str(tmp_path), **values)).sources(str(tmp_path))

    with pytest.raises(DataError, match="no COCO JSON files"):
        sources()
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(coco([], []))
    with pytest.raises(
        DataError, match=r"no split in their names: a.json, b.json; say which to read in data.annotations"
    ):
        sources()
    assert [(s.path, s.split) for s in sources(annotations={"train": "a.json", "eval": "b.json"})] == [
        ("a.json", "train"),
        ("b.json", "eval"),
    ]
    with pytest.raises(DataError, match=r"data.annotations.train: c.json is not in the data folder"):
        sources(annotations={"train": "c.json"})
    with pytest.raises(DataError, match="climbs out"):
        sources(annotations="../c.json")
    (tmp_path / "a.json").write_text("[]")
    reader = Coco(DataSettings(format="coco", path=str(tmp_path), annotations="a.json"))
    with pytest.raises(DataError, match="expected a COCO annotation file with `images`"):
        list(reader.items(reader.sources(str(tmp_path))[0]))


def read(folder, **settings) -> tuple[list, list]:
    reader = Coco(DataSettings(format="coco", path=str(folder), **settings))
    entries = [entry for source in reader.sources(str(folder)) for entry in reader.items(source)]
    items = [entry for entry in entries if hasattr(entry, "key")]
    return items, [entry for entry in entries if hasattr(entry, "kind")]


def test_ids_and_numbers_in_other_types(tmp_path, image_bytes) -> None:
    images = [{"id": "1", "file_name": "a.jpg", "width": "40", "height": 30.0}, {"id": "x-2", "file_name": "b.jpg"}]
    images.append({"id": 3.0, "file_name": 7})
    for name in ("a.jpg", "b.jpg", "7.jpg"):
        (tmp_path / name).write_bytes(image_bytes())
    box = {"bbox": ["1", 2, "3e0", 4.5], "area": "12"}
    annotations = [
        {"id": 1, "image_id": 1, "category_id": "1", "iscrowd": "0", **box},
        {"id": 2, "image_id": "1.0", "category_id": 3.0, "iscrowd": 1.0, **box},
        {"id": 3, "image_id": "x-2", "category_id": 1, "iscrowd": "True", **box},
        {"id": 4, "image_id": "3", "category_id": 1, "iscrowd": False, **box},
    ]
    (tmp_path / "x.json").write_text(coco(images, annotations))
    items, findings = read(tmp_path)
    objects = {item.file: item.annotation.objects for item in items}
    assert {file: [o.class_name for o in found] for file, found in objects.items()} == {
        "a.jpg": ["cat", "dog"],
        "b.jpg": ["cat"],
        "7.jpg": ["cat"],
    }
    assert [o.is_crowd for found in objects.values() for o in found] == [False, True, True, False]
    assert objects["a.jpg"][0].box_xyxy == (1, 2, 4, 6.5)
    assert (items[0].annotation.width_pixels, items[0].annotation.height_pixels) == (40, 30)
    assert {(f.kind, f.where) for f in findings} == {
        ("coerced_value", field)
        for field in (
            "images[].width",
            "images[].file_name",
            "annotations[].image_id",
            "annotations[].category_id",
            "annotations[].bbox",
            "annotations[].iscrowd",
        )
    }
    assert findings[-1].found.endswith("such values")


def test_ids_that_could_be_several(tmp_path, image_bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(image_bytes())
    (tmp_path / "b.jpg").write_bytes(image_bytes())
    images = [{"id": "7", "file_name": "a.jpg"}, {"id": "007", "file_name": "b.jpg"}]
    box = {"category_id": 1, "bbox": [1, 1, 2, 2]}
    (tmp_path / "x.json").write_text(coco(images, [{"image_id": 7, **box}, {"image_id": "007", **box}]))
    items, findings = read(tmp_path)
    assert [len(item.annotation.objects) for item in items] == [0, 1]
    assert [(f.kind, f.found) for f in findings] == [("orphan_box", "image_id 7 is no image's id")]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"bbox": "1234"}, "bbox '1234'; expected bbox"),
        ({"bbox": []}, r"bbox '\[\]'; expected bbox"),
        ({"bbox": [1, 2, True, 4]}, r"True \(bool\) is no number"),
        ({"bbox": [1, 2, "3,5", 4]}, r"'3,5' is no number \(a decimal comma"),
        ({"iscrowd": "maybe"}, "'maybe' is neither 0 nor 1"),
        ({"bbox": [1, 2, 10**400, 4]}, "a number of 401 digits is too big"),
    ],
)
def test_a_box_that_is_refused_says_why(tmp_path, image_bytes, changed: dict, message: str) -> None:
    (tmp_path / "a.jpg").write_bytes(image_bytes())
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]} | changed
    (tmp_path / "x.json").write_text(coco([{"id": 1, "file_name": "a.jpg"}], [box]))
    ((item,), _) = read(tmp_path)
    (finding,) = item.annotation.findings
    assert finding.kind == "malformed_box"
    assert re.search(message, finding.found)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"categories": None}, "`categories` must be a list, found None"),
        ({"categories": [{"id": 1, "name": None}]}, r"categories\[0\]: every entry needs an `id` and a `name`"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, r"\[1\]: id 1 is both 'a' and 'b'"),
        ({"annotations": None}, "`annotations` must be a list, found None"),
    ],
)
def test_a_file_that_is_refused_says_why(tmp_path, data: dict, message: str) -> None:
    (tmp_path / "x.json").write_text(json.dumps(json.loads(coco([], [])) | data))
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_a_folder_of_images_for_each_split(tmp_path, image_bytes) -> None:
    for split in ("train", "val"):
        (tmp_path / "pictures" / split).mkdir(parents=True)
        (tmp_path / "pictures" / split / "a.jpg").write_bytes(image_bytes())
        (tmp_path / f"{split}.json").write_text(coco([{"id": 1, "file_name": "a.jpg"}], []))
    items, findings = read(tmp_path, images={"train": "pictures/train", "eval": "pictures/val"})
    assert [(item.split, item.file) for item in items] == [
        ("train", "pictures/train/a.jpg"),
        ("eval", "pictures/val/a.jpg"),
    ]
    assert not findings


def test_a_damaged_file_is_not_taken_for_another_tools(tmp_path, image_bytes) -> None:
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "a.jpg").write_bytes(image_bytes())
        (tmp_path / split / "x.json").write_text(coco([{"id": 1, "file_name": "a.jpg"}], []))
    (tmp_path / "train" / "captions.json").write_text('{"images": []}')
    items, _ = read(tmp_path)
    assert [(item.split, item.file) for item in items] == [("train", "train/a.jpg"), ("eval", "val/a.jpg")]
    (tmp_path / "train" / "x.json").write_text("{")
    with pytest.raises(DataError, match=r"train/x.json: cannot be read as JSON"):
        read(tmp_path)


def read_one(folder, document: dict, **settings):
    """The items and findings of one COCO file."""
    (folder / "a.json").write_text(json.dumps(document))
    reader = Coco(DataSettings(format="coco", path=str(folder), **settings))
    entries = list(reader.items(*reader.sources(str(folder))))
    items = [entry for entry in entries if hasattr(entry, "key")]
    findings = [entry for entry in entries if hasattr(entry, "kind")]
    return items, findings + [finding for item in items for finding in item.annotation.findings]


@pytest.mark.parametrize("bbox", [{}, {"bbox": None}, {"bbox": []}])
@pytest.mark.parametrize("polygon", [[[1, 8, 9, 2, 5, 5]], [[1, 8, 5, 5], ["9", 2, 5, 5]], [1, 8, 9, 2]])
def test_a_box_of_a_segmentation(tmp_path, bbox: dict, polygon: list) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    one = {"image_id": 1, "category_id": 1, "segmentation": polygon} | bbox
    document = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [one | {"id": 1}, one | {"id": 2}]}
    document["categories"] = [{"id": 1, "name": "cat"}]
    (item,), findings = read_one(tmp_path, document)
    assert [entry.box_xyxy for entry in item.annotation.objects] == [(1, 2, 9, 8)] * 2
    assert [(finding.kind, finding.where) for finding in findings] == [("polygon_box", "annotation id 1")]
    (item,), findings = read_one(tmp_path, document, bad_input={"polygon_box": "drop"})
    assert (item.annotation.objects, item.annotation.box_count, len(findings)) == ((), 2, 2)


@pytest.mark.parametrize("segmentation", [{"counts": "a1b", "size": [30, 40]}, [], [[1, "x"]], [[1]]])
def test_no_box_and_no_polygon(tmp_path, segmentation) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    document = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    assert [finding.kind for finding in read_one(tmp_path, document)[1]] == ["malformed_box"]


@pytest.mark.parametrize(
    ("named", "path", "kinds"),
    [
        ({"coco_url": "http://images.cocodataset.org/val2017/a.jpg"}, "val2017/a.jpg", []),
        ({"file_name": "https://b.s3.amazonaws.com/u/a.jpg?X-Amz=1"}, "images/a.jpg", ["moved_image"]),
        ({"file_name": "a%20%231.jpg"}, "images/a #1.jpg", []),
        ({"file_name": "50%20.jpg"}, "images/50%20.jpg", []),
        ({"file_name": "images\\1a2b3c4d-a.jpg"}, "images/a.jpg", ["moved_image"]),
        ({"file_name": "a.jpg"}, "images/1a2b3c4d-a.jpg", ["moved_image"]),
    ],
)
def test_names_of_the_web_and_of_exports(tmp_path, named: dict, path: str, kinds: list[str]) -> None:
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_bytes(b"x")
    (item,), findings = read_one(tmp_path, {"images": [{"id": 1} | named], "annotations": [], "categories": []})
    assert item.file == path
    assert [finding.kind for finding in findings] == kinds


def test_ids_that_say_less_than_they_should(tmp_path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(b"x")
    categories = [{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}, {"id": 5, "name": "cat "}]
    document = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}, {"id": 2, "file_name": "c.jpg"}],
        "annotations": [
            {"id": i, "image_id": image, "category_id": category, "bbox": [1, 2, 3 + i, 4]}
            for i, (image, category) in enumerate(((1, 3), (1, 5), (1, 7), (2, 3), (9, 3)))
        ],
        "categories": categories,
    }
    (item,), findings = read_one(tmp_path, document)
    assert [(entry.class_id, entry.class_found) for entry in item.annotation.objects] == [
        (3, "category_id 3"),
        (3, "category_id 5"),
        (0, "category_id 7; the ids of categories are 3 to 5"),
    ]
    said = [(finding.kind, finding.found) for finding in findings if finding.kind != "ambiguous_image_id"]
    assert said == [
        ("similar_names", "'cat' is the name of the ids 3, 5: read as one class"),
        ("orphan_box", "image_id 2 is the id of several images"),
        ("orphan_box", "image_id 9 is no image's id"),
    ]


def test_an_image_entry_for_each_annotation(tmp_path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(b"x")
    names = ("a.jpg", "b.jpg", "a.jpg", "a.jpg")
    document = {
        "images": [{"id": i, "file_name": name, "width": 40 + (i == 3)} for i, name in enumerate(names)],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "bbox": [i, 2, 3, 4]} for i in range(4)],
        "categories": [{"id": 1, "name": "cat"}],
    }
    items, findings = read_one(tmp_path, document)
    assert [(item.file, len(item.annotation.objects)) for item in items] == [("a.jpg", 2), ("b.jpg", 1), ("a.jpg", 1)]
    assert [(finding.kind, finding.found) for finding in findings] == [
        ("coerced_value", "'2' (int), read as 0, which has the same file_name; 1 such values")
    ]


def test_json_files_of_another_tool_are_said_to_be_none(tmp_path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.json").write_text('{"version": "5.0", "shapes": [], "imagePath": "a.jpg"}')
    with pytest.raises(
        DataError, match=r"a\.json: expected a COCO annotation file .* found version, shapes, imagePath"
    ):
        Coco(DataSettings(format="coco", path=str(tmp_path))).sources(str(tmp_path))
