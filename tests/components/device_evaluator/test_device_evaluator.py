"""The node: each format is asked through its runtime about the judged split, judged, and has its card."""

from __future__ import annotations

import io
import json
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tfx.types import artifact_utils, standard_artifacts

from components.code_digest import reachable_modules
from components.device_evaluator import executor, measuring
from components.device_evaluator.component import DeviceEvaluator
from components.device_evaluator.settings import DeviceGateSettings
from components.evaluator.check import OVERALL
from components.evaluator.evaluation import Evaluation, read_evaluation, slice_result
from components.evaluator.exported_model import Rows, matches_of_detector
from components.evaluator.judge import judge
from components.evaluator.matches_file import MATCHES_FOLDER, read_matches, write_matches
from components.evaluator.settings import EvalSettings
from components.exporter.failures_file import read_failures
from components.exporter.format_process import Request
from components.user_error import failure_reason
from schema import features
from schema.device_model import DEVICE_FORMATS, DeviceCard, DeviceMetadata, Resizing, Suppression
from schema.label_map import LabelMap
from serving.devices.device_detector import DeviceDetector

SIDE = 40
"""Height and width in pixels of the images and of the canvas."""
CLASSES = LabelMap((2, 3), ("car", "bus"))
JUDGED_BY = EvalSettings.model_validate({"slices": [], "gates": {"resamples": 200}})
METADATA = DeviceMetadata(
    "ssd_mobilenet_v2",
    CLASSES.ids,
    CLASSES.names,
    None,
    Resizing(SIDE, SIDE, None, None, half_pixel_centers=False),
    Suppression(0.01, 0.5, 10, 10),
)
BOXES = np.random.default_rng(4).uniform(0.0, 0.4, (12, 2)).astype(np.float32)  # [image, (ymin, xmin)]
_SIDE_OF_BOX = 0.5


def picture(number: int) -> bytes:
    """An image that shows its number."""
    buffer = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), (10 * number, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def box_of(number: int) -> list[float]:
    """The one object of an image: (ymin, xmin, ymax, xmax) in 0..1."""
    top, left = BOXES[number]
    return [top, left, top + _SIDE_OF_BOX, left + _SIDE_OF_BOX]


def record(number: int) -> bytes:
    """An image with a car, or a bus where the number is odd."""
    example = tf.train.Example()
    feature = example.features.feature
    feature[features.IMAGE_ENCODED].bytes_list.value.append(picture(number))
    feature[features.IMAGE_SOURCE_ID].bytes_list.value.append(f"image {number}".encode())
    for key in (features.IMAGE_HEIGHT, features.IMAGE_WIDTH):
        feature[key].int64_list.value.append(SIDE)
    for key, value in zip(features.BOX_KEYS_YXYX, box_of(number), strict=True):
        feature[key].float_list.value.append(value)
    feature[features.OBJECT_CLASS_TEXT].bytes_list.value.append(CLASSES.names[number % 2].encode())
    return bytes(example.SerializeToString())


class Network:
    """Stands for a file in a runtime: it knows the images by their red."""

    def __init__(self, path: pathlib.Path, moved_by: float) -> None:
        self.path, self.metadata, self.moved_by = path, METADATA, moved_by

    def run(self, image: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes float32 [1, 1, 4] and scores float32 [1, 2]."""
        assert image.shape == (SIDE, SIDE, 3)
        np.testing.assert_array_equal(share, [1.0, 1.0])
        number = round(float(image[..., 0].mean()) / 10)
        scores = np.array([[0.9, 0.1] if number % 2 == 0 else [0.1, 0.9]], np.float32)
        return np.array([[box_of(number)]], np.float32) + np.float32(self.moved_by), scores


class SavedModel:
    """What the SavedModel answers: every object, exactly."""

    label_map = CLASSES

    def detect_encoded(self, encoded: Sequence[bytes]) -> Rows:
        """float32 [B, 1, 6]."""
        numbers = [round(np.asarray(Image.open(io.BytesIO(one)))[0, 0, 0] / 10) for one in encoded]
        return np.array([[[*box_of(n), CLASSES.ids[n % 2], 0.9]] for n in numbers], np.float32)


Run = Callable[..., standard_artifacts.ModelEvaluation]


@pytest.fixture
def run_node(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the node on formats by how far they move boxes (None: broken), and gives its output."""

    def run(formats: dict[str, float | None], **gate: object) -> standard_artifacts.ModelEvaluation:
        examples, evaluation = standard_artifacts.Examples(), standard_artifacts.ModelEvaluation()
        models, output = standard_artifacts.Model(), standard_artifacts.ModelEvaluation()
        for name, artifact in (("examples", examples), ("evaluation", evaluation), ("m", models), ("o", output)):
            artifact.uri = str(tmp_path / name)
            (tmp_path / name).mkdir()
        examples.split_names = artifact_utils.encode_split_names(["train", "test"])
        evaluation.set_string_custom_property("split", "test")
        records = [record(number) for number in range(len(BOXES))]
        (tmp_path / "examples" / "Split-test").mkdir()
        with tf.io.TFRecordWriter(str(tmp_path / "examples" / "Split-test" / "data-0.gz"), "GZIP") as writer:
            for one in records:
                writer.write(one)
        found = matches_of_detector(SavedModel(), records, batch_size=5)
        write_matches(str(tmp_path / "evaluation" / MATCHES_FOLDER), found)
        measured = slice_result(found, OVERALL, found.metrics(found.candidate), {}, JUDGED_BY.gates)
        judged = Evaluation(judge(found, JUDGED_BY), (measured,))
        (tmp_path / "evaluation" / "evaluation.json").write_text(judged.to_json())
        for name in formats:
            folder = tmp_path / "m" / name
            folder.mkdir()
            for file in (DEVICE_FORMATS[name].file, *DEVICE_FORMATS[name].beside):
                (folder / file).write_bytes(b"12345")

        def open_fake(path: pathlib.Path) -> DeviceDetector:
            moved_by = formats[path.name]
            if moved_by is None:
                raise OSError("half a file\nand more")
            return DeviceDetector(Network(path / "detector", moved_by))  # type: ignore[arg-type]

        def in_this_process(
            program: str, names: Sequence[str], request: Request, *, seconds_for_each: int, to_raise: str
        ) -> dict[str, str]:
            assert program == "components.device_evaluator.measuring"
            measure, reasons = measuring.measuring(request), {}
            for name in names:
                try:
                    measure(name)
                except OSError as error:
                    reasons[name] = failure_reason(error)
            return reasons

        monkeypatch.setattr(measuring.DeviceDetector, "open", open_fake)
        monkeypatch.setattr(executor, "done_in_processes", in_this_process)
        inputs = {"examples": [examples], "evaluation": [evaluation], "device_models": [models]}
        properties = {
            "eval_settings": JUDGED_BY.model_dump_json(),
            "settings": DeviceGateSettings.model_validate(gate).model_dump_json(),
        }
        executor.Executor().Do(inputs, {"device_evaluation": [output]}, properties)
        return output

    return run


def card_of(output: standard_artifacts.ModelEvaluation, name: str) -> DeviceCard:
    """What was measured of a format."""
    return DeviceCard.of_json((pathlib.Path(output.uri) / name / "card.json").read_text())


def test_each_format_is_judged_by_itself(run_node: Run) -> None:
    output = run_node({"litert": 0.0, "openvino": 0.2, "onnx": None})
    litert, openvino = (card_of(output, name) for name in ("litert", "openvino"))
    assert (litert.is_blessed, litert.reasons) == (True, ())
    assert (litert.ap, litert.ap50, litert.saved_model_ap) == (pytest.approx(1.0),) * 3
    assert (litert.detector, litert.split, litert.images) == ("ssd_mobilenet_v2", "test", 12)
    assert (litert.size_bytes, openvino.size_bytes) == (5, 10)
    assert litert.latency_ms > 0
    assert litert.machine
    assert not openvino.is_blessed
    assert openvino.ap < 0.5
    (reason,) = openvino.reasons
    assert reason.endswith("below the SavedModel's 1.0000, at most 0.01 is allowed")
    assert read_failures(output.uri) == {"onnx": "does not answer: OSError: half a file"}
    assert not (pathlib.Path(output.uri) / "onnx").exists()
    assert output.get_string_custom_property("split") == "test"


def test_evaluation_and_matches_are_those_of_an_evaluator(run_node: Run) -> None:
    folder = pathlib.Path(run_node({"litert": 0.05}).uri) / "litert"
    evaluation, images = read_evaluation(str(folder)), read_matches(str(folder / MATCHES_FOLDER))
    assert evaluation.overall is not None
    assert evaluation.overall.metrics["AP"] == pytest.approx(images.metrics(images.candidate)["AP"])
    assert images.baseline is not None
    assert evaluation.overall.baseline_metrics["AP"] == pytest.approx(images.metrics(images.baseline)["AP"])
    assert evaluation.verdict.is_compared


def test_another_bound_for_one_format_alone(run_node: Run) -> None:
    refuses_all = {"onnx": {"max_drop": {"AP": {"absolute": 0.0}}}}
    output = run_node({"litert": 0.02, "onnx": 0.02}, max_drop={"AP": {"absolute": 1.0}}, by_format=refuses_all)
    assert card_of(output, "litert").is_blessed
    assert not card_of(output, "onnx").is_blessed


def test_where_nothing_was_made_nothing_is_asked(run_node: Run) -> None:
    assert list(pathlib.Path(run_node({}).uri).iterdir()) == []


def test_a_damaged_list_of_failures_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "failures.json").write_text(json.dumps([1]))
    with pytest.raises(ValueError, match=r"failures\.json: found a list; expected an object of reasons by format"):
        read_failures(str(tmp_path))


def test_the_code_that_runs_models_is_part_of_what_the_cache_sees() -> None:
    reached = reachable_modules(DeviceEvaluator.__module__)
    assert {"serving.devices.suppression", "serving.devices.litert", "components.evaluator.judge"} <= reached
