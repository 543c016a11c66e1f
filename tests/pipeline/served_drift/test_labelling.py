"""Which images are chosen, and that ExampleGen reads the folder."""

from __future__ import annotations

import io
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from components.example_gen.annotations import Item, LoadedImage
from components.example_gen.formats import make_format
from components.example_gen.settings import DataSettings
from components.example_gen.sources import find_sources
from components.example_gen.spans import resolve_spans
from components.user_error import UserError
from pipeline.served_drift import labelling
from pipeline.served_drift.estimated_ap import Calibration
from pipeline.served_drift.seen_images import Found, SeenImage

NAMES = ["stop", "yield"]


def _image(level: int, *scores: float, orientation: int = 1) -> SeenImage:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (60, 40), (level,) * 3).save(buffer, "JPEG", exif=exif)
    boxes = np.tile([0.25, 0.1, 0.75, 0.5], (len(scores), 1))
    return SeenImage(buffer.getvalue(), Found(boxes, ("yield",) * len(scores), np.array(scores)))


@pytest.fixture
def calibration() -> Calibration:
    """A score is the probability that a detection is right."""
    rng = np.random.default_rng(0)
    found, truth = [], []
    for score in rng.random(500):
        box = np.array([[0.1, 0.1, 0.5, 0.5]])
        found.append(Found(box, ("yield",), np.array([score])))
        truth.append(Found(box if rng.random() < score else box + 0.5, ("yield",), np.ones(1)))
    return Calibration.of(found, truth)


def test_the_uncertain_ones_are_chosen(calibration: Calibration) -> None:
    images = [*(_image(10 * i, 0.99) for i in range(12)), *(_image(10 * i, 0.5) for i in range(4))]
    assert min(labelling.choose(images, calibration, None, None, 1)) >= 12


def test_what_is_twice_is_chosen_once(calibration: Calibration) -> None:
    images = [_image(50, 0.5), _image(50, 0.5), _image(200, 0.5)]
    assert sorted(labelling.choose(images, calibration, None, None, 3)) in ([0, 2], [1, 2])
    embeddings = np.array([[0.0], [1.0], [1.0]])
    assert len(labelling.choose(images, calibration, embeddings, None, 3)) == 2


def test_where_the_version_before_sees_something_else(calibration: Calibration) -> None:
    images = [_image(50, 0.9), _image(200, 0.9)]
    before = [images[0].found, Found(np.array([[0.8, 0.8, 0.9, 0.9]]), ("stop",), np.array([0.9]))]
    assert labelling.choose(images, calibration, None, before, 1) == [1]


def test_example_gen_reads_the_folder_as_the_next_span(tmp_path: pathlib.Path) -> None:
    images = [_image(50, 0.9, 0.1), _image(200), _image(90, 0.8, orientation=6)]
    labelling.write(tmp_path, images, NAMES, min_score=0.3, span="span-2")
    settings = DataSettings(format="coco", path=f"{tmp_path}/span-{{SPAN}}")
    reader = make_format(settings)
    loaded = [
        one
        for source in find_sources(reader, resolve_spans(settings))
        for one in reader.load([item for item in reader.items(source) if isinstance(item, Item)])
    ]
    assert [type(one) for one in loaded] == [LoadedImage] * 3
    by_file = {pathlib.Path(one.file).name: one for one in loaded if isinstance(one, LoadedImage)}
    assert [len(by_file[name].annotation.objects) for name in ("00001.jpg", "00002.jpg", "00003.png")] == [1, 0, 1]
    [box] = by_file["00001.jpg"].annotation.objects
    assert box.class_name == "yield"
    # The file was stored sideways; it is upright now.
    assert Image.open(tmp_path / "span-2" / "00003.png").size == (40, 60)


def test_label_studio_has_the_boxes_in_per_cent(tmp_path: pathlib.Path) -> None:
    labelling.write(tmp_path, [_image(50, 0.9)], NAMES, min_score=0.3, span="span-2")
    [task] = json.loads((tmp_path / "label_studio.json").read_text())
    assert task["data"]["image"] == "/data/local-files/?d=span-2/00001.jpg"
    [result] = task["predictions"][0]["result"]
    value = result["value"]
    assert [value[key] for key in ("x", "y", "width", "height")] == pytest.approx([10, 25, 40, 50])
    assert (value["rectanglelabels"], result["original_width"], result["original_height"]) == (["yield"], 60, 40)


def test_what_may_have_been_corrected_is_not_overwritten(tmp_path: pathlib.Path) -> None:
    labelling.write(tmp_path, [_image(50, 0.9)], NAMES, min_score=0.3, span="span-2")
    with pytest.raises(UserError, match="perhaps corrected by hand"):
        labelling.write(tmp_path, [], NAMES, min_score=0.3, span="span-2")
