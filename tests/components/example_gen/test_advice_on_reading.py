"""Advice that reading alone can follow: the fault, then the same with the advice followed, which has to go on.

``test_advice`` has what takes the whole of ExampleGen.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from components.example_gen.settings import DataSettings
from pipeline.doctor.survey import survey

HALVES = {"split": {"ratios": {"train": 0.5, "eval": 0.5}}}
COLUMNS = "filename,class,xmin,ymin,xmax,ymax"


@dataclasses.dataclass(frozen=True)
class Case:
    """A data folder, and what its message says to do.

    Attributes:
      name: of the fault, and of the advice where a message has several.
      images: paths of image files.
      texts: other files, by path.
      settings: besides those of every case; ``{root}`` stands for the folder.
      message: pattern of the message.
      advised: settings, as the message says.
      mended: files written anew or besides, as the message says; an image where there is no text.
      moved: new path by path, as the message says.
      unsaid: pattern of advice that would not help.
    """

    name: str
    images: tuple[str, ...]
    texts: Mapping[str, str | bytes]
    settings: Mapping[str, Any]
    message: str
    advised: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    mended: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    moved: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unsaid: str | None = None


def pictures(folder: str = "", first: int = 0, count: int = 12) -> tuple[str, ...]:
    return tuple(str(pathlib.PurePosixPath(folder, f"{number:02}.png")) for number in range(first, first + count))


def table(names: Iterable[str], box: str = "2,2,22,22", header: str = COLUMNS) -> str:
    return "\n".join([header, *(f"{name},car,{box}" for name in names)])


def coco(names: Iterable[str], categories: object = ({"id": 1, "name": "car"},)) -> str:
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [2, 2, 20, 20]} for n in range(len(images))]
    return json.dumps({"images": images, "annotations": boxes, "categories": categories})


def xmls(images: Iterable[str]) -> dict[str, str]:
    box = "<xmin>2</xmin><ymin>2</ymin><xmax>22</xmax><ymax>22</ymax>"
    text = f"<annotation><object><name>car</name><bndbox>{box}</bndbox></object></annotation>"
    return {image.replace("JPEGImages", "Annotations").replace(".png", ".xml"): text for image in images}


def rows(images: Iterable[str], folder: str = "labels") -> dict[str, str]:
    return {image.replace("images", folder, 1).replace(".png", ".txt"): "0 0.5 0.5 0.4 0.4\n" for image in images}


def yaml(train: str | None = "images/train", val: str | None = "images/val", more: str = "names: [car]") -> str:
    return more + "".join(f"\n{key}: {value}" for key, value in (("train", train), ("val", val)) if value)


TABLE = {"boxes.csv": table(pictures())}
CSV = {"format": "csv", "path": "{root}", **HALVES}

IN_7 = {"7/boxes.csv": table(pictures())}
SPANS = [
    Case("no folder", pictures(), TABLE, CSV | {"path": "{root}/a"}, "give the folder that", {"path": "{root}"}),
    Case("empty path", pictures(), TABLE, CSV | {"path": " "}, "give the folder that", {"path": "{root}"}),
    Case(
        "no folder of this pattern",
        pictures("day-one"),
        {"day-one/boxes.csv": table(pictures())},
        CSV | {"path": "{root}/day-{SPAN}"},
        r"stand for digits only, and there is .*/day-one; correct data.path",
        {"path": "{root}/day-one"},
    ),
    Case("span", pictures("7"), IN_7, CSV | {"path": "{root}/{SPAN}", "span": 3}, "not there; .*: 7", {"span": 7}),
    Case("no placeholder", pictures("7"), IN_7, CSV | {"span": 7}, "need {SPAN} in path", {"path": "{root}/{SPAN}"}),
    Case(
        "version without span",
        pictures("1/7"),
        {"1/7/boxes.csv": table(pictures())},
        CSV | {"path": "{root}/1/{VERSION}"},
        "{VERSION} needs {SPAN} before it",
        {"path": "{root}/{SPAN}/{VERSION}"},
    ),
    Case(
        "unknown placeholder",
        pictures("7"),
        IN_7,
        CSV | {"path": "{root}/{DAY}"},
        "unknown placeholder {DAY}; allowed: {SPAN}",
        {"path": "{root}/{SPAN}"},
    ),
]


WHERE_TO_LOOK = [
    Case("csv: path", pictures(), TABLE | {"raw/a": ""}, CSV | {"path": "{root}/raw"}, "check data.path", CSV),
    Case("csv: format", pictures(), TABLE, CSV | {"format": "coco"}, "check data.path and data.format", CSV),
    Case("voc: format", pictures(), TABLE, CSV | {"format": "pascal_voc"}, "check data.path and data.format", CSV),
    Case(
        "yolo: path",
        pictures("images"),
        rows(pictures("images")) | {"classes.txt": "car", "raw/classes.txt": "car"},
        CSV | {"format": "yolo", "path": "{root}/raw"},
        "no images found; check data.path and data.format",
        {"path": "{root}"},
    ),
    Case(
        "images elsewhere",
        pictures("kept"),
        {**TABLE, "other/note.txt": ""},
        CSV | {"images": "other"},
        "images are in: kept.*data.images names the folder",
        {"images": "kept"},
    ),
]

TRAIN, VAL = pictures("images/train", 0, 6), pictures("images/val", 6, 6)
YOLO = {"format": "yolo", "path": "{root}", **HALVES}
YOLO_FOLDERS = {"train": "images/train", "eval": "images/val"}


def of_yaml(name: str, text: str, message: str, *, mended: str | None = None, **advised: Any) -> Case:
    """A fault of a data.yaml that is mended, or overruled by settings."""
    texts = rows((*TRAIN, *VAL)) | {"data.yaml": text}
    return Case(name, (*TRAIN, *VAL), texts, YOLO, message, advised, {"data.yaml": mended} if mended else {})


UNLABELLED = Case(
    "",
    pictures("images"),
    rows(pictures("images"), "one") | rows(pictures("images"), "other") | {"classes.txt": "car"},
    YOLO,
    "expected labels in a folder `labels` beside `images`, or beside the images",
)
TWO = "two entries of one folder"
BOTH_LEAD = "both lead to images/train in .*; correct the paths, or name the folders in data.annotations"
DESCRIBED = [
    of_yaml(f"{TWO}: paths", yaml(val="../images/train"), BOTH_LEAD, mended=yaml()),
    of_yaml(f"{TWO}: annotations", yaml(val="../images/train"), BOTH_LEAD, annotations=YOLO_FOLDERS),
    of_yaml("val is train", yaml(val="images/train"), "Name another one there", mended=yaml()),
    of_yaml("no train", yaml(train=None), "name the folder of training images", mended=yaml()),
    of_yaml("no val", yaml(val=None), "write val: images/val", mended=yaml()),
    of_yaml("text", yaml(more="names: car, bus"), "write all classes as names: .first", mended=yaml()),
    of_yaml("twice", yaml(more="names: [car, car]"), "name each class once", mended=yaml()),
    of_yaml("count", yaml(more="nc: 2\nnames: [car]"), "correct one of them", mended=yaml(more="nc: 1\nnames: [car]")),
    of_yaml("no names", yaml(more="nc: 1"), "expected `names`|write one", mended=yaml()),
    Case(
        "nothing describes it",
        (*TRAIN, *VAL),
        rows((*TRAIN, *VAL)),
        YOLO,
        "expected one data.yaml .*; write one",
        mended={"data.yaml": yaml()},
    ),
    Case(
        "obj.data without names",
        pictures("images"),
        rows(pictures("images")) | {"obj.data": "train = train.txt", "train.txt": "\n".join(pictures("images"))},
        YOLO,
        "expected `names = FILE` with a file of class names",
        mended={"obj.data": "train = train.txt\nnames = obj.names", "obj.names": "car"},
    ),
    dataclasses.replace(UNLABELLED, name="labels in two places", moved={"one": "labels"}),
    dataclasses.replace(UNLABELLED, name="labels beside the images", mended=rows(pictures("images"), "images")),
]

VOC = {"format": "pascal_voc", "path": "{root}", **HALVES}
IN_FOLDERS = (*pictures("train", 0, 4), *pictures("val", 4, 4), *pictures("more", 8, 4))
OUTSIDE = Case("", IN_FOLDERS, xmls(IN_FOLDERS), VOC, "Move it to a split, name the files of each split in data.ann")


def of_lists(name: str, first: str, second: str) -> Case:
    """Lists of ImageSets/Main of which nobody knows which is which."""
    listed = {f"ImageSets/Main/{first}": "00\n01\n02", f"ImageSets/Main/{second}": "03\n04\n05"}
    images = pictures("JPEGImages", 0, 6)
    message = "which list is which split.*say which to read in data.annotations"
    advised = {"annotations": dict(zip(("train", "eval"), listed, strict=True))}
    return Case(name, images, xmls(images) | listed, VOC, message, advised)


COCO = {"format": "coco", "path": "{root}", **HALVES}
HALF, REST = pictures("", 0, 6), pictures("", 6, 6)
GIVEN = {"split": {"source": "given"}}
EMPTY_VAL = Case(
    "",
    pictures(),
    {"train.json": coco(HALF), "val.json": coco(())},
    COCO,
    "no images in the split eval.*correct its lists",
)
SPLITS = [
    of_lists("two lists of one split", "my_train.txt", "more_train.txt"),
    of_lists("lists of no split", "a.txt", "b.txt"),
    dataclasses.replace(OUTSIDE, name="outside: move", moved={"more": "train/more"}),
    dataclasses.replace(OUTSIDE, name="outside: name", advised={"annotations": {"train": "train", "eval": "val"}}),
    Case(
        "no eval",
        pictures(),
        {"train.json": coco(HALF), "rest.data": coco(REST)},
        COCO | GIVEN,
        "Name the files in data.annotations",
        {"annotations": {"train": "train.json", "eval": "rest.data"}},
    ),
    Case(
        "background",
        pictures("JPEGImages"),
        {**xmls(pictures("JPEGImages", 0, 11)), "ImageSets/Main/train.txt": "\n".join(f"{n:02}" for n in range(12))},
        VOC,
        r"another treatment in data.bad_input \(missing_annotation: background\)",
        {"bad_input": {"missing_annotation": "background"}},
    ),
    Case(
        "one file for both",
        pictures(),
        {"one.json": coco(HALF), "other.json": coco(REST)},
        COCO | {"annotations": {"train": "one.json", "eval": "one.json"}},
        "Name another one there",
        {"annotations": {"train": "one.json", "eval": "other.json"}},
    ),
    dataclasses.replace(EMPTY_VAL, name="empty split: lists", mended={"val.json": coco(REST)}),
    dataclasses.replace(
        EMPTY_VAL,
        name="empty split: annotations",
        texts={**EMPTY_VAL.texts, "rest.data": coco(REST)},
        message="name others in data.annotations",
        advised={"annotations": {"train": "train.json", "eval": "rest.data"}},
    ),
    Case(
        "split column",
        pictures(),
        {"boxes.csv": table(HALF, "2,2,22,22,train", f"{COLUMNS},split") + "\n11.png,car,2,2,22,22,holdout"},
        CSV,
        "'holdout' is none of train, .*val",
        mended={"boxes.csv": table(HALF, "2,2,22,22,train", f"{COLUMNS},split") + "\n11.png,car,2,2,22,22,val"},
    ),
    Case(
        "one image",
        pictures(count=1),
        {"boxes.csv": table(pictures(count=1))},
        CSV,
        "1 images cannot be divided into 2 splits: add some",
        mended={"boxes.csv": table(pictures())} | dict.fromkeys(pictures("", 1, 11)),
    ),
    Case(
        "few images",
        pictures(count=3),
        {"boxes.csv": table(pictures(count=3))},
        CSV | {"split": {"ratios": {"train": 0.95, "eval": 0.05}}},
        "or add images",
        mended={"boxes.csv": table(pictures(count=90))} | dict.fromkeys(pictures("", 3, 87)),
    ),
    Case(
        "ratios without eval",
        pictures(),
        TABLE,
        CSV | {"split": {"ratios": {"train": 1.0}}},
        "ratios must name train and eval",
        HALVES,
    ),
    Case(
        "two ways to group",
        pictures(),
        {"boxes.csv": table(pictures(), "2,2,22,22,a", f"{COLUMNS},video")},
        CSV | {"split": {"group_by": "video", "group_pattern": "[^/]+$"}},
        "set group_by or group_pattern, not both",
        {"split": HALVES["split"] | {"group_pattern": "[^/]+$"}},
    ),
    Case("no split named", pictures(), TABLE, CSV | {"annotations": {}}, "or be left out", {"annotations": None}),
]

MAP = CSV | {"label_map": "{root}/map"}
ITEM = "item { id: 1 name: 'car' }"
HEADERLESS = "\n".join(f"{name},2,2,22,22,car,1" for name in pictures())
WINE = table(pictures()) + "\n00.png,Gl\xfchwein,2,2,9,9"
WITH_COMMAS = table(pictures(), "2,2,22,22").replace(",", ";").replace("22", "22,5")
COLUMNS_OF_7 = "filename,xmin,ymin,xmax,ymax,class,n"
KEYPOINTS = "names: [car]\ntrain: images\nkpt_shape: {}"


def of_text(name: str, settings: Mapping[str, Any], file: str, text: str | bytes, message: str, mended: str) -> Case:
    """A fault in one file, beside which there is all that its format needs."""
    images, others = pictures(), {}
    if settings["format"] == "csv":
        others = TABLE
    elif settings["format"] == "yolo":
        images = pictures("images")
        others = rows(images) | {"data.yaml": yaml("images", None)}
    elif settings["format"] == "pascal_voc":
        others = xmls(images)
    return Case(name, images, {**others, file: text}, settings, message, mended={file: mended})


NAMELESS = coco(pictures()).replace('"file_name": "00', '"name": "00')
ONLY_TRAIN = yaml("images", None)
ONE_XML = xmls(["00.png"])["00.xml"]
TEXTS = [
    of_text("encoding", CSV, "boxes.csv", WINE.encode("latin-1"), "save the file as UTF-8", WINE),
    of_text("UTF-16", CSV, "boxes.csv", WINE.encode("utf-16-le"), "byte order mark; save the file as UTF-8", WINE),
    of_text("no header", CSV, "boxes.csv", HEADERLESS, "write a first line with", f"{COLUMNS_OF_7}\n{HEADERLESS}"),
    of_text(
        "comma", CSV, "boxes.csv", WITH_COMMAS, "a decimal comma; write a point", table(pictures(), "2,2,22.5,22.5")
    ),
    of_text("text", CSV, "boxes.csv", table(pictures(), "2,2,x,22"), "expected numbers", table(pictures())),
    of_text(
        "cut row", CSV, "boxes.csv", TABLE["boxes.csv"] + "\n01.png,car,2", "expected 6 as in line 1", table(pictures())
    ),
    of_text("metadata", CSV, "metadata.csv", "file,sky\n00.png,fog", "a `filename` column", "filename,sky\n00.png,fog"),
    of_text("categories", COCO, "a.json", coco(pictures(), ["car"]), "needs an `id` and a `name`", coco(pictures())),
    of_text("category list", COCO, "a.json", coco(pictures(), "car"), "`categories` must be a list", coco(pictures())),
    of_text("cut JSON", COCO, "a.json", coco(pictures())[:-9], "expected a COCO annotation file", coco(pictures())),
    of_text("bbox", COCO, "a.json", coco(pictures()).replace("bbox", "box"), "expected bbox .x, y", coco(pictures())),
    of_text("file name", COCO, "a.json", NAMELESS, "expected an object with `id` and `file_name`", coco(pictures())),
    of_text("XML root", VOC, "00.xml", "<car/>", "expected <annotation>, one file an image", ONE_XML),
    of_text("XML name", VOC, "00.xml", ONE_XML.replace("name>", "label>"), "expected <name> and <bndbox>", ONE_XML),
    of_text("XML box", VOC, "00.xml", ONE_XML.replace("22", "x"), "expected numbers in <xmin>", ONE_XML),
    of_text("YOLO row", YOLO, "labels/00.txt", "0 .5 .5 .4", "expected: class cx cy width height", "0 .5 .5 .4 .4"),
    of_text(
        "kpt_shape", YOLO, "data.yaml", KEYPOINTS.format("x"), "expected .number of key", KEYPOINTS.format("[1, 2]")
    ),
    of_text("folders", YOLO, "data.yaml", "names: [car]\ntrain: {a: b}", "expected a folder or a list", ONLY_TRAIN),
    of_text("no folders", YOLO, "data.yaml", yaml(None, None), "expected `train`, `val` or `test`", ONLY_TRAIN),
    of_text("YAML list", YOLO, "data.yaml", "- car", "expected a map with `names`", ONLY_TRAIN),
    of_text("numbers", YOLO, "data.yaml", yaml("images", None, "names: {a: car}"), "a map of numbers", ONLY_TRAIN),
    of_text("label map: item", MAP, "map", "item { name: 'car' }", "needs `id` and `name`", ITEM),
    of_text("label map: text", MAP, "map", "item { id 1 }", "Expected `item { id: 1 name: 'x' }`", ITEM),
    of_text("label map: id 0", MAP, "map", "item { id: 0 name: 'car' }", "ids start at 1", ITEM),
    of_text("label map: empty", MAP, "map", "", "expected one name a line", "car"),
    Case(
        "label map: json",
        pictures(),
        {**TABLE, "map.json": "{}", "map.txt": "car"},
        CSV | {"label_map": "{root}/map.json"},
        "or a labels.txt with one name a line",
        {"label_map": "{root}/map.txt"},
    ),
    Case(
        "reversed corners",
        pictures(),
        {"boxes.csv": table(pictures(), "22,22,2,2")},
        CSV,
        r"looks like x, y, width and height.*Correct the data or choose another treatment .*box_inverted: swap\)$",
        mended=TABLE,
        unsaid="raise the limit",
    ),
    Case(
        "unknown class",
        pictures(),
        {**TABLE, "map": "bus"},
        MAP,
        "Correct the data$",
        mended={"map": "car"},
        unsaid="raise|treatment",
    ),
    Case(
        "lost images",
        pictures(),
        {"boxes.csv": table(pictures("", 2, 14))},
        CSV,
        "Correct the data or raise the limit",
        {"max_skipped_images": 0.5},
        unsaid="another treatment",
    ),
    Case(
        "lost boxes",
        pictures(),
        {"boxes.csv": table(pictures()) + "\n00.png,car,3,3,x,9"},
        CSV,
        "Correct the data or raise the limit$",
        {"max_dropped_boxes": 0.5},
    ),
    Case(
        "some sizes exchanged",
        pictures(),
        {
            "boxes.csv": table(pictures(count=9), "2,2,22,22,,", f"{COLUMNS},width,height")
            + "\n"
            + "\n".join(f"{name},car,2,2,35,9,30,40" for name in pictures("", 9, 3))
        },
        CSV,
        "data.bad_input.size_mismatch: file",
        {"bad_input": {"size_mismatch": "file"}},
    ),
    Case(
        "GIF",
        pictures(),
        {**TABLE, "00.png": b"GIF89a" + bytes(30)},
        CSV,
        "expected JPEG or PNG",
        mended={"00.png": None},
    ),
    Case(
        "fail",
        pictures(),
        {"boxes.csv": table(pictures("", 0, 13))},
        CSV | {"bad_input": {"missing_image": "fail"}, "max_skipped_images": 0.1},
        r"another treatment in data.bad_input \(missing_image: skip\)$",
        {"bad_input": {"missing_image": "skip"}},
        unsaid="raise the limit",
    ),
]


def _write(root: pathlib.Path, files: Mapping[str, str | bytes | None], image_bytes: Callable[..., bytes]) -> None:
    for seed, (path, content) in enumerate(files.items()):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        content = image_bytes(40, 30, "PNG", seed=seed) if content is None else content
        file.write_bytes(content.encode() if isinstance(content, str) else content)


def _settings(root: pathlib.Path, values: Mapping[str, Any]) -> DataSettings:
    paths = {key: value.replace("{root}", str(root)) for key, value in values.items() if isinstance(value, str)}
    return DataSettings(**{**values, **paths})


CASES = [*SPANS, *WHERE_TO_LOOK, *DESCRIBED, *SPLITS, *TEXTS]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_advice_helps(case: Case, tmp_path: pathlib.Path, image_bytes: Callable[..., bytes]) -> None:
    _write(tmp_path, {**dict.fromkeys(case.images), **case.texts}, image_bytes)
    found = _stops(tmp_path, case.settings)
    assert re.search(case.message, found, re.DOTALL), found
    assert case.unsaid is None or not re.search(case.unsaid, found), found

    _write(tmp_path, case.mended, image_bytes)
    for path, other in case.moved.items():
        (tmp_path / path).rename(tmp_path / other)
    followed = survey(_settings(tmp_path, {**case.settings, **case.advised}))
    assert not followed.stops
    assert all(followed.summary.boxes[split] for split in ("train", "eval"))


def _stops(root: pathlib.Path, settings: Mapping[str, Any]) -> str:
    """Why it does not go on: the first thing that is found, if it is not the message itself, and the message."""
    try:
        read = survey(_settings(root, settings))
    except ValueError as error:
        return str(error)
    assert read.stops, "the case is none: it goes on"
    return "\n".join([*(finding.found for finding in read.findings[:1]), *read.stops])
