"""What is written is read again: by the report, and, corrected, by ExampleGen."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from components.evaluator.coco_matching import ImageResult
from components.evaluator.label_review.review_files import REVIEW_FILE, read_review, write_review
from components.evaluator.label_review.suspicions import suspicions
from components.example_gen.annotations import ImageAnnotation, Item, LoadedImage
from components.example_gen.formats import make_format
from components.example_gen.settings import DataSettings
from tests.components.evaluator.label_review.made_reviews import good_results, reviewed, with_truth
from tests.components.evaluator.made_images import CLASS_NAMES


@pytest.fixture
def results() -> list[ImageResult]:
    """Image 7 lacks an object, one of image 9 has another class, and one of image 11 is annotated twice."""
    results = good_results()
    results[7] = with_truth(results[7], results[7].truth_boxes_yxyx_pixels[1:], results[7].truth_classes[1:])
    classes = results[9].truth_classes.copy()
    classes[2] = (classes[2] + 1) % 3
    results[9] = with_truth(results[9], results[9].truth_boxes_yxyx_pixels, classes)
    boxes = np.concatenate([results[11].truth_boxes_yxyx_pixels, results[11].truth_boxes_yxyx_pixels[:1] + 1])
    results[11] = with_truth(results[11], boxes, [*results[11].truth_classes, results[11].truth_classes[0]])
    return results


@pytest.fixture
def evaluation(tmp_path: pathlib.Path, results: list[ImageResult]) -> pathlib.Path:
    """The artifact."""
    images = reviewed(results)
    folder = tmp_path / "evaluation"
    folder.mkdir()
    write_review(str(folder), images, suspicions(images, 0.3))
    return folder


def test_suspicions_come_back(evaluation: pathlib.Path, results: list[ImageResult]) -> None:
    found = read_review(str(evaluation / REVIEW_FILE))
    assert found == suspicions(reviewed(results), 0.3)
    assert {one.image_id for one in found} == {"0007", "0009", "0011"}


def _read_back(folder: pathlib.Path) -> dict[str, ImageAnnotation]:
    reader = make_format(DataSettings(format="coco", path=str(folder)))
    [source] = reader.sources(str(folder))
    items = list(reader.items(source))
    loaded = list(reader.load([item for item in items if isinstance(item, Item)]))
    assert all(isinstance(one, LoadedImage) for one in loaded)
    return {one.file: one.annotation for one in loaded if isinstance(one, LoadedImage)}


def test_example_gen_reads_the_corrected_file(
    tmp_path: pathlib.Path, evaluation: pathlib.Path, results: list[ImageResult]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in (7, 9, 11):
        Image.new("RGB", (100, 100)).save(data / f"{number:04}.jpg")
    document = json.loads((evaluation / "label_review" / "annotations.json").read_text())
    # A person takes the twin out, and agrees with the rest.
    document["annotations"] = [one for one in document["annotations"] if one.get("suspicion") != "duplicate"]
    (data / "annotations.json").write_text(json.dumps(document))
    images = _read_back(data)
    assert sorted(images) == ["0007.jpg", "0009.jpg", "0011.jpg"]
    before = good_results()
    for number in (7, 9, 11):
        there = before[number]
        objects = images[f"{number:04}.jpg"].objects
        assert sorted(one.class_name or "" for one in objects) == sorted(CLASS_NAMES[i] for i in there.truth_classes)
        for one in objects:
            xmin, ymin, xmax, ymax = one.box_xyxy
            near = np.abs(there.truth_boxes_yxyx_pixels - [ymin, xmin, ymax, xmax]).max(axis=1)
            assert near.min() < 4  # the added one is as the model has it


def test_coco_says_what_was_annotated(evaluation: pathlib.Path, results: list[ImageResult]) -> None:
    document = json.loads((evaluation / "label_review" / "annotations.json").read_text())
    names = {one["id"]: one["name"] for one in document["categories"]}
    by_kind = {one["suspicion"]: one for one in document["annotations"] if "suspicion" in one}
    assert set(by_kind) == {"missing", "wrong class", "duplicate"}
    renamed = by_kind["wrong class"]
    assert renamed["annotated_category"] == CLASS_NAMES[results[9].truth_classes[2]]
    assert names[renamed["category_id"]] == CLASS_NAMES[good_results()[9].truth_classes[2]]
    assert renamed["annotated_bbox"] == renamed["bbox"]
    assert "score" in by_kind["missing"]
    assert "score" not in by_kind["duplicate"]


def test_label_studio_has_both(evaluation: pathlib.Path) -> None:
    tasks = json.loads((evaluation / "label_review" / "label_studio.json").read_text())
    by_image = {task["data"]["image"]: task for task in tasks}
    task = by_image["/data/local-files/?d=0007.jpg"]
    assert len(task["annotations"][0]["result"]) == 3
    assert len(task["predictions"][0]["result"]) == 4
    assert task["predictions"][0]["result"][-1]["score"] > 0.5
    task = by_image["/data/local-files/?d=0011.jpg"]
    assert len(task["annotations"][0]["result"]) == len(task["predictions"][0]["result"]) == 5


def test_nothing_suspected_is_an_empty_file(tmp_path: pathlib.Path) -> None:
    write_review(str(tmp_path), reviewed(good_results()), [])
    assert read_review(str(tmp_path / REVIEW_FILE)) == []
    assert json.loads((tmp_path / "label_review" / "label_studio.json").read_text()) == []
