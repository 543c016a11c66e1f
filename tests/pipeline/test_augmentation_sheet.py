"""The sheet has a row for every augmentation there is, drawn from records or from data, by the training's own code."""

from __future__ import annotations

import pathlib

import pytest
import tensorflow as tf
from PIL import Image

from components.trainer.augmentation_settings import AugmentationSettings
from pipeline import augmentation_sheet
from pipeline.augmentation_sheet import EXAMPLE_GEN, rows, training_records
from pipeline.box_drawing import class_colours
from pipeline.config import PipelineConfig, load_config
from pipeline.verbs import augmentations

COUNT = 6


@pytest.fixture
def config(tmp_path: pathlib.Path) -> pathlib.Path:
    """A config of pictures with an orange cup on each."""
    images, labels = tmp_path / "images" / "train", tmp_path / "labels" / "train"
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for number in range(COUNT):
        picture = Image.new("RGB", (80, 60), (40 + number, 60, 80))
        picture.paste((230, 120, 30), (16, 12, 56, 42))
        picture.save(images / f"{number}.png")
        (labels / f"{number}.txt").write_text("0 0.45 0.45 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text("names: [cup]\ntrain: images/train\nval: images/train\n")
    file = tmp_path / "cups.yaml"
    file.write_text(
        f"name: cups\nroot: {tmp_path}/runs\ndata: {{format: yolo, path: {tmp_path}, split: {{source: hash}}}}\n"
        "model: {image_size: [64, 64], options: {alpha: 0.35}}\n"
        "train: {batch_size: 4, augmentation: {horizontal_flip: 0.0, crop: 0.0, zoom_out: 0.0, brightness: 0.0, "
        "contrast: 0.0, saturation: 0.0, hue: 0.0, vertical_flip: 0.5}}\n"
    )
    return file


def test_a_row_for_each_kind_alone_and_for_all() -> None:
    some = AugmentationSettings(horizontal_flip=0.0, crop=0.0, zoom_out=0.1, mosaic=0.3, hue=0.0)
    found = {title: settings for title, settings, _ in rows(some)}
    assert list(found) == [
        "as they are",
        "zoom_out: of 10% of the images",
        "mosaic: of 30% of the images",
        "colour: brightness, contrast, saturation",
        *(f"all as configured, draw {number}" for number in (1, 2, 3)),
    ]
    alone = found["mosaic: of 30% of the images"]
    assert alone is not None
    assert (alone.mosaic, alone.zoom_out, alone.brightness) == (1.0, 0.0, 0.0)
    assert {step for *_, step in rows(some)} == {0, 1, 2}


def test_the_verb_draws_boxes_where_the_paint_is(
    config: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert augmentations.main(["--config", str(config), "--output", str(tmp_path / "s.png"), "--images", "4"]) == 0
    assert str(tmp_path) in capsys.readouterr().out
    with Image.open(tmp_path / "s.png") as sheet:
        # As they are, upside down, three draws of both; four cells of 300 x 300.
        assert sheet.size == (12 + 4 * 312, 12 + 5 * 336)
        colour = class_colours(["cup"])["cup"]
        # The left edge of the box, half-way down: at 0.2 and 0.45 of the picture, upside down at 0.55.
        assert sheet.getpixel((12 + 61, 12 + 24 + 135)) == colour
        assert sheet.getpixel((12 + 61, 12 + 336 + 24 + 165)) == colour
        red, green, blue = sheet.getpixel((12 + 150, 12 + 24 + 200))
        assert red > 200 > green > blue


def test_data_with_metadata_columns(config: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "metadata.csv").write_text("filename,weather\nimages/train/0.png,fog\n")
    records, _ = training_records(load_config(config))
    assert len(records) >= 4


def test_records_of_a_run_are_taken_where_there_are_some(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "runs" / "cups" / EXAMPLE_GEN / "examples" / "11" / "Split-train"
    older = folder.parents[1] / "2" / "Split-train"
    for place, content in ((folder, b"newest"), (older, b"older")):
        place.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(place / "data.gz"), "GZIP") as writer:
            writer.write(content)
    config = PipelineConfig.model_validate(
        {"name": "cups", "root": str(tmp_path / "runs"), "data": {"format": "coco", "path": "nowhere"}}
    )
    assert training_records(config) == ([b"newest"], str(folder.parent))


def test_nothing_to_draw_is_said(config: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert augmentations.main(["--config", str(config), "--set", "train.augmentation=null"]) == 2
    assert "there is nothing to draw" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        augmentations.main(["--config", str(config), "--images", "3"])
    assert "at least 4" in capsys.readouterr().err


def test_kinds_are_those_of_the_settings() -> None:
    shares = {*augmentation_sheet._KINDS, *augmentation_sheet._COLOUR}
    assert shares <= AugmentationSettings.model_fields.keys()
    # Every field whose default is a probability of something is a row, or limits one.
    others = AugmentationSettings.model_fields.keys() - shares
    limits = ("_min", "_max", "_jitter", "_range", "_objects", "_rarity", "_until", "_visible")
    assert [name for name in others if not any(part in name for part in limits)] == []
