"""``run_fn`` as TFX's Trainer calls it: real transform graph, start weights, training, export, warm start."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf

from components.data_profile import DATA_PROFILE_FILE, DataProfile, SplitProfile
from components.detector.registry import build_detector
from components.evaluator.analysis.operating_point import Rule, operating_points
from components.evaluator.exported_model import matches_of_detector
from components.evaluator.operating_point_settings import OperatingPointSettings
from components.trainer.input.record_stream import ordered_records
from components.trainer.settings import ModelSettings, TrainSettings
from components.trainer.state.progress_log import HISTORY_FILE
from components.trainer.strategies.settings.adversarial import AdversarialSettings
from components.trainer.strategies.settings.feature_extraction import FeatureExtractionSettings
from components.trainer.strategies.settings.fine_tune import FineTuneSettings
from components.trainer.strategies.settings.keep import KeepSettings
from components.trainer.strategies.settings.mean_teacher import MeanTeacherSettings
from components.trainer.strategies.settings.strategy import StrategySettings
from components.trainer.training_plan import PLAN_FILE, TrainingPlan
from pipeline.saved_detectors.exported import ExportedDetector
from schema.exported_model import DESCRIPTION_FILE, OPERATING_POINTS_FILE, WEIGHTS_FILE
from schema.operating_points import OperatingPoints

MODEL = ModelSettings(
    image_size=(64, 64),
    pretrained=None,
    options={"alpha": 0.35, "fpn_depth": 16, "num_head_layers": 1, "batch_norm_momentum": 0.8},
    serving_batch_size=2,
)
TRAIN = TrainSettings(steps=3, batch_size=4, evaluate_every=2, evaluate_images=5)


def test_trains_exports_and_starts_warm(
    tmp_path: pathlib.Path, transform_output: str, squares: Callable[[str, int], str]
) -> None:
    from tfx.components.trainer.fn_args_utils import FnArgs

    from components.trainer.run import run_fn

    checkpoint_root = tmp_path / "checkpoints"
    train = squares("train", 12)
    # Squares of a third to half of the image: as the fixture draws them.
    profile = SplitProfile()
    for number in range(12):
        profile.add([["red", "green"][number % 2]], [(0.1, 0.1, 0.5, 0.5)], height_pixels=96, width_pixels=96)
    (tmp_path / DATA_PROFILE_FILE).write_text(DataProfile({"train": profile}).to_json())

    def run(
        name: str,
        base_model: str | None,
        transfer: StrategySettings,
        best: dict[str, Any] | None = None,
        **further: str,
    ) -> pathlib.Path:
        folder = tmp_path / name
        run_fn(
            FnArgs(
                train_files=[train],
                eval_files=[squares("eval", 6)],
                transform_graph_path=transform_output,
                serving_model_dir=str(folder / "Format-Serving"),
                model_run_dir=str(folder / "run"),
                base_model=base_model,
                hyperparameters=best,
                custom_config={
                    "model": MODEL.model_dump_json(),
                    "transfer": transfer.model_dump_json(),
                    "train": TRAIN.model_dump_json(),
                    "checkpoint_root": str(checkpoint_root),
                    "features_root": str(tmp_path / "features"),
                    **further,
                },
            )
        )
        return folder

    rule = OperatingPointSettings(rule="recall", value=0.9).model_dump_json()
    first = run("first", None, FineTuneSettings(warm_start_from_blessed=True), operating_point=rule)
    assert (first / "Format-Serving" / "assets" / "labels.txt").read_text() == "green\nred\n"
    history = [json.loads(line) for line in (first / "run" / HISTORY_FILE).read_text().splitlines()]
    assert [entry["step"] for entry in history if "AP" in entry] == [2, 3]
    assert "from scratch" in (first / "run" / "start_weights.txt").read_text()
    assert not list(checkpoint_root.glob("*"))

    model = tf.saved_model.load(str(first / "Format-Serving"))
    record = next(iter(tf.data.TFRecordDataset(str(next((tmp_path / "eval").glob("*"))), compression_type="GZIP")))
    assert model.signatures["evaluate"](examples=record[tf.newaxis])["detections"].shape[2] == 6
    _check_operating_points(first / "Format-Serving", model, str(tmp_path / "eval" / "*"))

    blessed = str(first / "Format-Serving")
    keeping = FineTuneSettings(warm_start_from_blessed=True, keep=KeepSettings())
    best = {
        "space": [],
        "values": {"transfer.trainable": '"heads"', "train.evaluate_every": 3, "train.precision": '"auto"'},
    }
    second = run("second", blessed, keeping, best)
    report = (second / "run" / "start_weights.txt").read_text()
    assert report.startswith("warm start from the last blessed model")
    assert "re-initialised" not in report
    assert not (second / "Format-Serving" / OPERATING_POINTS_FILE).exists(), "nobody asked for them"
    assert "restored\tmodel/" in report
    history = [json.loads(line) for line in (second / "run" / HISTORY_FILE).read_text().splitlines()]
    assert [entry["step"] for entry in history if "AP" in entry] == [3], "the values of the search"
    assert all(entry["distillation"] >= 0.0 for entry in history if "total" in entry)
    description = json.loads((second / "Format-Serving" / "assets.extra" / "detector.json").read_text())
    assert description["label_map"] == [[1, "green"], [2, "red"]]

    plans = [TrainingPlan.from_json((folder / "run" / PLAN_FILE).read_text()) for folder in (first, second)]
    assert [plan.anchors.origin for plan in plans] == [
        "for the boxes of the training images",
        "of the last blessed model",
    ]
    assert plans[0].anchors.options == plans[1].anchors.options
    assert [set(plan.precision.step_seconds) for plan in plans] == [set(), {"float32", "mixed_bfloat16"}]
    # What was chosen is exported, so that whoever builds the detector again has the same anchors.
    described = json.loads((first / "Format-Serving" / DESCRIPTION_FILE).read_text())["options"]
    assert {name: described[name] for name in plans[0].anchors.options} == plans[0].anchors.options

    # Necks and heads of the second, not trained any further, with a classifier: a push of that one starts a training.
    extraction = {"warm_start_from_blessed": True, "copies": 0, "classifier": "logistic", "train_heads": False}
    third = run("third", str(second / "Format-Serving"), FeatureExtractionSettings(**extraction), operating_point=rule)
    # Of what is exported, and that is the detector with its classifier.
    model = tf.saved_model.load(str(third / "Format-Serving"))
    _check_operating_points(third / "Format-Serving", model, str(tmp_path / "eval" / "*"))
    history = [json.loads(line) for line in (third / "run" / HISTORY_FILE).read_text().splitlines()]
    assert {entry["step"] for entry in history} == {0}
    assert json.loads((third / "Format-Serving" / DESCRIPTION_FILE).read_text())["classifier"] == "logistic"
    extraction["classifier"] = "svm"
    fourth = run("fourth", str(third / "Format-Serving"), FeatureExtractionSettings(**extraction))
    report = (fourth / "run" / "start_weights.txt").read_text()
    assert "without its logistic classifier" in report
    assert len([path for path in (tmp_path / "features").iterdir() if path.is_dir()]) == 1, "kept once, found again"


def _check_operating_points(export: pathlib.Path, model: Any, eval_files: str) -> None:
    """They are what the evaluator's function says of the export's own detections in all images of `eval`."""
    written = OperatingPoints.of_json((export / OPERATING_POINTS_FILE).read_text())
    assert (written.rule, written.value, written.split, written.images) == ("recall", 0.9, "eval", 6)
    detector = ExportedDetector(export, model, None)
    found = matches_of_detector(detector, ordered_records([eval_files]).as_numpy_iterator(), TRAIN.batch_size)
    expected = operating_points(found, Rule("recall", 0.9))
    assert [point.class_name for point in written.classes] == ["green", "red"]
    for point in written.classes:
        of_export = expected[point.class_name]
        assert point.threshold == pytest.approx(of_export.threshold, abs=1e-5)
        assert (point.precision, point.recall) == pytest.approx((of_export.precision, of_export.recall))
        assert (point.support, point.of_all_classes) == (3, True)


def test_adapts_to_a_target_and_exports_the_detector_alone(
    tmp_path: pathlib.Path,
    transform_output: str,
    squares: Callable[[str, int], str],
    write_records: Callable[..., str],
    make_record: Callable[..., bytes],
    make_square: Callable[..., tuple[bytes, list[float], int]],
) -> None:
    from tfx.components.trainer.fn_args_utils import FnArgs

    from components.trainer.run import run_fn

    profile = SplitProfile()
    profile.add(["red", "green"], [(0.1, 0.1, 0.5, 0.5)] * 2, height_pixels=96, width_pixels=96)
    (tmp_path / DATA_PROFILE_FILE).write_text(DataProfile({"train": profile}).to_json())
    target = write_records("target", [make_record(make_square(n)[0], f"target/{n}", [], []) for n in range(6)])
    transfer = MeanTeacherSettings(score_threshold=0.01, ignored_from=0.0, adversarial=AdversarialSettings())
    run_fn(
        FnArgs(
            train_files=[squares("train", 12), target],
            eval_files=[squares("eval", 6)],
            transform_graph_path=transform_output,
            serving_model_dir=str(tmp_path / "Format-Serving"),
            model_run_dir=str(tmp_path / "run"),
            custom_config={
                "model": MODEL.model_dump_json(),
                "transfer": transfer.model_dump_json(),
                "train": TRAIN.model_dump_json(),
                "checkpoint_root": str(tmp_path / "checkpoints"),
            },
        )
    )
    history = [json.loads(line) for line in (tmp_path / "run" / HISTORY_FILE).read_text().splitlines()]
    adapting = [entry for entry in history if entry["phase"] == "mean_teacher" and "losses" in entry]
    assert adapting
    for entry in adapting:
        assert {"domain_accuracy", "reversal_weight", "pseudo_labelled_images"} == entry["measures"].keys()
    weights = json.loads((tmp_path / "Format-Serving" / DESCRIPTION_FILE).read_text())
    detector = build_detector(
        weights["detector"], num_classes=2, image_size=tuple(weights["image_size"]), **weights["options"]
    )
    counted: list[int] = []
    with h5py.File(tmp_path / "Format-Serving" / WEIGHTS_FILE) as file:
        file.visititems(lambda _, item: counted.append(item.size) if isinstance(item, h5py.Dataset) else None)
    assert sum(counted) == sum(int(np.prod(variable.shape)) for variable in detector.variables)
