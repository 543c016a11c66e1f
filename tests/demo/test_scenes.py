"""Street scenes: the same bytes for a seed, boxes as tight as what is seen, conditions that show in the picture."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from demo import coco_folder, scenes
from demo.signs import SIGN_CLASSES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    output = tmp_path_factory.mktemp("demo") / "scenes"
    assert scenes.write_scenes(output, images=28, seed=3, workers=1)
    return output


def _coco(folder: pathlib.Path, split: str) -> dict[str, list[dict[str, object]]]:
    loaded: dict[str, list[dict[str, object]]] = json.loads((folder / split / coco_folder.ANNOTATIONS).read_text())
    return loaded


def test_writes_every_image_it_lists(folder: pathlib.Path) -> None:
    sizes = {}
    for split in coco_folder.SPLITS:
        images = _coco(folder, split)["images"]
        sizes[split] = len(images)
        listed = {str(image["file_name"]) for image in images}
        assert listed == {path.name for path in (folder / split).glob("*.jpg")}
    assert sizes == {"train": 24, "eval": 4}


def test_boxes_lie_inside_and_hold_their_area(folder: pathlib.Path) -> None:
    coco = _coco(folder, "train")
    assert [category["name"] for category in coco["categories"]] == list(SIGN_CLASSES)
    assert coco["annotations"]
    for annotation in coco["annotations"]:
        x, y, width, height = annotation["bbox"]  # type: ignore[misc]
        assert x >= 0 and y >= 0 and width > 0 and height > 0
        assert x + width <= scenes.WIDTH_PIXELS and y + height <= scenes.HEIGHT_PIXELS
        assert 0 < float(str(annotation["area"])) <= width * height


def test_a_seed_gives_the_same_bytes_with_any_number_of_processes(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    scenes.write_scenes(tmp_path / "again", images=28, seed=3, workers=2)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert len(files) == 28 + 3
    for name in files:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_complete_folder_is_used_again_and_another_seed_replaces_it(tmp_path: pathlib.Path) -> None:
    output = tmp_path / "scenes"
    assert scenes.write_scenes(output, images=2, seed=0, workers=1)
    before = (output / "train" / "00000.jpg").stat().st_mtime_ns
    assert not scenes.write_scenes(output, images=2, seed=0, workers=1)
    assert (output / "train" / "00000.jpg").stat().st_mtime_ns == before
    assert scenes.write_scenes(output, images=2, seed=1, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["scenes"]


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: pathlib.Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(coco_folder.OutputError, match="not generated here"):
        scenes.write_scenes(tmp_path, images=2, seed=0, workers=1)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_sequences_stay_on_one_side_and_share_their_conditions(folder: pathlib.Path) -> None:
    sequences: dict[object, set[object]] = {}
    for split in coco_folder.SPLITS:
        for image in _coco(folder, split)["images"]:
            conditions = (split, image["time_of_day"], image["weather"])
            sequences.setdefault(image["sequence"], set()).add(conditions)
    assert all(len(conditions) == 1 for conditions in sequences.values())


def test_conditions_show() -> None:
    """Nights are darker, fog has less contrast where it is far, than the same split's clear days."""
    brightness: dict[str, list[float]] = {}
    contrast: dict[str, list[float]] = {}
    for sequence in range(18):
        picture = scenes.render_scene("train", sequence * scenes.PICTURES_PER_SEQUENCE, seed=0)
        pixels = np.asarray(picture.image.convert("L"), np.float32)
        brightness.setdefault(picture.metadata["time_of_day"], []).append(float(pixels.mean()))
        if picture.metadata["time_of_day"] == "day":
            contrast.setdefault(picture.metadata["weather"], []).append(float(pixels.std()))
    assert max(brightness["night"]) < min(brightness["day"])
    assert np.mean(contrast["fog"]) < 0.7 * np.mean(contrast["clear"])
    assert set(contrast) == {"clear", "fog", "rain"}


def test_the_same_scene_at_night_and_in_fog() -> None:
    usual, night, fog = (
        scenes.render_scene("eval", 0, seed=0, weather=weather, time_of_day=time_of_day)
        for time_of_day, weather in (("day", "clear"), ("night", "clear"), ("day", "fog"))
    )
    assert usual.objects == night.objects == fog.objects
    assert (night.metadata["time_of_day"], fog.metadata["weather"]) == ("night", "fog")
    assert np.mean(np.asarray(night.image)) < 0.5 * np.mean(np.asarray(usual.image))
    assert np.std(np.asarray(fog.image)) < 0.8 * np.std(np.asarray(usual.image))


def test_one_image_is_refused_in_words(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scenes.main(["--output", str(tmp_path / "x"), "--images", "1"])
    assert "must be at least 2" in capsys.readouterr().err
