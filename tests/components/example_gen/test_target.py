"""``data.target``: images of another domain become splits of their own, and none of their labels gets any further."""

from __future__ import annotations

import pathlib
import random
import shutil
from collections.abc import Callable

import pytest

from components.example_gen.annotations import DataError
from components.example_gen.settings import DataSettings
from components.example_gen.spans import target_folder
from schema import features


def write_yolo(folder: pathlib.Path, image_bytes: Callable[..., bytes], counts: dict[str, int], seed: int) -> None:
    folder.mkdir(parents=True)
    if "train" in counts:
        paths = "".join(f"{split.removesuffix('id')}: {split}/images\n" for split in counts)
        (folder / "data.yaml").write_text(f"{paths}names: [bus, car]\n")
    else:
        (folder / "classes.txt").write_text("bus\ncar\n")
    for split, count in counts.items():
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True)
        for number in range(count):
            seed += 1
            (folder / split / "images" / f"{number}.jpg").write_bytes(image_bytes(seed=seed))
            box = f"{number % 2} 0.5 0.5 {0.2 + 0.1 * (number % 3)} 0.4\n"
            (folder / split / "labels" / f"{number}.txt").write_text(box)


@pytest.fixture
def source(tmp_path: pathlib.Path, image_bytes: Callable[..., bytes]) -> dict[str, str]:
    write_yolo(tmp_path / "source", image_bytes, {"train": 4, "valid": 2}, seed=0)
    return {"format": "yolo", "path": str(tmp_path / "source")}


@pytest.fixture
def target(tmp_path: pathlib.Path, image_bytes: Callable[..., bytes]) -> pathlib.Path:
    write_yolo(tmp_path / "target", image_bytes, {"train": 5, "valid": 2, "test": 3}, seed=100)
    return tmp_path / "target"


def test_the_splits_of_an_annotated_target(run, source, target) -> None:
    result = run(**source, target={"format": "yolo", "path": str(target)})
    counts = {split: (profile.images, profile.objects) for split, profile in result.profiles.items()}
    assert counts == {"train": (4, 4), "eval": (2, 2), "target": (5, 0), "target_eval": (2, 2), "target_test": (3, 3)}
    assert list(result.records) == ["train", "eval", "target", "target_eval", "target_test"]
    assert result.source_ids("target") == {f"target/train/images/{number}.jpg" for number in range(5)}
    for record in result.records["target"]:
        for key in features.OBJECT_KEYS:
            assert key in record.features.feature
            assert not record.features.feature[key].ListFields()[0][1].value


def test_what_the_labels_of_the_target_say_changes_nothing_that_is_learnt_from(run, source, target) -> None:
    def learnt_from(**settings) -> dict[str, bytes]:
        folder = run(**source, target={"format": "yolo", "path": str(target)} | settings).examples_uri
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for split in ("train", "eval", "target")
            for path in sorted((folder / f"Split-{split}").iterdir())
        }

    before = learnt_from()
    labels = sorted((target / "train" / "labels").iterdir())
    texts = [path.read_text() for path in labels]
    random.Random(0).shuffle(texts)
    for path, text in zip(labels, texts, strict=True):
        path.write_text(text.replace("0.5 0.5", "0.3 0.6"))
    for path in (target / "test" / "labels").iterdir():
        path.write_text("")
    assert learnt_from() == before
    for path in labels[1:]:
        path.unlink()
    assert learnt_from() == before
    shutil.rmtree(target / "train" / "labels")
    without = learnt_from(format="images", path=str(target / "train"))
    assert len(without) == len(before)


def test_a_mere_folder_of_images_is_for_training(run, source, target) -> None:
    result = run(**source, target={"path": str(target)})
    assert result.profiles["target"].images == 10
    assert list(result.records) == ["train", "eval", "target"]
    assert result.summary.listed_images == 16


def test_a_target_that_names_no_splits_is_divided_by_hash(run, source, tmp_path, image_bytes) -> None:
    write_yolo(tmp_path / "flat", image_bytes, {".": 30}, seed=200)
    result = run(**source, target={"format": "yolo", "path": str(tmp_path / "flat")})
    assert result.profiles["target"].images + result.profiles["target_eval"].images == 30
    assert result.profiles["target_eval"].objects > 0


def test_a_target_without_an_image_is_told(run, source, tmp_path) -> None:
    with pytest.raises(DataError, match=r"data\.target\.path: .*/nowhere is no folder"):
        run(**source, target={"path": str(tmp_path / "nowhere")})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image; expected files called"):
        run(**source, target={"path": str(tmp_path / "empty")})


def test_bad_images_of_the_target_count_as_those_of_the_source(run, source, target) -> None:
    (target / "train" / "images" / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    result = run(**source, target={"path": str(target)})
    assert result.kinds == {"not_an_image"}
    assert (result.summary.listed_images, result.summary.skipped_images) == (17, 1)


def test_the_fingerprint_covers_the_target(source, target) -> None:
    from components.example_gen.driver import fingerprint
    from components.example_gen.spans import resolve_spans

    settings = DataSettings.model_validate({**source, "target": {"path": str(target)}})

    def digest() -> str:
        return fingerprint(settings, [*resolve_spans(settings), target_folder(settings.of_target)])

    before = digest()
    assert digest() == before
    (target / "train" / "images" / "0.jpg").unlink()
    assert digest() != before
