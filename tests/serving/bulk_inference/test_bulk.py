"""The command as a user types it, on Beam's runner of this machine."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from schema import exported_model, features
from serving import bulk
from serving.bulk_inference import detectors
from serving.bulk_inference.errors import BulkError
from serving.clients import server_options
from serving.clients.detector_client import DetectorClient
from serving.clients.errors import ServerError
from serving.model_server import ModelServer
from tests.serving.bulk_inference.conftest import encoded


def _read(path: pathlib.Path) -> Any:
    return json.loads(path.read_text())


def _lines(path: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _run(*arguments: object) -> int:
    return bulk.main([str(argument) for argument in arguments])


@pytest.fixture
def served(model: pathlib.Path) -> Callable[[bytes], list[tuple[int, float, list[float]]]]:
    """What `serving_default` finds in an image: class, score, yxyx_normalized."""
    loaded = tf.saved_model.load(str(model))
    function = loaded.signatures[exported_model.SERVING_SIGNATURE]

    def ask(image: bytes, keep: object = loaded) -> list[tuple[int, float, list[float]]]:
        outputs = function(tf.constant([image]))
        count = int(outputs[exported_model.COUNTS][0])
        names = (exported_model.CLASSES, exported_model.SCORES, exported_model.BOXES)
        return list(zip(*(outputs[name][0, :count].numpy().tolist() for name in names), strict=True))

    return ask


def test_a_folder_with_a_damaged_file(
    model: pathlib.Path,
    photos: pathlib.Path,
    tmp_path: pathlib.Path,
    served: Callable[[bytes], list[tuple[int, float, list[float]]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    assert _run("--model", model.parent, "--images", photos, "--output", output, "--batch", 3) == 1
    assert sorted(path.name for path in output.iterdir()) == ["failures.jsonl", "images.json", "results.json"]
    assert "22 detections in 11 images; results.json and images.json" in capsys.readouterr().err

    [failure] = _lines(output / "failures.jsonl")
    assert (failure["image_id"], failure["file"]) == (5, str(photos / "04.jpg"))
    assert failure["reason"] == exported_model.UNREADABLE_IMAGE
    described = _read(output / "images.json")
    assert described["categories"] == [{"id": 1, "name": "stop"}, {"id": 2, "name": "yield"}]
    assert described["info"]["model_versions"] == [1]
    images = {image["id"]: image for image in described["images"]}
    assert list(images) == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]
    assert (images[6]["width"], images[6]["height"]) == (40, 65)  # upright

    found: dict[int, list[Any]] = {}
    for row in _read(output / "results.json"):
        assert list(row) == ["image_id", "category_id", "bbox", "score"]
        found.setdefault(row["image_id"], []).append(row)
    for image_id, image in images.items():
        content = pathlib.Path(image["file_name"]).read_bytes()
        if image["file_name"].endswith(".webp"):
            content = encoded(11, "PNG")
        for row, (class_id, score, box) in zip(found[image_id], served(content), strict=True):
            assert row["category_id"] == class_id
            # WebP loses a little on the way.
            assert row["score"] == pytest.approx(score, abs=0.02 if image_id == 12 else 1e-5)
            ymin, xmin, ymax, xmax = (
                np.array(box) * [image["height"], image["width"], image["height"], image["width"]]
            ).tolist()
            expected = [xmin, ymin, xmax - xmin, ymax - ymin]
            assert row["bbox"] == pytest.approx(expected, abs=0.5 if image_id == 12 else 0.011)


def _record(image: bytes | None, **texts: str | int) -> bytes:
    feature = {
        f"image/{key}": tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        if isinstance(value, int)
        else tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        for key, value in texts.items()
    }
    if image is not None:
        feature[features.IMAGE_ENCODED] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def _write_records(path: pathlib.Path, records: list[bytes], compression: str = "") -> None:
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)


def test_records_with_and_without_gzip_are_measured_by_pycocotools(model: pathlib.Path, tmp_path: pathlib.Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    numbered = [_record(encoded(number), source_id=str(number + 40), filename=f"{number}.jpg") for number in range(5)]
    _write_records(data / "a.tfrecord.gz", numbered, "GZIP")
    named = [_record(encoded(number), source_id=f"street/{number}") for number in range(5, 8)]
    # Names of files say nothing.
    _write_records(data / "b.gz", [*named, _record(encoded(8), source_id=99), _record(encoded(9))])
    output = tmp_path / "out"
    assert _run("--model", model, "--records", data / "*", "--output", output) == 0
    assert (output / "failures.jsonl").read_text() == ""
    described = _read(output / "images.json")
    assert {image["id"]: image["file_name"] for image in described["images"]} == {
        **{number + 40: f"{number}.jpg" for number in range(5)},
        **{20000001 + number: f"street/{number + 5}" for number in range(3)},
        99: "99",
        20000005: f"{data}/b.gz#5",
    }

    # What was found is taken for the truth.
    rows = _read(output / "results.json")
    truth = [
        {**row, "id": number, "area": row["bbox"][2] * row["bbox"][3], "iscrowd": 0}
        for number, row in enumerate(rows, start=1)
    ]
    (tmp_path / "truth.json").write_text(json.dumps({**described, "annotations": truth}))
    with contextlib.redirect_stdout(io.StringIO()):
        COCO(str(output / "images.json"))
        coco = COCO(str(tmp_path / "truth.json"))
        evaluation = COCOeval(coco, coco.loadRes(str(output / "results.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == 1.0


def test_records_that_cannot_be_used_fail_alone(model: pathlib.Path, tmp_path: pathlib.Path) -> None:
    records = [
        _record(encoded(0), source_id="7"),
        _record(None, source_id="8"),
        b"no example",
        _record(encoded(1)[:-30], filename="half.jpg"),
        _record(encoded(2), filename="again.jpg", source_id="007"),
        _record(encoded(3), filename="last.jpg"),
    ]
    path, broken, output = tmp_path / "a.tfrecord", tmp_path / "b.tfrecord", tmp_path / "out"
    _write_records(path, records)
    _write_records(broken, [_record(encoded(4)), _record(encoded(5))])
    broken.write_bytes(broken.read_bytes()[:-9])
    assert _run("--model", model, "--records", path, broken, "--output", output, "--format", "jsonl") == 1
    assert [line["image_id"] for line in _lines(output / "results.jsonl")] == [7, 10000006, 20000001]
    failures = {line["source"]: line["reason"] for line in _lines(output / "failures.jsonl")}
    assert list(failures) == [*(f"{path}#{number}" for number in (2, 3, 4, 5)), f"{broken}#2"]
    reasons = list(failures.values())
    assert reasons[0] == "has 0 values of image/encoded, expected 1"
    assert reasons[1].startswith("is no tf.train.Example")
    assert reasons[2] == exported_model.UNREADABLE_IMAGE
    assert reasons[3] == "has the image id 7, which an image before it has"
    assert reasons[4].startswith("cannot be read from here on")


def test_a_server_is_asked_and_an_image_that_it_refuses_fails_alone(
    server: ModelServer, photos: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    output = tmp_path / "out"
    options = ["--output", output, "--format", "jsonl", "--batch", 4, "--score_threshold", 0.3]
    assert _run("--server", f"localhost:{server.port}", "--images", photos / "*.jpg", *options) == 1
    answered = _lines(output / "results.jsonl")
    assert [line["image_id"] for line in answered] == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert {line["model_version"] for line in answered} == {1}
    assert {found["class"] for line in answered for found in line["detections"]} == {"stop"}
    [failure] = _lines(output / "failures.jsonl")
    assert failure["file"] == str(photos / "04.jpg")
    assert "INVALID_ARGUMENT" in failure["reason"]
    assert _read(output / "images.json")["categories"] == [{"id": 1, "name": "stop"}]


def test_no_server(photos: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--output", tmp_path / "out", "--timeout_seconds", 5]
    assert _run("--server", "localhost:1", "--images", photos, *options) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: no server answers at localhost:1")


def test_a_server_that_was_there_is_waited_for(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(detectors, "_PAUSES_SECONDS", (0.0, 0.0))
    parser = argparse.ArgumentParser()
    server_options.add_server_options(parser)
    asked = detectors.ServerSource(parser.parse_args(["--server", f"localhost:{server.port}"])).open()
    [found], version = asked.detect([encoded(0)], 0.0)
    answers = iter([ServerError("away"), ServerError("busy"), ([found], version)])

    def detect(self: DetectorClient, images: object, score_threshold: float) -> Any:
        answer = next(answers, ServerError("gone"))
        if isinstance(answer, ServerError):
            raise answer
        return answer

    monkeypatch.setattr(DetectorClient, "detect", detect)
    assert asked.detect([encoded(0)], 0.0) == ([found], version)
    with pytest.raises(BulkError, match="gone"):
        asked.detect([encoded(0)], 0.0)


def test_ids_of_annotations(
    model: pathlib.Path, photos: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [{"id": 100 + number, "file_name": f"photos/{number:02d}.jpg"} for number in range(10)]
    annotations = {"images": images, "categories": [{"id": 18, "name": "yield"}], "annotations": []}
    (tmp_path / "truth.json").write_text(json.dumps(annotations))
    numbers = ["--annotations", tmp_path / "truth.json"]
    assert _run("--model", model, "--images", photos, *numbers, "--output", tmp_path / "out") == 2
    assert f"of 2 of 12 images, the first is {photos}/more/10.png" in capsys.readouterr().err
    assert _run("--model", model, "--images", photos / "0[0-3].jpg", *numbers, "--output", tmp_path / "out") == 0
    rows = _read(tmp_path / "out" / "results.json")
    assert {row["image_id"] for row in rows} == {100, 101, 102, 103}
    assert {row["category_id"] for row in rows} == {18, 19}
    categories = _read(tmp_path / "out" / "images.json")["categories"]
    assert categories == [{"id": 18, "name": "yield"}, {"id": 19, "name": "stop"}]


def test_workers_share_the_model_and_give_what_one_gives(
    model: pathlib.Path, photos: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[detectors.Detector] = []
    original = detectors.ModelSource.open
    monkeypatch.setattr(detectors.ModelSource, "open", lambda self: opened.append(original(self)) or opened[-1])
    threads: set[int] = set()
    detect = detectors._LoadedModel.detect

    def noted(self: Any, images: Any, score_threshold: float) -> Any:
        threads.add(threading.get_ident())
        return detect(self, images, score_threshold)

    monkeypatch.setattr(detectors._LoadedModel, "detect", noted)
    options = ["--model", model, "--images", photos, "--batch", 1]
    assert _run(*options, "--output", tmp_path / "one") == 1
    assert len(opened) == len(threads) == 1
    threads.clear()
    two = ["--direct_num_workers", 2, "--direct_running_mode", "multi_threading"]
    assert _run(*options, *two, "--output", tmp_path / "two") == 1
    assert len(opened) == len(threads) == 2
    for name in ("results.json", "images.json", "failures.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


_KILLED = """
import os, signal, sys
from serving import bulk
from serving.bulk_inference import detectors
calls, detect = [], detectors._LoadedModel.detect
def detect_or_die(self, images, score_threshold):
    calls.append(images)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return detect(self, images, score_threshold)
detectors._LoadedModel.detect = detect_or_die
bulk.main(sys.argv[1:])
"""


def test_a_killed_run_never_looks_finished_and_goes_on_where_it_was(
    model: pathlib.Path,
    photos: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    pushed = tmp_path / "pushed"
    shutil.copytree(model, pushed / "1")
    options = [str(word) for word in ("--model", pushed, "--images", photos, "--output", output, "--batch", 2)]
    killed = subprocess.run([sys.executable, "-c", _KILLED, *options], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [path.name for path in output.iterdir()] == ["unfinished"]
    parts = sorted(path.name.partition(".writing")[0] for path in (output / "unfinished").glob("part-*"))
    assert len(parts) == 4
    assert len(list((output / "unfinished").glob("part-*.jsonl"))) == 3

    # What was chosen stays chosen.
    shutil.copytree(model, pushed / "2")
    (photos / "00a.jpg").write_bytes(encoded(0))
    assert bulk.main(options) == 2
    assert "--resume goes on with it" in capsys.readouterr().err
    assert bulk.main([*options, "--resume", "--score_threshold", "0.5"]) == 2
    assert "begun with score_threshold 0.05, now it is 0.5" in capsys.readouterr().err
    asked: list[int] = []
    detect = detectors._LoadedModel.detect

    def counted(self: Any, images: Any, score_threshold: float) -> Any:
        asked.append(len(images))
        return detect(self, images, score_threshold)

    monkeypatch.setattr(detectors._LoadedModel, "detect", counted)
    assert bulk.main([*options, "--resume"]) == 1
    assert asked == [2, 2, 2]
    assert sorted(path.name for path in output.iterdir()) == ["failures.jsonl", "images.json", "results.json"]
    described = _read(output / "images.json")
    assert len(described["images"]) == 11
    assert described["info"]["model_versions"] == [1]
    # Again and again, as whoever restarts it may do.
    assert bulk.main([*options, "--resume"]) == 1
    assert bulk.main(options) == 2
    assert "has the results.json of another run" in capsys.readouterr().err


def test_in_an_object_store(model: pathlib.Path, photos: pathlib.Path) -> None:
    for source, target in ((model, "ram://bulk/pushed/7"), (photos, "ram://bulk/photos")):
        for path in source.rglob("*"):
            # Listing `assets`, TensorFlow's file system in memory takes `assets.extra` for something in there.
            if path.is_file() and "assets.extra" not in path.parts:
                tf.io.gfile.makedirs(f"{target}/{path.relative_to(source).parent}".removesuffix("/."))
                tf.io.gfile.copy(str(path), f"{target}/{path.relative_to(source)}")
    where = ["--images", "ram://bulk/photos", "--output", "ram://bulk/out"]
    assert _run("--model", "ram://bulk/pushed", *where, "--format", "jsonl") == 1
    with tf.io.gfile.GFile("ram://bulk/out/results.jsonl") as file:
        lines = [json.loads(line) for line in file.read().splitlines()]
    assert len(lines) == 11
    assert {line["model_version"] for line in lines} == {7}
    assert sorted(name.rstrip("/") for name in tf.io.gfile.listdir("ram://bulk/out")) == [
        "failures.jsonl",
        "images.json",
        "results.jsonl",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "gone"], "--model: gone is no folder; expected a folder with saved_model.pb"),
        (["--model", "."], "--model: . holds no model; expected"),
        (["--images", "gone*.jpg"], "gone*.jpg: no such file, and no file matches it as a pattern"),
        (["--images", "empty"], "empty: the folder holds no file that ends in .jpg"),
        (["--model", "old"], "has no signature serving_tolerant (found: serving_default"),
        (["--runner", "DirectRuner"], "DirectRuner"),
        (["--flink_mastr=x"], "--flink_mastr; neither this command nor Beam knows it, did you mean --flink_master?"),
        (["street.jpg"], "unrecognized argument: street.jpg"),
    ],
)
def test_what_cannot_begin(
    arguments: list[str],
    said: str,
    model: pathlib.Path,
    photos: pathlib.Path,
    tmp_path: pathlib.Path,
    exports: dict[int, pathlib.Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "old").symlink_to(exports[1])
    monkeypatch.chdir(tmp_path)
    defaults = ["--model", str(model), "--images", str(photos), "--output", "out"]
    assert bulk.main([*defaults, *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--model and --server: give one of them"),
        (["--model", "m", "--server", "a:1"], "--model and --server: give one of them"),
        (["--model", "m", "--model_version", "3"], "--model_version: means nothing without --server"),
        (["--model", "m", "--tls"], "--tls: means nothing without --server"),
        (["--server", "a"], "--server: must be HOST:PORT or begin with http"),
        (["--model", "m", "--score_threshold", "2"], "must be 0 to 1"),
        (["--model", "m", "--batch", "0"], "must be positive"),
        (["--model", "m", "--score_treshold", "0.2"], "--score_treshold; did you mean --score_threshold?"),
        (["--help"], "Further options are Beam's"),
    ],
)
def test_help_and_wrong_flags_wait_for_nothing(arguments: list[str], said: str) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "serving.bulk", "--images", "a.jpg", "--output", "out"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert done.returncode == (0 if arguments == ["--help"] else 2)
    assert said in " ".join((done.stdout + done.stderr).split())
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line}
    assert imported & {"tensorflow", "apache_beam", "grpc"} == set()
