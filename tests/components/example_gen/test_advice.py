"""What a message advises is done here: the fault, then the same with the advice followed, which has to go on.

``test_advice_on_reading`` has what needs no Beam.
"""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.user_error import user_error_message
from components.validation.learnable_checks import learnable_checks
from components.validation.settings import ValidationSettings

Build = Callable[[pathlib.Path, Callable[..., bytes]], dict[str, Any]]


def _images(folder: pathlib.Path, image_bytes: Callable[..., bytes], count: int, first: int = 0) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:02}.png" for number in range(first, first + count)]
    for number, name in enumerate(names, start=first):
        (folder / name).write_bytes(image_bytes(40, 30, "PNG", seed=number))
    return names


def _coco(file: pathlib.Path, names: list[str], boxes: list[list[float]]) -> None:
    images = [{"id": number, "file_name": name, "width": 40, "height": 30} for number, name in enumerate(names)]
    annotations = [
        {"id": number * len(boxes) + index, "image_id": number, "category_id": 1, "bbox": box}
        for number in range(len(names))
        for index, box in enumerate(boxes)
    ]
    tree = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "car"}]}
    file.write_text(json.dumps(tree))


def _yolo(root: pathlib.Path, folder: str, names: list[str], row: str) -> None:
    labels = root / "labels" / folder
    labels.mkdir(parents=True, exist_ok=True)
    for name in names:
        (labels / name).with_suffix(".txt").write_text(row)


def corners_for_sizes(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    _coco(root / "train.json", _images(root, image_bytes, 12), [[20, 15, 38, 28], [2, 2, 20, 20]])
    return {"format": "coco"}


def fractions_for_pixels(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    _coco(root / "train.json", _images(root, image_bytes, 12), [[0.25, 0.2, 0.5, 0.6]])
    return {"format": "coco"}


def pixels_for_fractions(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    for split, first in (("train", 0), ("val", 6)):
        _yolo(root, split, _images(root / "images" / split, image_bytes, 6, first), "0 20 15 20 18\n")
    (root / "data.yaml").write_text("names: [car]\ntrain: images/train\nval: images/val\n")
    return {"format": "yolo"}


def exchanged_corners(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    rows = [f"{name},car,20,15,10,9" for name in _images(root, image_bytes, 12)]
    (root / "boxes.csv").write_text("\n".join(["filename,class,xmin,ymin,xmax,ymax", *rows]))
    return {"format": "csv"}


def exchanged_sizes(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    rows = [f"{name},30,40,car,2,2,35,9" for name in _images(root, image_bytes, 12)]
    (root / "boxes.csv").write_text("\n".join(["filename,width,height,class,xmin,ymin,xmax,ymax", *rows]))
    return {"format": "csv"}


def no_val_key(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    for split, first in (("train", 0), ("val", 6)):
        _yolo(root, split, _images(root / "images" / split, image_bytes, 6, first), "0 0.5 0.5 0.4 0.4\n")
    (root / "data.yaml").write_text("names: [car]\ntrain: images/train\n")
    return {"format": "yolo"}


def val_is_train(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    _yolo(root, "train", _images(root / "images" / "train", image_bytes, 12), "0 0.5 0.5 0.4 0.4\n")
    (root / "data.yaml").write_text("names: [car]\ntrain: images/train\nval: images/train\n")
    return {"format": "yolo"}


def one_file_for_both(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    _coco(root / "all.json", _images(root, image_bytes, 12), [[2, 2, 20, 20]])
    return {"format": "coco", "annotations": {"train": "all.json", "eval": "all.json"}}


def val_lists_nothing(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    _coco(root / "train.json", _images(root, image_bytes, 12), [[2, 2, 20, 20]])
    _coco(root / "val.json", [], [])
    return {"format": "coco"}


def few_images(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    _coco(root / "all.json", _images(root, image_bytes, 6), [[2, 2, 20, 20]])
    return {"format": "coco", "split": {"ratios": {"train": 0.99, "eval": 0.01}}}


def no_eval(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    _coco(root / "train.json", _images(root, image_bytes, 12), [[2, 2, 20, 20]])
    return {"format": "coco", "split": {"source": "given"}}


def several_files(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    names = _images(root, image_bytes, 12)
    _coco(root / "one.json", names[:8], [[2, 2, 20, 20]])
    _coco(root / "other.json", names[8:], [[2, 2, 20, 20]])
    return {"format": "coco"}


def images_elsewhere(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    for folder in ("kept", "old"):
        _images(root / folder, image_bytes, 12)
    _coco(root / "all.json", [f"{number:02}.png" for number in range(12)], [[2, 2, 20, 20]])
    return {"format": "coco"}


def no_class_names(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    _yolo(root, "", _images(root / "images", image_bytes, 12), "0 0.5 0.5 0.4 0.4\n")
    (root / "names").mkdir()
    (root / "names" / "cars.txt").write_text("car\n")
    return {"format": "yolo"}


def no_training_images_named(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    val_is_train(root, image_bytes)
    (root / "data.yaml").write_text("names: [car]\nval: images/train\n")
    return {"format": "yolo"}


def some_outside_of_the_splits(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    for folder, first in (("train", 0), ("val", 4), ("more", 8)):
        for name in _images(root / folder, image_bytes, 4, first):
            (root / folder / name).with_suffix(".xml").write_text(
                "<annotation><object><name>car</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>22</xmax>"
                "<ymax>22</ymax></bndbox></object></annotation>"
            )
    return {"format": "pascal_voc"}


def two_data_sets(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    for name in ("one", "other"):
        (root / name).mkdir()
        pixels_for_fractions(root / name, image_bytes)
    return {"format": "yolo", "bad_input": {"box_unit": "convert"}}


def another_json_file(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    _coco(root / "boxes.dat", _images(root, image_bytes, 12), [[2, 2, 20, 20]])
    (root / "captions.json").write_text("{}")
    return {"format": "coco"}


def table_of_another_name(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    rows = [f"{name},car,2,2,22,22" for name in _images(root, image_bytes, 12)]
    (root / "boxes.tsv").write_text("\n".join(["filename,class,xmin,ymin,xmax,ymax", *rows]))
    return {"format": "csv"}


def train_again_as_val(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    names = _images(root, image_bytes, 12)
    for file in ("train.json", "val.json"):
        _coco(root / file, names, [[2, 2, 20, 20]])
    return {"format": "coco"}


def misspelt_group(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    rows = [f"{name},car,2,2,22,22,{number}" for number, name in enumerate(_images(root, image_bytes, 12))]
    (root / "boxes.csv").write_text("\n".join(["filename,class,xmin,ymin,xmax,ymax,video", *rows]))
    return {"format": "csv", "split": {"group_by": "vidoe"}}


def _records(file: pathlib.Path, image_bytes: Callable[..., bytes], class_name: str = "") -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(file)) as writer:
        for number in range(12):
            example = tf.train.Example()
            values = example.features.feature
            values["image/encoded"].bytes_list.value.append(image_bytes(40, 30, "PNG", seed=number))
            values["image/source_id"].bytes_list.value.append(f"{number:02}.png".encode())
            for key, fraction in (("xmin", 0.1), ("ymin", 0.2), ("xmax", 0.5), ("ymax", 0.6)):
                values[f"image/object/bbox/{key}"].float_list.value.append(fraction)
            values["image/object/class/label"].int64_list.value.append(1)
            if class_name:
                values["image/object/class/text"].bytes_list.value.append(class_name.encode())
            writer.write(example.SerializeToString())


def records_of_another_name(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    _records(root / "boxes.dat", image_bytes, "car")
    return {"format": "tfrecord"}


def records_without_class_names(root: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, Any]:
    _records(root / "boxes.tfrecord", image_bytes)
    (root / "names.txt").write_text("car\n")
    return {"format": "tfrecord"}


BY_FOLDER = {"train": "images/train", "eval": "images/val"}
BY_HASH = {"split": {"source": "hash"}}
CASES = [
    (corners_for_sizes, "looks like corners .* data.max_clipped_boxes|raise the limit", {"max_clipped_boxes": 1.0}, 24),
    (fractions_for_pixels, "data.bad_input.box_unit: convert", {"bad_input": {"box_unit": "convert"}}, 12),
    (pixels_for_fractions, "data.bad_input.box_unit: convert", {"bad_input": {"box_unit": "convert"}}, 12),
    (exchanged_corners, "data.bad_input.box_inverted: swap", {"bad_input": {"box_inverted": "swap"}}, 12),
    (exchanged_sizes, "data.bad_input.size_mismatch: file", {"bad_input": {"size_mismatch": "file"}}, 12),
    (no_val_key, "folder of each split in data.annotations", {"annotations": BY_FOLDER}, 12),
    (val_is_train, "evaluation on training images.*data.split.source to `hash`", BY_HASH, 12),
    (one_file_for_both, "evaluation on training images.*data.split.source to `hash`", BY_HASH, 12),
    (val_lists_nothing, "no images in the split eval.*data.split.source to `hash`", BY_HASH, 12),
    (few_images, "raise its share in data.split.ratios", {"split": {"ratios": {"train": 0.5, "eval": 0.5}}}, 6),
    (no_eval, "set data.split.source to `hash`", BY_HASH, 12),
    (several_files, "data.annotations", {"annotations": {"train": "one.json", "eval": "other.json"}}, 12),
    (images_elsewhere, "data.images", {"images": "kept"}, 12),
    (no_class_names, "name a file of class names in data.label_map", {"label_map": "{root}/names/cars.txt"}, 12),
    (no_training_images_named, "set data.annotations", {"annotations": "images/train"}, 12),
    (some_outside_of_the_splits, "set data.split.source to `hash`", BY_HASH, 12),
    (two_data_sets, "set data.path to one data set", {"path": "{root}/one"}, 12),
    (another_json_file, "name the right file in data.annotations", {"annotations": "boxes.dat"}, 12),
    (table_of_another_name, "or name them in data.annotations", {"annotations": "boxes.tsv"}, 12),
    (train_again_as_val, "name each file of annotations once in data.annotations", {"annotations": "train.json"}, 12),
    (train_again_as_val, "evaluation would be on training images.*set data.split.source to `hash`", BY_HASH, 12),
    (records_of_another_name, "name them in data.annotations", {"annotations": "*.dat"}, 12),
    (records_without_class_names, "set data.label_map", {"label_map": "{root}/names.txt"}, 12),
    (misspelt_group, "data.split.group_by: .* did you mean 'video'", {"split": {"group_by": "video"}}, 12),
]


@pytest.mark.parametrize(("build", "message", "advised", "boxes"), CASES, ids=[case[0].__name__ for case in CASES])
def test_the_advice_helps(
    build: Build,
    message: str,
    advised: dict[str, Any],
    boxes: int,
    tmp_path: pathlib.Path,
    run: Callable[..., Any],
    image_bytes: Callable[..., bytes],
) -> None:
    limits = {"max_skipped_images": 0.01, "max_dropped_boxes": 0.01, "path": str(tmp_path)}
    settings = limits | build(tmp_path, image_bytes)
    with pytest.raises(Exception, match=r".") as raised:
        run(**settings)
    found = user_error_message(raised.value) or repr(raised.value)
    if "findings.jsonl" in found:
        file = pathlib.Path(next(word for word in found.split() if "findings.jsonl" in word).rstrip(".,;)"))
        found += file.read_text()
    assert re.search(message, found, re.DOTALL), found

    followed = {key: value.format(root=tmp_path) if isinstance(value, str) else value for key, value in advised.items()}
    result = run(**(settings | followed))
    assert sum(result.summary.boxes.values()) == boxes
    assert all(result.summary.images[split] for split in ("train", "eval"))


def test_copies_that_are_divided_by_their_names_stay_together(
    tmp_path: pathlib.Path, run: Callable[..., Any], image_bytes: Callable[..., bytes]
) -> None:
    """What ``validation.copied_splits`` advises."""
    for split in ("train", "val"):
        _yolo(tmp_path, split, _images(tmp_path / "images" / split, image_bytes, 12), "0 0.5 0.5 0.4 0.4\n")
    (tmp_path / "data.yaml").write_text("names: [car]\ntrain: images/train\nval: images/val\n")
    result = run(format="yolo", path=str(tmp_path), split={"source": "hash", "group_pattern": "[^/]+$"})
    names = {split: {pathlib.Path(key).name for key in result.source_ids(split)} for split in ("train", "eval")}
    assert names["train"] and names["eval"] and not names["train"] & names["eval"]


def test_pictures_that_use_their_whole_range_are_not_dark(
    tmp_path: pathlib.Path, run: Callable[..., Any], image_bytes: Callable[..., bytes]
) -> None:
    """What ``validation.dark_images`` advises on twelve bits in a PNG of sixteen."""
    _coco(tmp_path / "all.json", _images(tmp_path, image_bytes, 12), [[2, 2, 20, 20]])
    dark = []
    for factor in (1, 16):
        pixels = (np.linspace(0, 4095, 1200).reshape(30, 40) * factor).astype(np.uint16)
        for number in range(12):
            pixels[0, 0] = number
            Image.fromarray(pixels).save(tmp_path / f"{number:02}.png")
        profiles = run(format="coco", path=str(tmp_path)).profiles
        checks = learnable_checks(profiles, ValidationSettings())
        dark.append([check.status for check in checks if check.check == "dark_images"])
    assert dark == [["failed"] * 2, ["passed"] * 2]
