"""Every reference folder of the original implementation: same variables, anchors, raw outputs and detections.

    ZOO_REFERENCE=DIR pytest tests/components/detector/test_zoo_reference.py

checks every model folder in DIR (default: ``zoo_reference`` in the shared folder).
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from types import ModuleType

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.detector.detector import Detector
from components.detector.registry import build_detector
from components.detector.structures import Detections, Preprocessed
from components.detector.weights import checkpoints, zoo

_REPOSITORY = pathlib.Path(__file__).parents[3]
_SHARED = pathlib.Path(os.environ.get("SHARED_DIR", _REPOSITORY.parent / "shared"))
REFERENCE = pathlib.Path(os.environ.get("ZOO_REFERENCE", _SHARED / "zoo_reference"))
# Python and notebooks leave folders with such names beside what they run.
FOLDERS = (
    sorted(path.name for path in REFERENCE.iterdir() if path.is_dir() and not path.name.startswith(("_", ".")))
    if REFERENCE.is_dir()
    else []
)
if "ZOO_REFERENCE" in os.environ and not FOLDERS:
    raise FileNotFoundError(f"ZOO_REFERENCE={REFERENCE}: expected a folder with model folders, found none")

ANCHOR_TOLERANCE = 1e-5
"""Of normalised coordinates."""
RAW_TOLERANCE = 1e-3
"""Of the largest magnitude of the output."""
DETECTION_TOLERANCE = 1e-3
TIE_TOLERANCE = 1e-4
"""Scores closer than this may come in either order."""

RAW_OUTPUTS = (
    "preprocessed",
    "box_encodings",
    "class_predictions_with_background",
    "rpn_box_encodings",
    "rpn_objectness_predictions_with_background",
    "proposal_boxes",
    "refined_box_encodings",
)


def _cases() -> Iterator[tuple[str, str, str]]:
    """(folder, file, output), ordered so that a model is built once for all its cases."""
    for folder in FOLDERS:
        yield folder, "variables.txt", "variables"
        for file in sorted((REFERENCE / folder).glob("expected*.npz")):
            with np.load(file) as expected:
                held = [name for name in RAW_OUTPUTS if name in expected or f"{name}#sample" in expected]
            for output in ("anchors", *held, "detections"):
                yield folder, file.name, output


@functools.cache
def _make_checkpoint() -> ModuleType:
    """The reference's own script: beside the folders, or the one that is handed out with the project."""
    paths = [REFERENCE / "make_checkpoint.py", _SHARED / "zoo_reference" / "make_checkpoint.py"]
    path = next(path for path in paths if path.exists())
    spec = importlib.util.spec_from_file_location("make_checkpoint", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("checkpoints")


_loaded: dict[str, tuple[Detector, zoo.RestoreReport]] = {}


def load(folder: str, checkpoint_folder: pathlib.Path) -> tuple[Detector, zoo.RestoreReport]:
    """The detector with the seeded weights; only the last one is kept, they are large."""
    if folder not in _loaded:
        _loaded.clear()
        keras.backend.clear_session()
        meta = json.loads((REFERENCE / folder / "meta.json").read_text())
        # faster_rcnn_resnet50_v1_640x640_coco17_tpu-8 -> faster_rcnn_resnet50
        name = re.sub(r"(_v1)?(_\d+x\d+)?_coco17_.*", "", folder)
        detector = build_detector(
            name, num_classes=meta["num_classes"], image_size=(meta["image_height"], meta["image_width"])
        )
        prefix = checkpoint_folder / folder / "checkpoint" / "ckpt-0"
        if not prefix.with_suffix(".index").exists():
            prefix.parent.mkdir(parents=True)
            _make_checkpoint().main(REFERENCE / folder, str(prefix))
        _loaded[folder] = detector, zoo.restore(detector, str(checkpoint_folder / folder))
    return _loaded[folder]


@functools.lru_cache(maxsize=1)
def outputs(folder: str, file: str, checkpoint_folder: pathlib.Path) -> tuple[dict[str, np.ndarray], Detections]:
    """Raw outputs by the reference's names, and detections, for the image of one expectation."""
    detector, _ = load(folder, checkpoint_folder)
    if file == "expected.npz":
        meta = json.loads((REFERENCE / folder / "meta.json").read_text())
        height, width, seed = meta["image_height"], meta["image_width"], meta["image_seed"]
    else:
        height, width = map(int, file.removeprefix("expected_").removesuffix(".npz").split("x"))
        seed = 1
    preprocessed = detector.preprocess(tf.constant(_make_checkpoint().image(height, width, seed)))

    # As a graph, as serving runs it: eagerly, Keras keeps every activation to the end, gigabytes in the large models.
    @tf.function(autograph=False)
    def run(preprocessed: Preprocessed) -> tuple[dict[str, tf.Tensor], Detections]:
        features = detector.features(preprocessed.images, training=False)
        predictions = detector.head_predictions(features, preprocessed.valid_height_width)
        return predictions, detector.postprocess(predictions, preprocessed.valid_height_width)

    predictions, detections = run(preprocessed)
    arrays = {name: np.asarray(value) for name, value in predictions.items()}
    return {"preprocessed": np.asarray(preprocessed.images), **arrays}, Detections(*map(np.asarray, detections))


def expectation(expected: Mapping[str, np.ndarray], name: str, actual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expected and actual values, at the sampled positions where the reference is a sample."""
    if name in expected:
        return expected[name], actual.reshape(expected[name].shape)
    assert tuple(expected[f"{name}#shape"]) == actual.shape
    return expected[f"{name}#sample"], actual.ravel()[expected[f"{name}#sample_index"]]


def check_variables(folder: str, checkpoint_folder: pathlib.Path) -> str:
    """All of the checkpoint's variables are restored and all of the detector's are set."""
    detector, report = load(folder, checkpoint_folder)
    keys = {key.removesuffix(checkpoints.VALUE_SUFFIX) for key, _ in _make_checkpoint().variables(REFERENCE / folder)}
    assert set(report.restored) == keys
    assert not report.reinitialized and not report.missing and not report.unused
    mapped = {id(variable) for variable in detector.zoo_variables().values()}
    # The state of a random generator is no weight.
    left = [v.path for v in detector.weights if id(v) not in mapped and v.dtype.startswith("float")]
    assert not left, "variables of the detector that the checkpoint does not set"
    return f"{len(keys)} variables restored, none left over"


def check_anchors(folder: str, file: str, checkpoint_folder: pathlib.Path) -> str:
    detector, _ = load(folder, checkpoint_folder)
    with np.load(REFERENCE / folder / file) as reference:
        difference = anchor_difference(reference, detector.anchors_yxyx_normalized, in_pixels_of(folder, detector))
    assert difference <= ANCHOR_TOLERANCE
    return f"largest difference {difference:.1e} (normalised)"


def in_pixels_of(folder: str, detector: Detector) -> tuple[int, int]:
    """(height, width) of what the reference's anchors are measured in."""
    return detector.image_size if folder.startswith("faster_rcnn") else (1, 1)


def anchor_difference(
    reference: Mapping[str, np.ndarray], anchors_yxyx_normalized: np.ndarray, size: tuple[int, int]
) -> float:
    """Largest difference of normalised coordinates."""
    unit = np.broadcast_to(np.array([*size, *size], np.float32), anchors_yxyx_normalized.shape)
    expected, actual = expectation(reference, "anchors", anchors_yxyx_normalized * unit)
    _, units = expectation(reference, "anchors", unit)
    return float((np.abs(expected - actual) / units).max())


def proposal_order(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Rows of ``actual`` [P, 4] paired one to one with those of ``expected``.

    Anchors over flat padding score the same but for rounding, so the rank of their proposals is not defined.
    """
    distances = np.abs(expected[:, None] - actual[None]).max(axis=2)  # [P, P]
    order = np.full(len(expected), -1)
    same_rank = np.flatnonzero(np.diag(distances) <= RAW_TOLERANCE * np.abs(expected).max())
    order[same_rank] = same_rank
    distances[:, same_rank] = np.inf
    for row in np.flatnonzero(order < 0):
        order[row] = distances[row].argmin()
        distances[:, order[row]] = np.inf
    return order


def check_raw_output(folder: str, file: str, output: str, checkpoint_folder: pathlib.Path) -> str:
    arrays, _ = outputs(folder, file, checkpoint_folder)
    with np.load(REFERENCE / folder / file) as reference:
        expected, actual = expectation(reference, output, arrays[output])
        moved = 0
        if "proposal_boxes" in arrays and not output.startswith(("rpn_", "preprocessed")):
            order = proposal_order(reference["proposal_boxes"][0], arrays["proposal_boxes"][0])
            actual = actual.reshape(len(order), -1)[order].reshape(expected.shape)
            moved = int((order != np.arange(len(order))).sum())
    difference = np.abs(expected - actual).max() / np.abs(expected).max()
    assert difference <= RAW_TOLERANCE
    ties = f" ({moved} proposals at another rank)" if moved else ""
    return f"largest difference {difference:.1e} of the largest magnitude{ties}"


def check_detections(folder: str, file: str, checkpoint_folder: pathlib.Path) -> str:
    _, detections = outputs(folder, file, checkpoint_folder)
    with np.load(REFERENCE / folder / file) as expected:
        boxes, scores = expected["post/detection_boxes"][0], expected["post/detection_scores"][0]
        classes, count = expected["post/detection_classes"][0], int(expected["post/num_detections"][0])
    assert detections.counts[0] == count
    actual_scores = detections.scores[0, :count]
    score_difference = np.abs(scores[:count] - actual_scores).max(initial=0.0)
    assert score_difference <= DETECTION_TOLERANCE
    largest, cut = 0.0, 0
    unpaired = set(range(count))
    for row in range(count):
        # The row of the same rank or, for scores too close to order, one that ties with it.
        ties = [i for i in unpaired if i == row or abs(scores[i] - scores[row]) <= TIE_TOLERANCE]
        candidates = [i for i in ties if classes[i] == detections.classes[0, row]]
        if not candidates and abs(actual_scores[row] - scores[count - 1]) <= TIE_TOLERANCE:
            cut += 1  # it ties with the last rank, behind which the reference ends
            continue
        assert candidates, f"rank {row}: class {detections.classes[0, row]}, expected {classes[row]}"
        differences = {i: np.abs(boxes[i] - detections.boxes_yxyx_normalized[0, row]).max() for i in candidates}
        best = min(differences, key=lambda i: differences[i])
        largest = max(largest, differences[best])
        unpaired.remove(best)
    assert largest <= DETECTION_TOLERANCE
    ties_said = f" ({cut} others tie with the last rank)" if cut else ""
    return f"{count} detections, scores differ by at most {score_difference:.1e}, boxes by {largest:.1e}{ties_said}"


@pytest.mark.parametrize("size", [(1, 1), (640, 480)])
def test_anchors_that_the_reference_holds_a_sample_of(size: tuple[int, int]) -> None:
    anchors = np.random.default_rng(0).uniform(0, 1, (60_000, 4)).astype(np.float32)
    stored = (anchors * np.array([*size, *size])).ravel()
    index = np.arange(3, stored.size, 7)
    reference = {
        "anchors#shape": np.array(anchors.shape),
        "anchors#sample_index": index,
        "anchors#sample": stored[index],
    }
    assert anchor_difference(reference, anchors, size) < 1e-6
    reference["anchors#sample"][5] += 0.01 * size[(index[5] % 4) % 2]
    assert anchor_difference(reference, anchors, size) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.skipif(not FOLDERS, reason=f"no model folders in {REFERENCE} (set ZOO_REFERENCE)")
@pytest.mark.parametrize(("folder", "file", "output"), _cases())
def test_reference(
    folder: str, file: str, output: str, checkpoint_folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if output == "variables":
        said = check_variables(folder, checkpoint_folder)
    elif output == "anchors":
        said = check_anchors(folder, file, checkpoint_folder)
    elif output == "detections":
        said = check_detections(folder, file, checkpoint_folder)
    else:
        said = check_raw_output(folder, file, output, checkpoint_folder)
    with capsys.disabled():
        print(f"\n{folder} {file} {output}: {said}", end="")
