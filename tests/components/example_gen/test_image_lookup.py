from __future__ import annotations

import pathlib
import unicodedata

import pytest

from components.example_gen.annotations import RecordSkippedError
from components.example_gen.image_lookup import FoundImage, ImageFinder, same_stem
from components.example_gen.settings import DataSettings


def finder(folder: pathlib.Path, **settings) -> ImageFinder:
    return ImageFinder(DataSettings(format="coco", path=str(folder), **settings))


def make(folder: pathlib.Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"")


@pytest.mark.parametrize(
    ("on_disk", "asked"),
    [
        ("a.jpg", "a.jpg"),
        ("a.JPG", "a.jpg"),
        ("a.jpeg", "a.jpg"),
        ("a.jfif", "a.jpg"),
        ("a.png", "a"),
        ("a.1.jpg", "a.1"),
        ("a.jpg", " a.jpg\r"),
        ("sub folder/ä.jpg", "sub folder/ä.jpg"),
        ("sub/a.jpg", "sub\\a.jpg"),
        (unicodedata.normalize("NFD", "größe.jpg"), unicodedata.normalize("NFC", "größe.jpg")),
    ],
)
def test_an_image_is_found_by_what_annotations_call_it(tmp_path, on_disk: str, asked: str) -> None:
    make(tmp_path, "images/" + on_disk)
    found = finder(tmp_path, images="images").find(str(tmp_path), ["", "images"], asked, None, "line 1")
    assert found == FoundImage("images/" + on_disk)


@pytest.mark.parametrize(
    ("asked", "split", "path"),
    [
        ("c.jpg", None, "x/deep/c.jpg"),
        ("C.JPG", None, "x/deep/c.jpg"),
        ("a.jpg", "train", "train2017/a.jpg"),
        ("a.jpg", "eval", "val2017/a.jpg"),
        ("/content/set/val2017/a.jpg", None, "val2017/a.jpg"),
    ],
)
def test_a_name_that_leads_nowhere_is_looked_up_in_the_whole_folder(tmp_path, asked, split, path) -> None:
    make(tmp_path, "x/deep/c.jpg", "train2017/a.jpg", "val2017/a.jpg")
    assert finder(tmp_path).find(str(tmp_path), ["annotations"], asked, split, "line 1") == FoundImage(path)


@pytest.mark.parametrize("asked", ["C:\\work\\c.jpg", "/home/me/c.jpg", "../../label-studio/data/c.jpg", "gone/c.jpg"])
def test_a_path_of_another_machine_is_a_finding(tmp_path, asked: str) -> None:
    make(tmp_path, "x/c.jpg")
    found = finder(tmp_path).find(str(tmp_path), [""], asked, None, "line 1")
    assert found.path == "x/c.jpg"
    assert found.finding is not None
    assert (found.finding.kind, found.finding.file, found.finding.treatment) == ("moved_image", asked, "read")
    with pytest.raises(RecordSkippedError, match=r"moved_image: read x/c.jpg, the only image of this name"):
        finder(tmp_path, bad_input={"moved_image": "skip"}).find(str(tmp_path), [""], asked, None, "line 1")
    with pytest.raises(RecordSkippedError, match=r"(missing_image|path_outside)"):
        finder(tmp_path, images="y").find(str(tmp_path), ["y"], asked, None, "line 1")


@pytest.mark.parametrize(
    ("asked", "split", "message"),
    [
        (
            "b.jpg",
            None,
            r"missing_image: no such file; looked in: \., images; images are in: val \(2\), train \(1\); data.im",
        ),
        ("a.jpg", None, r"several images are called so: train/a.jpg, val/a.jpg; name the folder in data.images"),
        ("b2.jpg", "train", "missing_image: no such file"),
        ("../../b.jpg", None, "path_outside: .* climbs out of the data folder, and no image in there is called so"),
        ("x" * 5000, None, "missing_image: no such file"),
    ],
)
def test_an_image_that_is_not_found(tmp_path, asked: str, split: str | None, message: str) -> None:
    make(tmp_path, "train/a.jpg", "val/a.jpg", "val/b2.jpg")
    with pytest.raises(RecordSkippedError, match=message) as skipped:
        finder(tmp_path).find(str(tmp_path), ["", "images"], asked, split, "line 1")
    assert skipped.value.finding.where == "line 1"


def test_names_of_one_image() -> None:
    assert same_stem("D:\\work\\Cell_000.JPG", "cell_000")
    assert not same_stem("img_08.jpg", "img_07")
