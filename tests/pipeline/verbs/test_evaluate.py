"""`python -m pipeline evaluate`: pycocotools' numbers, from images in every format."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import pipeline
from components.evaluator.coco import COCO_METRICS
from pipeline.verbs.evaluate import main
from tests.pipeline.saved_detectors.fake_models import write_red_square_export, write_zoo_model

REPOSITORY = pathlib.Path(pipeline.__file__).parents[1]
SIZE = (320, 240)  # width, height
IMAGES, DETECTIONS = 24, 12
CATEGORIES = {1: "person", 3: "car", 18: "dog", 91: "traffic cone"}
"""COCO's ids and names, and a class that COCO does not have."""


@dataclasses.dataclass(frozen=True)
class Scenes:
    """A data set in COCO's format, and a model of the zoo with what it finds there in COCO's format, too."""

    data: pathlib.Path
    model: pathlib.Path
    detections: list[dict[str, Any]]

    def pycocotools(self, image_ids: list[int]) -> dict[str, float]:
        """The twelve numbers of another program, which reads the files itself."""
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(self.data / "boxes.json"))
            evaluation = COCOeval(truth, truth.loadRes(self.detections), "bbox")
            evaluation.params.imgIds = image_ids
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return dict(zip(COCO_METRICS, evaluation.stats.tolist(), strict=True))


def _xywh(generator: np.random.Generator) -> list[float]:
    width, height = generator.uniform(8, 160), generator.uniform(8, 130)
    return [generator.uniform(0, SIZE[0] - width), generator.uniform(0, SIZE[1] - height), width, height]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    """Images with random objects, crowds among them; detections that are objects moved a little, and random ones."""
    folder = tmp_path_factory.mktemp("scenes")
    data = folder / "data"
    data.mkdir()
    generator = np.random.default_rng(7)
    annotations, detections = [], []
    boxes = np.zeros((IMAGES, DETECTIONS, 4))
    classes, scores = np.ones((IMAGES, DETECTIONS)), np.zeros((IMAGES, DETECTIONS))
    known = [1, 3, 18]
    for number in range(IMAGES):
        pixels = generator.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        pixels[0, 0] = number
        Image.fromarray(pixels).save(data / f"{number:02}.png")
        truths = [(int(generator.choice([*known, 91], p=[0.4, 0.3, 0.2, 0.1])), _xywh(generator)) for _ in range(6)]
        for position, (category, xywh) in enumerate(truths):
            annotations.append(
                {
                    "id": 100 * number + position + 1,
                    "image_id": number,
                    "category_id": category,
                    "bbox": xywh,
                    "area": xywh[2] * xywh[3] * generator.uniform(0.5, 1.0),
                    "iscrowd": int(generator.random() < 0.1),
                }
            )
        for row in range(DETECTIONS):
            if row < len(truths) and truths[row][0] in known and generator.random() < 0.8:
                category, xywh = truths[row]
                xywh = [max(value + generator.normal() * 4, 1.0) for value in xywh]
            else:
                category, xywh = int(generator.choice(known)), _xywh(generator)
            x, y, width, height = xywh
            boxes[number, row] = np.array([y / SIZE[1], x / SIZE[0], (y + height) / SIZE[1], (x + width) / SIZE[0]])
            classes[number, row], scores[number, row] = category, generator.random()
            scored = {"image_id": number, "category_id": category, "bbox": xywh, "score": scores[number, row]}
            detections.append(scored)
    images = [{"id": n, "file_name": f"{n:02}.png", "width": SIZE[0], "height": SIZE[1]} for n in range(IMAGES)]
    categories = [{"id": number, "name": name} for number, name in CATEGORIES.items()]
    tree = {"images": images, "annotations": annotations, "categories": categories}
    (data / "boxes.json").write_text(json.dumps(tree))
    return Scenes(data, write_zoo_model(folder / "zoo", boxes, classes, scores), detections)


def _evaluated(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_the_numbers_are_those_of_pycocotools(scenes: Scenes, capsys: pytest.CaptureFixture[str]) -> None:
    found = _evaluated(capsys, "--model", str(scenes.model), "--data", str(scenes.data))
    expected = scenes.pycocotools(list(range(IMAGES)))
    assert 0.1 < expected["AP"] < 0.9
    assert found["metrics"] == pytest.approx(expected, abs=1e-9)
    assert (found["images"], found["split"]) == (IMAGES, "all")
    assert found["classes_unknown_to_the_model"] == ["traffic cone"]
    assert len(found["classes_not_in_the_data"]) == 77
    assert found["classes"]["traffic cone"]["AP"] == 0.0
    mean = np.mean([found["classes"][name]["AP"] for name in ("person", "car", "dog")])
    assert found["metrics_of_shared_classes"]["AP"] == pytest.approx(mean)


def test_the_split_of_a_config(scenes: Scenes, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "scenes.yaml"
    config.write_text(f"name: scenes\ndata: {{format: coco, path: {scenes.data}, split: {{source: hash}}}}\n")
    model = ["--model", str(scenes.model), "--data", str(config)]
    judged, learnt = _evaluated(capsys, *model), _evaluated(capsys, *model, "--split", "train")
    assert (judged["split"], learnt["split"]) == ("eval", "train")
    assert judged["images"] + learnt["images"] == IMAGES
    assert main([*model, "--format", "coco"]) == 2
    assert "--format is for a folder" in capsys.readouterr().err
    config.write_text("name: scenes\ndata: {format: coco, paht: here}\n")
    assert main(model) == 2
    assert "did you mean 'path'" in capsys.readouterr().err


def test_tables_and_what_is_wrong_with_the_data(
    scenes: Scenes, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for path in scenes.data.iterdir():
        (data / path.name).write_bytes(path.read_bytes())
    (data / "03.png").unlink()
    (data / "04.png").write_bytes((data / "04.png").read_bytes()[:5000])
    assert main(["--model", str(scenes.model), "--data", str(data), "--batch_size", "5"]) == 0
    said, progress = capsys.readouterr()
    assert (
        f"Model       {scenes.model}/saved_model (SavedModel of the TF Object Detection API, COCO's 80 names)" in said
    )
    assert f"coco, all of it: {IMAGES - 2} images" in said
    assert "1 missing_image: an annotation names an image that is not there -> skip\n" in said
    assert "1 truncated_image: the image does not decode" in said
    assert "2 images of the data are left out: the numbers are of the others" in said
    assert "of the data that the model does not know, and which count with 0: traffic cone" in said
    assert "bicycle" in said and "and 65 more" in said
    assert "METRIC   ALL CLASSES  CLASSES BOTH KNOW\nAP      " in said
    assert sorted(line.split()[0] for line in said.splitlines()[-4:]) == ["car", "dog", "person", "traffic"]
    assert "images 23/23, " in progress
    others = [number for number in range(IMAGES) if number not in (3, 4)]
    expected = scenes.pycocotools(others)
    row = next(line for line in said.splitlines() if line.startswith("AP  "))
    assert row.split()[1] == f"{expected['AP']:.3f}"


def test_an_export_on_each_format(
    data_of_format: tuple[str, pathlib.Path],
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, folder = data_of_format
    model = write_red_square_export(tmp_path_factory.mktemp("model") / "1")
    found = _evaluated(capsys, "--model", str(model), "--data", str(folder), "--format", name)
    # YOLO's folders name splits: what a run would judge on.
    assert (found["split"], found["images"]) == (("eval", 3) if name == "yolo" else ("all", 12))
    assert found["classes_unknown_to_the_model"] == ["cup"]
    assert found["classes_not_in_the_data"] == ["circle", "square"]
    assert found["metrics"]["AP"] == 0.0
    assert found["metrics_of_shared_classes"]["AP"] is None
    # Its boxes are all small, as the images are.
    assert found["metrics"]["APl"] is None


def test_a_class_that_is_spelt_otherwise(
    yolo_folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    (yolo_folder / "data.yaml").write_text("names: [Square]\ntrain: images/train\nval: images/val\n")
    model = write_red_square_export(tmp_path_factory.mktemp("model") / "1")
    assert main(["--model", str(model), "--data", str(yolo_folder), "--split", "train"]) == 0
    assert "count with 0: Square (it has 'square')" in capsys.readouterr().out


def test_what_cannot_be_used_costs_no_tensorflow(scenes: Scenes, tmp_path: pathlib.Path) -> None:
    code = (
        "import sys; from pipeline.__main__ import main; status = main(sys.argv[1:]); "
        "sys.exit(10 * ('tensorflow' in sys.modules) + status)"
    )
    model, data = ["--model", str(scenes.model)], ["--data", str(scenes.data)]
    for arguments, said in (
        (["--model", str(tmp_path), *data], "holds no SavedModel, but nothing"),
        ([*model, "--data", str(tmp_path)], "is empty. Expected one of"),
        ([*model, *data, "--format", "yolo"], "has no files of the format yolo, but of coco"),
        ([*model, *data, "--split", "test"], "does not say which images are of which split"),
        ([*model, *data, "--labels", str(tmp_path / "l.txt")], "--labels: "),
    ):
        command = [sys.executable, "-c", code, "evaluate", *arguments]
        ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert ended.returncode == 1, ended.stderr
        assert said in ended.stderr


def test_wrong_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--model", "m", "--data", "d", "--batch_size", "0"])
    assert ended.value.code == 2
    assert "--batch_size: found 0" in capsys.readouterr().err
