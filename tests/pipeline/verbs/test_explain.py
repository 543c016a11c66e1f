"""`python -m pipeline explain` on a detector that looks at red, and nothing else."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import pipeline
from pipeline.verbs.explain import main
from tests.pipeline.saved_detectors.fake_models import square_on_grey, write_red_square_export, write_zoo_model

REPOSITORY = pathlib.Path(pipeline.__file__).parents[1]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A pushed base path."""
    return write_red_square_export(tmp_path_factory.mktemp("served") / "1").parent


@pytest.fixture
def image(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "street.png"
    Image.fromarray(square_on_grey()).save(path)
    return path


def test_the_picture_is_hot_on_the_square(
    model: pathlib.Path, image: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert main(["--model", str(model), str(image), "--masks", "300", "--cells", "8", "--output", str(output)]) == 0
    said, progress = capsys.readouterr()
    assert "128 x 96 pixels; 1 of 1 detections above 0.5" in said
    assert f"  {output}/street-1.png: square 0.97; " in said
    assert said.rstrip().endswith("the hottest pixel in it")
    assert int(said.rsplit("% of the heat", 1)[0].rsplit(" ", 1)[1]) >= 60
    assert "street.png: masks 300/300" in progress
    with Image.open(output / "street-1.png") as drawn:
        picture = np.asarray(drawn, np.float64)
    assert drawn.size == (480, 360)
    redder = picture[..., 0] - picture[..., 2]
    # 24..48 and 64..88 of 96 x 128, enlarged 3.75 times.
    assert redder[110:160, 260:310].mean() > redder[200:, :150].mean() + 80


def test_an_image_without_a_detection_and_a_large_one(
    model: pathlib.Path, image: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = tmp_path / "grey.jpg"
    Image.new("RGB", (300, 200), (90, 90, 90)).save(grey)
    common = ["--model", str(model), "--masks", "3", "--output", str(tmp_path / "out")]
    assert main([*common, str(grey)]) == 1
    assert "no detection with a score above 0.5, the best has 0.000" in capsys.readouterr().out
    assert main([*common, str(grey), str(image), "--longest", "64", "--score", "0.1"]) == 0
    assert "128 x 96 pixels, shrunk to 64 x 48" in capsys.readouterr().out


def test_a_model_of_the_zoo(tmp_path: pathlib.Path, image: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    boxes = np.array([[[0.25, 0.5, 0.5, 0.75], [0.1, 0.1, 0.2, 0.2]]])
    zoo = write_zoo_model(tmp_path / "zoo", boxes, np.array([[3.0, 12.0]]), np.array([[0.9, 0.8]]))
    assert main(["--model", str(zoo), str(image), "--masks", "5", "--output", str(tmp_path / "out")]) == 0
    # It does not look at the image; and the id 12 is no class of COCO.
    assert "car 0.90; no mask made a difference" in capsys.readouterr().out


def test_images_of_the_same_name(model: pathlib.Path, image: pathlib.Path, tmp_path: pathlib.Path) -> None:
    other = tmp_path / "other" / "street.png"
    other.parent.mkdir()
    other.write_bytes(image.read_bytes())
    output = tmp_path / "out"
    assert main(["--model", str(model), str(image), str(other), "--masks", "2", "--output", str(output)]) == 0
    assert sorted(path.name for path in output.iterdir()) == ["street-of-1-1.png", "street-of-2-1.png"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--masks", "0"], "--masks: found 0, expected at least 1"),
        (["--cells", "1"], "--cells: found 1, expected at least 2"),
        (["--score", "1.5"], "--score: found 1.5, expected 0 to 1"),
    ],
)
def test_wrong_arguments(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--model", "m", "a.png", *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_what_cannot_be_used_costs_no_tensorflow(model: pathlib.Path, tmp_path: pathlib.Path) -> None:
    text = tmp_path / "a.jpg"
    text.write_text("no image")
    code = (
        "import sys; from pipeline.__main__ import main; status = main(sys.argv[1:]); "
        "sys.exit(10 * ('tensorflow' in sys.modules) + status)"
    )
    for arguments, said in (
        (["--model", str(tmp_path), str(text)], "holds no SavedModel, but a.jpg; expected a folder"),
        (["--model", str(model), str(text)], "a.jpg: not_an_image: starts with"),
        (["--model", str(model), str(tmp_path / "b.jpg")], "b.jpg: cannot be read: No such file"),
    ):
        command = [sys.executable, "-c", code, "explain", *arguments]
        ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert ended.returncode == 1
        assert said in ended.stderr


def test_pixels_that_do_not_decode(
    model: pathlib.Path, image: pathlib.Path, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    image.write_bytes(image.read_bytes()[:2000])
    assert main(["--model", str(model), str(image), "--output", str(tmp_path / "out")]) == 1
    assert "street.png: truncated_image" in capsys.readouterr().err
