"""One small data set in each format, made with nothing but Pillow and text."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import pytest
from PIL import Image

COUNT = 12
BOX = (8, 6, 28, 21)  # xmin, ymin, xmax, ymax of 40 x 30 pixels


def picture(seed: int) -> Image.Image:
    image = Image.new("RGB", (40, 30), (40 + seed, 60, 80))
    image.paste((230, 120, 30), BOX)
    return image


def _pictures(folder: pathlib.Path, first: int = 0, count: int = COUNT) -> list[pathlib.Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:02}.png" for number in range(first, first + count)]
    for number, path in enumerate(paths, start=first):
        picture(number).save(path)
    return paths


def coco(root: pathlib.Path) -> None:
    names = [path.name for path in _pictures(root)]
    xmin, ymin, xmax, ymax = BOX
    tree = {
        "images": [{"id": i, "file_name": name, "width": 40, "height": 30} for i, name in enumerate(names)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [xmin, ymin, xmax - xmin, ymax - ymin]}
            for i in range(COUNT)
        ],
        "categories": [{"id": 1, "name": "cup"}],
    }
    (root / "boxes.json").write_text(json.dumps(tree))


def yolo(root: pathlib.Path) -> None:
    for split, first, count in (("train", 0, 9), ("val", 9, 3)):
        labels = root / "labels" / split
        labels.mkdir(parents=True)
        for path in _pictures(root / "images" / split, first, count):
            (labels / path.with_suffix(".txt").name).write_text("0 0.45 0.45 0.5 0.5\n")
    (root / "data.yaml").write_text("names: [cup]\ntrain: images/train\nval: images/val\n")


def pascal_voc(root: pathlib.Path) -> None:
    corners = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), BOX, strict=True)
    )
    for path in _pictures(root):
        path.with_suffix(".xml").write_text(
            f"<annotation><filename>{path.name}</filename><size><width>40</width><height>30</height></size>"
            f"<object><name>cup</name><bndbox>{corners}</bndbox></object></annotation>"
        )


def csv(root: pathlib.Path) -> None:
    rows = [f"{path.name},cup,{','.join(map(str, BOX))}" for path in _pictures(root)]
    (root / "boxes.csv").write_text("\n".join(["filename,class,xmin,ymin,xmax,ymax", *rows]))


def tfrecord(root: pathlib.Path) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(root / "all.tfrecord")) as writer:
        for path in _pictures(root / "pictures"):
            example = tf.train.Example()
            values = example.features.feature
            values["image/encoded"].bytes_list.value.append(path.read_bytes())
            values["image/filename"].bytes_list.value.append(path.name.encode())
            values["image/object/class/text"].bytes_list.value.append(b"cup")
            for key, value, side in zip(("xmin", "ymin", "xmax", "ymax"), BOX, (40, 30, 40, 30), strict=True):
                values[f"image/object/bbox/{key}"].float_list.value.append(value / side)
            writer.write(example.SerializeToString())


@pytest.fixture(params=[coco, yolo, pascal_voc, csv, tfrecord], ids=lambda make: make.__name__)
def data_of_format(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> tuple[str, pathlib.Path]:
    """A format and a folder in it: ``COUNT`` images with one box each."""
    make: Callable[[pathlib.Path], None] = request.param
    folder = tmp_path / "My Cups"
    folder.mkdir()
    make(folder)
    return make.__name__, folder


@pytest.fixture
def yolo_folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A YOLO data set."""
    yolo(tmp_path)
    return tmp_path
