"""The verb on an export, records and a log of requests."""

from __future__ import annotations

import io
import json
import pathlib
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2

from components.detector.registry import build_detector
from components.export.saved_model import export
from pipeline.served_drift import embedding, seen_images
from pipeline.verbs import drift
from schema import exported_model, features
from schema.label_map import LabelMap

IMAGES = 24


def _encoded(level: int, seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 40, (48, 48, 3))
    buffer = io.BytesIO()
    Image.fromarray((noise + level).clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Two pushed versions and the records beside which they were trained."""
    folder = tmp_path_factory.mktemp("pipelines")
    detector = build_detector("ssd_mobilenet_v2", num_classes=2, image_size=(64, 64), alpha=0.35)
    for version in (1, 2):
        path = folder / "signs" / "served" / "detector" / str(version)
        export(str(path), detector, LabelMap((1, 2), ("stop", "yield")), serving_batch_size=1)
    split = folder / "signs" / "ObjectDetectionExampleGen" / "examples" / "3" / "Split-eval"
    split.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(split / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
        for seed in range(IMAGES):
            example = tf.train.Example()
            values = example.features.feature
            values[features.IMAGE_ENCODED].bytes_list.value.append(_encoded(100, seed))
            for key, value in zip(features.BOX_KEYS_YXYX, (0.1, 0.1, 0.6, 0.6), strict=True):
                values[key].float_list.value.append(value)
            values[features.OBJECT_CLASS_TEXT].bytes_list.value.append(b"stop")
            for key in (features.OBJECT_IS_CROWD, features.OBJECT_DIFFICULT):
                values[key].int64_list.value.append(0)
            writer.write(example.SerializeToString())
    return folder


def _log(folder: pathlib.Path, model: pathlib.Path, images: Sequence[bytes], version: int = 2) -> None:
    """What a server would log of these images, two in a request."""
    folder.mkdir(exist_ok=True)
    signature = tf.saved_model.load(str(model)).signatures[exported_model.SERVING_SIGNATURE]
    with tf.io.TFRecordWriter(str(folder / "requests-20260101T000000-a-1-000001.tfrecord")) as writer:
        for start in range(0, len(images), 2):
            batch = tf.constant(list(images[start : start + 2]))
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.inputs[exported_model.IMAGE_BYTES].CopyFrom(tf.make_tensor_proto(batch))
            log.predict_log.response.model_spec.version.value = version
            for alias, value in signature(**{exported_model.IMAGE_BYTES: batch}).items():
                log.predict_log.response.outputs[alias].CopyFrom(tf.make_tensor_proto(value))
            writer.write(log.SerializeToString())


@pytest.fixture
def config(root: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "signs.yaml"
    path.write_text(
        f"name: signs\nroot: {root}\ndata: {{format: coco, path: data}}\ncluster: {{drift: {{min_images: 10}}}}\n"
    )
    return path


def _drift(config: pathlib.Path, requests: pathlib.Path, *more: str) -> int:
    output = ["--output", str(config.parent / "out")]
    return drift.main(["--config", str(config), "--requests", str(requests), *output, *more])


def test_night_is_drift(root: pathlib.Path, config: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    requests = config.parent / "log"
    _log(requests, root / "signs/served/detector/2", [_encoded(10, 100 + seed) for seed in range(IMAGES)])
    assert _drift(config, requests, "--label", "4") == drift.EXIT_DRIFT
    report = json.loads((config.parent / "out" / "drift.json").read_text())
    assert (report["version"], report["previous"]) == (2, 1)
    figures = report["figures"]
    assert figures["brightness"]["is_beyond"]
    assert figures["embedding"]["value"] > 0.9
    assert not figures["size"]["is_beyond"]
    assert figures["agreement"]["detail"].startswith("with the version before")
    coco = json.loads((config.parent / "out" / "span-next" / "annotations.json").read_text())
    assert 1 <= len(coco["images"]) <= 4
    assert "DRIFT" in capsys.readouterr().out


def test_the_same_kind_of_images_is_none(root: pathlib.Path, config: pathlib.Path) -> None:
    requests = config.parent / "log"
    _log(requests, root / "signs/served/detector/2", [_encoded(100, 200 + seed) for seed in range(IMAGES)])
    # Sets so small are apart by chance: the limits that count are larger than those of the settings.
    limits = ["--set", "cluster.drift.max_image_distance=0.01", "--set", "cluster.drift.max_score_distance=0.01"]
    assert _drift(config, requests, *limits) == 0


def test_what_cannot_be_compared_is_said(
    root: pathlib.Path, config: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    requests = config.parent / "log"
    requests.mkdir()
    assert _drift(config, requests) == 1
    assert "holds no *.tfrecord" in capsys.readouterr().err
    _log(requests, root / "signs/served/detector/2", [_encoded(10, 0)] * 4, version=1)
    assert _drift(config, requests) == 1
    assert "has no answer of version 2 to an encoded image (2 x answered by version 1)" in capsys.readouterr().err
    assert _drift(config, requests, "--version", "1") == 0
    assert "4 images were served: too few to judge" in capsys.readouterr().out
    assert _drift(config, requests, "--version", "7") == 1
    assert "has no version 7; there are: 2, 1" in capsys.readouterr().err


def test_a_log_that_ends_in_the_middle_of_a_record(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    requests = tmp_path / "log"
    _log(requests, root / "signs/served/detector/2", [_encoded(10, seed) for seed in range(4)])
    [file] = requests.iterdir()
    file.write_bytes(file.read_bytes()[:-10])
    images, passed_over = seen_images.read_log(requests, 2, 100)
    assert len(images) == 2
    assert passed_over == {"a damaged record": 1}


def test_the_newest_images_of_a_log_are_those_at_its_end(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    requests, model = tmp_path / "log", root / "signs/served/detector/2"
    images = [_encoded(10, seed) for seed in range(8)]
    _log(requests, model, images[4:])
    (written,) = requests.iterdir()
    written.rename(requests / written.name.replace("20260101", "20260102"))
    _log(requests, model, images[:4])
    for most in (2, 3, 6, 100):
        read, _ = seen_images.read_log(requests, 2, most)
        assert [image.encoded for image in read] == images[-most:]


def test_an_embedding_depends_on_the_image_alone(root: pathlib.Path) -> None:
    model = root / "signs/served/detector/2"
    one, same, other = embedding.embed(model, [_encoded(10, 0), _encoded(10, 0), _encoded(200, 1)])
    assert np.array_equal(one, same)
    # Of weights that have learnt nothing the features are tiny.
    assert not np.allclose(one, other, atol=0)
