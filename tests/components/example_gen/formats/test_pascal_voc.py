from __future__ import annotations

import posixpath

import pytest

from components.example_gen.annotations import DataError
from components.example_gen.formats.pascal_voc import PascalVoc
from components.example_gen.settings import DataSettings


def floats(record, key: str) -> list[float]:
    return list(record.features.feature[f"image/object/bbox/{key}"].float_list.value)


def test_real_devkit_with_two_zero_area_boxes(run, shared_data) -> None:
    result = run(
        format="pascal_voc", path=str(shared_data / "bccd_voc"), max_skipped_images=0.01, max_dropped_boxes=0.01
    )
    assert {split: len(records) for split, records in result.records.items()} == {"train": 205, "eval": 87, "test": 72}
    assert result.summary.read_boxes == 4888
    assert sum(result.summary.boxes.values()) == 4886
    assert [finding.kind for finding in result.findings] == ["box_zero_area", "box_zero_area"]


def test_devkit_layout(run, tmp_path, image_bytes, voc_xml) -> None:
    base = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (base / folder).mkdir(parents=True)
    for i in range(6):
        (base / "JPEGImages" / f"{i}.JPG").write_bytes(image_bytes(seed=i))
        if i != 5:
            (base / "Annotations" / f"{i}.xml").write_text(voc_xml("renamed.jpg", [("dog", 4, 3, 24, 18)]))
    main = base / "ImageSets" / "Main"
    (main / "train.txt").write_text("0\n1\n")
    (main / "val.txt").write_text("2\n1\n../../../../etc/passwd\n")
    (main / "test.txt").write_text("3\n4\n5\n")
    (main / "trainval.txt").write_text("0\n1\n2\n")
    (main / "dog_train.txt").write_text("0 1\n")
    result = run(format="pascal_voc", path=str(tmp_path), voc_first_pixel=1)
    prefix = "VOCdevkit/VOC2012/Annotations/"
    assert result.source_ids("train") == {prefix + "0", prefix + "1"}
    assert result.source_ids("eval") == {prefix + "2"}
    assert result.source_ids("test") == {prefix + "3", prefix + "4"}
    assert result.summary.findings == {"duplicate_image": 1, "path_outside": 1, "missing_annotation": 1}
    assert (result.summary.listed_images, result.summary.skipped_images) == (8, 3)
    record = result.record(prefix + "0")
    assert record.features.feature["image/object/difficult"].int64_list.value[:] == [1]
    assert record.features.feature["image/filename"].bytes_list.value[0] == b"VOCdevkit/VOC2012/JPEGImages/0.JPG"
    assert floats(record, "xmin") == pytest.approx([3 / 40])
    assert floats(record, "xmax") == pytest.approx([24 / 40])


def test_xml_beside_images(run, tmp_path, image_bytes, voc_xml) -> None:
    for split in ("train", "valid"):
        (tmp_path / split / "deep er").mkdir(parents=True)
        for i in range(3):
            (tmp_path / split / "deep er" / f"bild ü{i}.jpg").write_bytes(image_bytes(seed=i))
            path = tmp_path / split / "deep er" / f"bild ü{i}.xml"
            path.write_text(voc_xml(f"bild ü{i}.jpg", [("katze", 0, 0, 20, 15)]), encoding="utf-8")
    (tmp_path / "train" / "broken.xml").write_text("<annotation><object>")
    (tmp_path / "train" / "bomb.xml").write_text(
        '<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;">]><annotation><filename>&z;</filename></annotation>'
    )
    (tmp_path / "train" / "climbs.xml").write_text(voc_xml("../../secret.jpg", []))
    (tmp_path / "train" / "gone.xml").write_text(voc_xml("gone.jpg", []))
    (tmp_path / "metadata.csv").write_text("filename,weather\nbild ü1.jpg,fog\n", encoding="utf-8")
    result = run(format="pascal_voc", path=str(tmp_path))
    assert len(result.source_ids("train")) == len(result.source_ids("eval")) == 3
    assert result.summary.findings == {"malformed_annotation": 2, "path_outside": 1, "missing_image": 1}
    record = result.record("train/deep er/bild ü1")
    assert record.features.feature["image/object/class/text"].bytes_list.value[:] == [b"katze"]
    assert record.features.feature["image/meta/weather"].bytes_list.value[:] == [b"fog"]


def test_an_xml_outside_of_the_splits_is_asked_about(run, tmp_path, image_bytes, voc_xml) -> None:
    for number, folder in enumerate(("train", "valid", "extra", "train")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"{number}.jpg").write_bytes(image_bytes(seed=number))
        (tmp_path / folder / f"{number}.xml").write_text(voc_xml(f"{number}.jpg", [("a", 0, 0, 9, 9)]))
    with pytest.raises(DataError, match=rf"for a part of it only: not for {tmp_path} \(of a folder: what lies outside"):
        run(format="pascal_voc", path=str(tmp_path))
    assert sum(run(format="pascal_voc", path=str(tmp_path), split={"source": "hash"}).summary.images.values()) == 4


def test_objects_that_cannot_be_read(run, tmp_path, image_bytes, voc_xml) -> None:
    for i in range(8):
        (tmp_path / f"{i}.jpg").write_bytes(image_bytes(seed=i))
        (tmp_path / f"{i}.xml").write_text(voc_xml(f"{i}.jpg", [("a", 0, 0, 9, 9)]))
    xml = voc_xml("0.jpg", [("a", 0, 0, 9, 9)]).replace("</annotation>", "<object><name>b</name></object></annotation>")
    (tmp_path / "0.xml").write_text(xml)
    xml = voc_xml("1.jpg", [("a", 0, 0, 9, 9)]).replace("<xmin>0<", "<xmin>left<")
    (tmp_path / "1.xml").write_text(xml)
    result = run(format="pascal_voc", path=str(tmp_path))
    assert [(f.kind, f.file, f.where) for f in result.findings] == [
        ("malformed_box", "0.xml", "object 2"),
        ("malformed_box", "1.xml", "object 1"),
    ]
    assert sum(result.summary.images.values()) == 8


def test_a_list_that_is_not_utf8_is_named(tmp_path, voc_xml) -> None:
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_bytes("0\nbild ä\n".encode("latin-1"))
    (tmp_path / "0.xml").write_text(voc_xml("0.jpg", []))
    reader = PascalVoc(DataSettings(format="pascal_voc", path=str(tmp_path)))
    (source,) = reader.sources(str(tmp_path))
    with pytest.raises(DataError, match=r"ImageSets/Main/train.txt: cannot be read .*byte 0xe4 in position 7"):
        list(reader.items(source))


def test_an_xml_that_cannot_be_read_is_a_finding(tmp_path, voc_xml) -> None:
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("0\n")
    (tmp_path / "Annotations" / "0.xml").mkdir(parents=True)
    (tmp_path / "1.xml").write_text(voc_xml("1.jpg", []))
    reader = PascalVoc(DataSettings(format="pascal_voc", path=str(tmp_path)))
    (finding,) = reader.load(list(reader.items(*reader.sources(str(tmp_path)))))
    assert (finding.kind, finding.file) == ("malformed_annotation", "Annotations/0.xml")
    assert "XML cannot be read: [Errno 21] Is a directory" in finding.found


def test_nothing_to_read(tmp_path) -> None:
    with pytest.raises(DataError, match="no Pascal VOC XML files"):
        PascalVoc(DataSettings(format="pascal_voc", path=str(tmp_path))).sources(str(tmp_path))


def loaded(folder, **settings) -> dict[str, tuple[str | None, str, set[str]]]:
    """Split, image and kinds of findings by the name of the XML; in place of the image the kind that lost it."""
    reader = PascalVoc(DataSettings(format="pascal_voc", path=str(folder), **settings))
    found = {}
    for source in reader.sources(str(folder)):
        for item in reader.items(source):
            (image,) = reader.load([item])
            name = item.file.removesuffix(".xml")
            if hasattr(image, "kind"):
                found[name] = (item.split, image.kind, set())
            else:
                found[name] = (item.split, image.file, {f.kind for f in image.annotation.findings})
    return found


def make(folder, files: dict[str, str | bytes]) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())


def test_which_image_an_xml_is_of(tmp_path, voc_xml) -> None:
    images = dict.fromkeys(("a.jpg", "b.JPG", "deep/er/c.jpg", "deep/er/e.png"), b"x")
    named = {
        "a": "b.jpg",
        "b": "D:\\work\\b.jpg",
        "other": "C:\\me\\c.jpg",
        "d": "../../label-studio/e.png",
        "f": "a",
        "g": "gone.jpg",
        "e": "c.jpg",
        "c": "a.jpg",
    }
    make(tmp_path, images | {f"{stem}.xml": voc_xml(name, []) for stem, name in named.items()})
    found = {stem: (file, kinds) for stem, (_, file, kinds) in loaded(tmp_path).items()}
    assert found == {
        "a": ("a.jpg", {"filename_differs"}),
        "b": ("b.JPG", set()),
        "other": ("deep/er/c.jpg", {"moved_image"}),
        "d": ("deep/er/e.png", {"moved_image"}),
        "f": ("a.jpg", set()),
        "g": ("missing_image", set()),
        "e": ("deep/er/e.png", {"filename_differs"}),
        "c": ("a.jpg", set()),
    }
    trusting = loaded(tmp_path, bad_input={"filename_differs": "filename", "moved_image": "skip"})
    assert (trusting["a"][1], trusting["d"][1]) == ("b.JPG", "moved_image")


@pytest.mark.parametrize(
    ("annotations", "images"),
    [
        ("{}/annots", "{}/images"),
        ("{}/Annotations", "{}"),
        ("{}_annot_folder", "{}_image_folder"),
        ("annotations/{}", "images/{}"),
    ],
)
def test_splits_and_images_beside_the_annotations(tmp_path, voc_xml, annotations: str, images: str) -> None:
    for split in ("Train", "val"):
        make(tmp_path, {f"{annotations.format(split)}/a.xml": voc_xml("a.jpg", [])})
        make(tmp_path, {f"{images.format(split)}/a.jpg": b"x"})
    assert sorted(loaded(tmp_path).values(), key=str) == [
        ("eval", images.format("val") + "/a.jpg", set()),
        ("train", images.format("Train") + "/a.jpg", set()),
    ]


@pytest.mark.parametrize("main", ["ImageSets/Main", "set/imagesets/main"])
@pytest.mark.parametrize("names", [("Train", "VAL", "Test"), ("my_train", "my_val", "my_test")])
def test_lists_in_capitals_and_with_suffixes(tmp_path, voc_xml, main: str, names: tuple[str, ...]) -> None:
    base = posixpath.dirname(posixpath.dirname(main)) or "."
    for number, name in enumerate(names):
        make(
            tmp_path, {f"{main}/{name}.txt": f"\ufeff{number}.jpg 1\r\n", f"{base}/xmls/{number}.xml": voc_xml("", [])}
        )
        make(tmp_path, {f"{base}/JPEGImages/{number}.jpg": b"x"})
    assert [split for split, _, _ in loaded(tmp_path).values()] == ["train", "eval", "test"]
    assert [file for _, file, _ in loaded(tmp_path).values()] == [
        posixpath.normpath(f"{base}/JPEGImages/{n}.jpg") for n in range(3)
    ]


def test_lists_that_cannot_be_told_are_not_passed_over(tmp_path, voc_xml) -> None:
    make(tmp_path, {"ImageSets/Main/all.txt": "a", "ImageSets/Main/rest.txt": "b", "a.xml": voc_xml("a.jpg", [])})
    with pytest.raises(
        DataError, match=r"which list is which split\? .* found all.txt, rest.txt; say which .* data.ann"
    ):
        loaded(tmp_path)
    make(tmp_path, {"ImageSets/Main/car_train.txt": "a", "ImageSets/Main/bus_train.txt": "b"})
    with pytest.raises(DataError, match="which list is which split"):
        loaded(tmp_path)


@pytest.mark.parametrize("folder", ["ImageSets/Main", "ImageSets", ""])
@pytest.mark.parametrize(
    "line", ["{}", "pictures/{}.jpg xmls/{}.xml", "pictures/{}.jpg\txmls/{}.xml", "/home/me/{}.jpg", "xmls/{}"]
)
def test_lists_in_other_places_and_of_paths(tmp_path, voc_xml, folder: str, line: str) -> None:
    for name, split in (("a b", "train"), ("c", "val")):
        make(tmp_path, {posixpath.join(folder, f"{split}.txt"): line.format(name, name) + "\n"})
        make(tmp_path, {f"xmls/{name}.xml": voc_xml(f"{name}.jpg", []), f"pictures/{name}.jpg": b"x"})
    make(tmp_path, {"README.txt": "training notes"})
    assert loaded(tmp_path) == {
        "xmls/a b": ("train", "pictures/a b.jpg", set()),
        "xmls/c": ("eval", "pictures/c.jpg", set()),
    }


def test_a_text_in_the_data_folder_is_no_list_of_training_images(tmp_path, voc_xml) -> None:
    make(tmp_path, {"test.txt": "a test", "a.xml": voc_xml("a.jpg", []), "a.jpg": b"x"})
    assert loaded(tmp_path) == {"a": (None, "a.jpg", set())}


def test_a_picture_has_one_xml(run, tmp_path, voc_xml, image_bytes) -> None:
    for i in range(12):
        make(tmp_path, {f"images/{i}.jpg": image_bytes(seed=i)})
        make(tmp_path, {f"xmls/{i}.xml": voc_xml(f"{i}.jpg", [("a", i, 0, 20, 20)])})
    make(tmp_path, {"images/lone.jpg": image_bytes(seed=99)})
    boxes = [("b", 1, 1, 9, 9)]
    for name, of in (("x", "lone.jpg"), ("y", "C:\\me\\lone.jpg"), ("copy of 3", "3.jpg"), ("backup/4", "4.jpg")):
        make(tmp_path, {f"xmls/{name}.xml": voc_xml(of, boxes)})
    result = run(format="pascal_voc", path=str(tmp_path))
    assert sum(result.summary.images.values()) == 13
    assert result.summary.findings["duplicate_image"] == 3
    texts = {
        name: result.record(name).features.feature["image/object/class/text"].bytes_list.value[0]
        for name in ("xmls/3", "images/4", "images/lone")
    }
    assert texts["images/lone"] == b"b"


def objects_of(folder) -> tuple[list, list]:
    reader = PascalVoc(DataSettings(format="pascal_voc", path=str(folder)))
    (image,) = reader.load(list(reader.items(*reader.sources(str(folder)))))
    if hasattr(image, "kind"):
        return [], [(image.kind, image.found)]
    objects = [(entry.class_name, entry.box_xyxy) for entry in image.annotation.objects]
    return objects, [(finding.kind, finding.found) for finding in image.annotation.findings]


BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
NAMED = f"<object><name>a</name>{BOX}</object>"


@pytest.mark.parametrize(
    ("xml", "kinds"),
    [
        (f"\n\ufeff<annotation>{NAMED}</annotation>", []),
        (f"\n<?xml version='1.0'?><annotation>{NAMED}</annotation>", []),
        (f"<annotation xmlns='http://x'>{NAMED}</annotation>", []),
        (f"<annotation><objects>{NAMED}</objects></annotation>", []),
        (f"<Annotation>{NAMED.replace('object', 'Object').replace('xmin', 'Xmin')}</Annotation>", []),
        (f"<annotation>{NAMED.replace('</object>', f'<part>{NAMED}</part></object>')}</annotation>", []),
        (
            "<annotation><object><name>a</name><polygon><x1>1</x1><y1>3</y1><x2>9</x2><y2>2</y2><x3>5</x3><y3>8</y3>"
            "</polygon></object></annotation>",
            ["polygon_box"],
        ),
        (
            "<annotation><object><name>a</name><polygon><pt><x>1</x><y>2</y></pt><pt><x>9</x><y>8</y></pt>"
            "</polygon></object></annotation>",
            ["polygon_box"],
        ),
        (
            "<annotation><object><name>a</name><robndbox><cx>5</cx><cy>5</cy><w>8</w><h>6</h><angle>3.141592653589793"
            "</angle></robndbox></object></annotation>",
            ["polygon_box"],
        ),
    ],
)
def test_boxes_in_other_shapes_and_tags(tmp_path, xml: str, kinds: list[str]) -> None:
    make(tmp_path, {"a.xml": xml, "a.jpg": b"x"})
    objects, findings = objects_of(tmp_path)
    assert [(name, pytest.approx(box)) for name, box in objects] == [("a", (1, 2, 9, 8))]
    assert [kind for kind, _ in findings] == kinds


def test_an_encoding_of_several_bytes_a_letter(tmp_path) -> None:
    xml = f"<?xml version='1.0' encoding='gbk'?><annotation>{NAMED.replace('>a<', '>红细胞<')}</annotation>"
    make(tmp_path, {"a.xml": xml.encode("gbk"), "a.jpg": b"x"})
    assert objects_of(tmp_path)[0][0][0] == "红细胞"


def test_what_is_no_annotation_of_an_image_is_said(tmp_path) -> None:
    make(tmp_path, {"a.xml": "<annotations><image name='a.jpg'/></annotations>", "a.jpg": b"x"})
    assert objects_of(tmp_path)[1] == [
        ("malformed_annotation", "expected <annotation>, one file an image; found <annotations>")
    ]
    make(tmp_path, {"a.xml": f"<annotation>{NAMED.replace(BOX, '<polygon><x1>1</x1></polygon>')}</annotation>"})
    assert objects_of(tmp_path)[1] == [("malformed_box", "a polygon of 1 x and 0 y")]
    make(tmp_path, {"a.xml": f"<annotation>{NAMED.replace(BOX, BOX + '<difficult>Hard</difficult>')}</annotation>"})
    assert objects_of(tmp_path)[1] == [("malformed_box", "<difficult> 'Hard' is neither 0 nor 1, false nor true")]


@pytest.mark.parametrize(
    ("written", "is_difficult", "kinds"),
    [
        ("0", False, []),
        ("1", True, []),
        ("TRUE", True, ["coerced_value"]),
        ("1.0", True, ["coerced_value"]),
        ("", False, []),
    ],
)
def test_difficult(tmp_path, voc_xml, written: str, is_difficult: bool, kinds: list[str]) -> None:
    xml = voc_xml("a.jpg", [("a", 0, 0, 9, 9)]).replace("<difficult>1", f"<difficult>{written}")
    make(tmp_path, {"a.xml": xml, "a.jpg": b"x"})
    reader = PascalVoc(DataSettings(format="pascal_voc", path=str(tmp_path)))
    (image,) = reader.load(list(reader.items(*reader.sources(str(tmp_path)))))
    assert image.annotation.objects[0].is_difficult is is_difficult
    assert [finding.kind for finding in image.annotation.findings] == kinds
