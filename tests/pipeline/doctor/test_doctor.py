"""``python -m pipeline doctor``, as a person runs it."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
from PIL import Image

import pipeline
from pipeline.config import load_config
from pipeline.doctor.layout import NoLayoutError, layouts
from pipeline.doctor.survey import survey
from pipeline.verbs.doctor import main

REPOSITORY = pathlib.Path(pipeline.__file__).parents[1]


def test_what_it_says_of_each_format(
    data_of_format: tuple[str, pathlib.Path], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, folder = data_of_format
    sheet = tmp_path / "sheet.png"
    assert main([str(folder), "--sheet", str(sheet)]) == 0
    said = capsys.readouterr().out
    assert f"Format      {name} (" in said
    assert "Classes     1: cup 12\nFindings    none\n" in said
    with Image.open(sheet) as drawn:
        assert drawn.format == "PNG" and drawn.width > 1000

    config_file = tmp_path / "config.yaml"
    lines = said.rstrip().splitlines()[-5:]
    config_file.write_text("\n".join(lines))
    config = load_config(config_file)
    assert (config.name, config.data.format, config.data.path) == ("my-cups", name, str(folder))
    summary = survey(config.data).summary
    assert (sum(summary.images.values()), sum(summary.boxes.values())) == (12, 12)


def test_no_tensorflow_no_beam_no_tfx(data_of_format: tuple[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    code = "import sys; from pipeline.__main__ import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    arguments = ["doctor", str(data_of_format[1]), "--sheet", str(tmp_path / "sheet.png")]
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"tensorflow", "apache_beam", "tfx", "pandas"} & set(ran.stderr.split())


def test_the_same_folder_for_train_and_val(yolo_folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (yolo_folder / "data.yaml").write_text("names: [cup]\ntrain: images/train\nval: images/train\n")
    assert main([str(yolo_folder), "--sheet", str(yolo_folder / "sheet.png")]) == 0
    said = capsys.readouterr().out
    assert "eval would be an evaluation on training images" in said
    assert "split: {source: hash}" in said


def test_what_would_stop_a_run_and_an_example_of_each_finding(
    yolo_folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (yolo_folder / "labels").rglob("*.txt"):
        path.write_text("0 15 10.5 20 15\n")
    assert main([str(yolo_folder), "--sheet", str(yolo_folder / "sheet.png")]) == 1
    said = capsys.readouterr().out
    assert "12 box_unit: a box in 0..1 where the format has pixels" in said
    assert "line 1: xmin 5, ymin 3, xmax 25, ymax 18" in said
    assert "Would stop  bad input: 12 of 12 boxes dropped" in said
    assert "data.bad_input.box_unit: convert" in said


def test_two_formats_in_one_folder(
    yolo_folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"images/train/{number:02}.png,cup,8,6,28,21" for number in range(9)]
    (yolo_folder / "boxes.csv").write_text("\n".join(["filename,class,xmin,ymin,xmax,ymax", *rows]))
    sheet = ["--sheet", str(tmp_path_factory.mktemp("sheet") / "sheet.png")]
    assert main([str(yolo_folder), *sheet]) == 0
    assert "or csv (boxes.csv): look at it with --format csv" in capsys.readouterr().out
    assert main([str(yolo_folder), "--format", "csv", *sheet]) == 0
    said = capsys.readouterr().out
    assert "Format      csv (boxes.csv)" in said
    assert "3 of 12 image files in the folder are in no annotation" in said
    assert main([str(yolo_folder), "--format", "coco", *sheet]) == 1
    assert "has no files of the format coco, but of yolo, csv" in capsys.readouterr().err


def test_a_folder_with_nothing_to_read(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, expected in (
        (tmp_path / "none", "is not there"),
        (tmp_path / "empty", "is empty. Expected one of"),
        (tmp_path / "images", "holds 1 images and nothing else: annotations are missing, or lie in a folder beside"),
        (tmp_path / "other", "but no annotations that are read (other files: 1 .docx)"),
        (tmp_path / "other" / "a.docx", "is a file; give the folder it is in"),
    ):
        if folder.name == "images":
            folder.mkdir()
            Image.new("RGB", (4, 4)).save(folder / "a.png")
        elif folder.name in ("empty", "other"):
            folder.mkdir()
        if folder.name == "other":
            (folder / "a.docx").write_text("")
        assert main([str(folder)]) == 1
        assert expected in capsys.readouterr().err


def test_twelve_bits_in_sixteen_are_almost_black(yolo_folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (yolo_folder / "images").rglob("*.png"):
        image = Image.new("I;16", (40, 30))
        image.putdata([4095 if index % 2 else 0 for index in range(1200)])
        image.save(path)
    assert main([str(yolo_folder), "--sheet", str(yolo_folder / "sheet.png")]) == 1
    assert "12 of the 12 pictures on the sheet are almost black" in capsys.readouterr().out


@pytest.mark.parametrize(
    "table",
    [
        "ImageID,LabelName,XMin,XMax,YMin,YMax\na.jpg,car,1,20,1,20\n",
        "a.jpg,1,1,20,20,car\n",
        "filename;class;xmin;ymin;xmax;ymax\na.jpg;car;1;1;20;20\n",
    ],
)
def test_tables_of_other_tools_are_told(table: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "boxes.csv").write_text(table)
    assert [layout.format for layout in layouts(str(tmp_path))] == ["csv"]


def test_a_file_of_all_images_is_no_pascal_voc(tmp_path: pathlib.Path) -> None:
    (tmp_path / "annotations.xml").write_text("<?xml version='1.0'?><annotations><image/></annotations>")
    with pytest.raises(NoLayoutError, match="no annotations that are read"):
        layouts(str(tmp_path))
