from __future__ import annotations

import io
import pathlib

import pytest
from PIL import Image

from components.example_gen.settings import DataSettings
from pipeline.box_drawing import class_colours
from pipeline.doctor.sheet import choose, draw_sheet
from pipeline.doctor.survey import Picture, Survey, survey


@pytest.fixture
def looked(yolo_folder: pathlib.Path) -> Survey:
    return survey(DataSettings(format="yolo", path=str(yolo_folder)))


def test_pictures_of_every_split(looked: Survey) -> None:
    chosen = choose(looked.pictures, 4)
    assert len(chosen) == 4 == len({picture.file for picture in chosen})
    assert {picture.split for picture in chosen} == {"train", "eval"}
    assert choose(looked.pictures, 12) == list(looked.pictures)
    assert choose([], 12) == []


def test_boxes_are_where_they_belong(looked: Survey) -> None:
    (shown,) = looked.load(looked.pictures[:1])
    sheet = draw_sheet([shown], looked.classes)
    colour = class_colours(["cup"])["cup"]
    # The cell starts at (16, 16), is 460 wide and shows 40 x 30 pixels: the box's left edge, half-way down.
    assert sheet.getpixel((16 + round(8 / 40 * 460) + 1, 16 + round(13.5 / 30 * 345))) == colour
    assert sheet.getpixel((16 + round(18 / 40 * 460), 16 + round(13.5 / 30 * 345))) != colour


def test_a_picture_that_does_not_decode_is_said(looked: Survey) -> None:
    output = io.BytesIO()
    Image.effect_noise((80, 60), 90).save(output, "JPEG")
    sheet = draw_sheet([(looked.pictures[0], output.getvalue()[:-500])], looked.classes)
    assert sheet.getpixel((300, 300)) == (228, 228, 224)


def test_a_data_set_without_a_picture_has_a_sheet_all_the_same() -> None:
    none: list[tuple[Picture, bytes]] = []
    assert draw_sheet(none, {}).size[0] > 0


def test_colours_of_many_classes_differ() -> None:
    names = [str(number) for number in range(40)]
    assert len(set(class_colours(names).values())) == 40
