"""Numbers of a file of annotations."""

from __future__ import annotations

import json
import pathlib

import pytest

from serving.bulk_inference.coco_ids import CocoIds
from serving.bulk_inference.errors import BulkError


def _ids(folder: pathlib.Path, **content: object) -> CocoIds:
    (folder / "a.json").write_text(json.dumps(content))
    return CocoIds(str(folder / "a.json"))


def test_images_by_the_end_of_their_path(tmp_path: pathlib.Path) -> None:
    names = ["7.jpg", "val/7.jpg", "deep/in/8.jpg", "x/9.jpg", "y/9.jpg", "win\\10.jpg"]
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    ids = _ids(tmp_path, images=images, categories=[])
    assert ids.image_id("data/val/7.jpg") == 1
    assert ids.image_id("data/train/7.jpg") == 0
    assert ids.image_id("7.jpg") == 0
    assert ids.image_id("elsewhere/8.jpg") == 2
    assert ids.image_id("x/9.jpg") == 3
    assert ids.image_id("z/9.jpg") is None
    assert ids.image_id("./win/10.jpg") == 5
    assert ids.image_id("17.jpg") is None
    ids.check_images(["7.jpg"])
    with pytest.raises(BulkError, match=r"file_name of 2 of 3 images, the first is z/9.jpg"):
        ids.check_images(["7.jpg", "z/9.jpg", "17.jpg"])


def test_classes_by_name(tmp_path: pathlib.Path) -> None:
    ids = _ids(tmp_path, images=[], categories=[{"id": 90, "name": "stop"}, {"id": 4, "name": "car"}])
    assert [ids.category_id(name) for name in ("car", "yield", "stop", "other", "yield")] == [4, 91, 90, 92, 91]
    ids.check_classes(["bus", "car"])
    with pytest.raises(
        BulkError, match="has the categories stop, car, yield, other; none is a class of the model: bus"
    ):
        ids.check_classes(["bus"])


@pytest.mark.parametrize("text", ["", "[]", '{"images": [{"id": 1}], "categories": []}', '{"images": []}'])
def test_a_file_that_is_none(tmp_path: pathlib.Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BulkError, match=r"--annotations: .*a.json cannot be read as COCO annotations"):
        CocoIds(str(tmp_path / "a.json"))
