"""A run with everything a page can show: baseline, 30 classes, 12 slices, checks of every kind, lineage. Real files.

The evaluation is measured and judged by the code that measures and judges; detections are made up from the truth.
"""

from __future__ import annotations

import io
import json
import pathlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw

from components.data_profile import DATA_PROFILE_FILE, DataProfile, SplitProfile
from components.evaluator.coco_matching import ImageResult
from components.evaluator.evaluation import EVALUATION_FILE, Evaluation, slice_result
from components.evaluator.gate_settings import Accept
from components.evaluator.judge import judge
from components.evaluator.matched_images import ImageFacts, MatchedImages, join_images, match_image
from components.evaluator.matches_file import MATCHES_FOLDER
from components.evaluator.settings import EvalSettings
from components.report.settings import CardSettings
from components.trainer.comparison.comparison import Row
from components.trainer.comparison.summary import Summary
from components.trainer.comparison.training import Outcome
from components.trainer.settings import ModelSettings, TrainConfig, TrainSettings
from components.trainer.software import SOFTWARE_FILE, Software
from components.trainer.strategies.settings.fine_tune import FineTuneSettings
from components.trainer.training_plan import PLAN_FILE, START_WEIGHTS_FILE, ChosenPrecision, TrainingPlan
from components.validation.report_file import AnnotationReport, CheckResult, Distance
from components.validation.settings import ValidationSettings
from schema import features
from schema.contract_report import CONTRACT_FILE, Check, ContractReport, Latency
from schema.exported_model import DESCRIPTION_FILE
from tests.components.report.device_models import write_devices
from tests.components.report.fake_run import FakeRun, write_anomalies, write_findings, write_matches

NUM_CLASSES: Final = 30
NUM_IMAGES: Final = 150
WEATHERS: Final = ("clear", "rain", "fog <i>dense</i>", "snow")
TIMES: Final = ("day", "dusk", "night")
CLASS_NAMES: Final = (
    "<script>alert('stop')</script>",
    "sign of a <b>very</b> long name that is longer than a phone is wide: no entry for vehicles of more than 7.5 t",
    *(f"sign {number:02}" for number in range(3, NUM_CLASSES + 1)),
)
CARD: Final = CardSettings(
    intended_use="Finds traffic signs in pictures of road cameras, to keep the register of signs up to date.",
    limits="Trained on pictures of two cities in summer. Signs of less than 10 px are not found.",
    data_licence="CC BY 4.0",
    data_source="Road cameras of <b>two cities</b>, annotated in house.",
)
EVAL: Final = EvalSettings.model_validate(
    {
        "slices": [["weather", "time_of_day"], ["weather"]],
        "gates": {
            "resamples": 300,
            "minimum": {"AP50": 0.5, "AP": {"min": 0.5, "undecided": "bless"}},
            "max_drop": {"AP": {"absolute": 0.02}, "AP50": {"relative": 0.9}},
            "forgetting": {"AP": {"absolute": 0.05}},
            "class_floors": [{"class_name": "*", "metric": "AP50", "min": 0.55, "undecided": "bless"}],
            "slice_floors": [
                {"slice": {"weather": "fog <i>dense</i>"}, "metric": "AP50", "min": 0.8},
                {"slice": {"weather": "hail"}, "metric": "AP50", "min": 0.5},
                {"slice": {"weather": "snow", "time_of_day": "night"}, "metric": "AP50", "min": 0.5},
            ],
        },
    }
)
_SIDES: Final = (240, 320)
"""Height and width in pixels of the images."""


def whole_run(root: pathlib.Path, accept: Accept | None = None) -> FakeRun:
    """Writes the runs ``before`` and ``new``; ``new`` is warm-started from, and compared with, the model of ``before``.

    Args:
      root: pipeline root.
      accept: a blessing by hand.
    """
    run = FakeRun(root)
    run.node("before", "Trainer", outputs={"model": root / "Trainer" / "model" / "1"})
    blessed = {"blessed": 1, "current_model_id": 1}
    run.node("before", "Evaluator", outputs={"blessing": root / "Evaluator" / "blessing" / "2"}, properties=blessed)
    parent = {"model": 1, "model_blessing": 2}
    results = _results()
    folders = [{"span": 12, "version": None, "path": "/data/span-12"}, {"span": 11, "version": None, "path": "/d/11"}]
    settings = {"format": "coco", "path": "/data/span-{SPAN}", "span_window": 2}
    run.node(
        "new",
        "ObjectDetectionExampleGen",
        outputs={
            "examples": _write_examples(root / "examples", results),
            "findings": write_findings(root / "ExampleGen" / "findings" / "1"),
        },
        properties={"span": "12", "tfx_version": "1.21.0", "input_fingerprint": "0f1e2d3c4b5a69788796a5b4c3d2e1f0"},
        told={"settings": json.dumps(settings), "span_folders": json.dumps(folders), "code_digest": "a1" * 16},
    )
    run.node("new", "ExampleValidator", outputs={"anomalies": write_anomalies(root / "anomalies")})
    run.node("new", "PreviousStatistics", found={"statistics": 1})
    run.node(
        "new",
        "AnnotationValidator",
        outputs={"report": _write_annotation_report(root / "report")},
        told={"settings": ValidationSettings().model_dump_json()},
    )
    run.node("new", "WarmStartModel", found=parent)
    run.node(
        "new",
        "Trainer",
        outputs={"model": _write_model(root / "model"), "model_run": _write_training(root / "model_run")},
        properties={"tfx_version": "1.21.0"},
        told={
            "eval_args": '{"splits": ["eval"]}',
            "custom_config": json.dumps(
                {
                    "model": ModelSettings(pretrained="/weights/mobilenet.h5").model_dump_json(),
                    "transfer": FineTuneSettings(warm_start_from_blessed=True).model_dump_json(),
                    "train": TrainConfig().model_dump_json(),
                    "code_digest": "b2" * 16,
                    "weights_digest": "c3" * 16,
                }
            ),
        },
    )
    run.node("new", "BlessedBaseline", found=parent)
    run.node(
        "new",
        "Evaluator",
        outputs={"evaluation": _write_evaluation(root / "evaluation", results, accept)},
        properties={"split": "test"},
        told={"settings": EVAL.model_dump_json(), "code_digest": "d4" * 16},
    )
    run.node("new", "ServingContract", outputs={"infra_blessing": _write_contract(root / "contract")})
    pushed = {"pushed": 1, "pushed_destination": f"{root}/served/detector/17"}
    run.node("new", "Pusher", outputs={"pushed_model": root / "pushed"}, properties=pushed)
    write_devices(run, {"litert": f"{root}/served/devices/litert/17"})
    return run


def _results() -> list[tuple[ImageFacts, dict[str, ImageResult]]]:
    """What is there and what two models find: the candidate is better in general and worse in fog."""
    random = np.random.default_rng(5)
    results = []
    for number in range(NUM_IMAGES):
        weather, time = WEATHERS[number % 4], TIMES[number % 3]
        there = int(random.integers(0, 7))
        corner = random.uniform(0, 180, (there, 2))
        truth = np.concatenate([corner, corner + random.uniform(14, 56, (there, 2))], axis=1)  # [G, 4]
        # The first classes are frequent, the last ones rare.
        classes = np.minimum(random.geometric(0.12, there) - 1, NUM_CLASSES - 1)
        facts = ImageFacts(
            image_id=f"{number:04}",
            file=f"camera <{number % 5}>/{number:04}.jpg",
            height_pixels=_SIDES[0],
            width_pixels=_SIDES[1],
            columns={
                "weather": (weather,),
                "time_of_day": (time,),
                "class": tuple(sorted({CLASS_NAMES[index] for index in classes})),
            },
            cluster=f"{number:04}",
            span=11 if number < 50 else 12,
        )
        is_fog = weather.startswith("fog")
        found = {
            "candidate": _found(random, truth, classes, 0.45 if is_fog else 0.85, 2.0),
            "baseline": _found(random, truth, classes, 0.85 if is_fog else 0.7, 2.5),
        }
        results.append((facts, found))
    return results


def _found(
    random: np.random.Generator, truth: np.ndarray, classes: np.ndarray, share: float, noise_pixels: float
) -> ImageResult:
    is_found = random.random(len(truth)) < share
    boxes = truth[is_found] + random.normal(0, noise_pixels, (int(is_found.sum()), 4))
    alarms = int(random.integers(0, 3))
    elsewhere = random.uniform(0, 180, (alarms, 2))
    return ImageResult.from_normalized(
        height_pixels=1,
        width_pixels=1,
        detection_boxes_yxyx_normalized=np.concatenate([boxes, np.concatenate([elsewhere, elsewhere + 30], axis=1)]),
        detection_scores=np.concatenate([random.uniform(0.4, 1, len(boxes)), random.uniform(0.05, 0.7, alarms)]),
        detection_classes=np.concatenate([classes[is_found], random.integers(0, NUM_CLASSES, alarms)]),
        truth_boxes_yxyx_normalized=truth,
        truth_classes=classes,
    )


def _write_examples(folder: pathlib.Path, results: Sequence[tuple[ImageFacts, dict[str, ImageResult]]]) -> pathlib.Path:
    (folder / "Split-test").mkdir(parents=True)
    profile = SplitProfile()
    with tf.io.TFRecordWriter(str(folder / "Split-test" / "data.gz"), "GZIP") as writer:
        for facts, found in results:
            result = found["candidate"]
            boxes_yxyx_pixels, height, width = result.truth_boxes_yxyx_pixels, *_SIDES
            names = [CLASS_NAMES[index] for index in result.truth_classes]
            boxes = boxes_yxyx_pixels / (height, width, height, width)  # [G, 4]
            feature = {
                features.IMAGE_ENCODED: _strings([_picture(boxes_yxyx_pixels, result.truth_classes)]),
                features.IMAGE_SOURCE_ID: _strings([facts.image_id.encode()]),
                features.IMAGE_FILENAME: _strings([facts.file.encode()]),
                features.OBJECT_CLASS_TEXT: _strings([name.encode() for name in names]),
            }
            for place, key in enumerate(features.BOX_KEYS_YXYX):
                feature[key] = tf.train.Feature(float_list=tf.train.FloatList(value=boxes[:, place]))
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
            profile.add(names, boxes[:, [1, 0, 3, 2]], height_pixels=height, width_pixels=width)
    (folder / DATA_PROFILE_FILE).write_text(DataProfile({"train": profile, "test": profile}).to_json())
    return folder


def _picture(boxes_yxyx_pixels: np.ndarray, classes: np.ndarray) -> bytes:
    image = Image.new("RGB", _SIDES[::-1], (96, 110, 120))
    draw = ImageDraw.Draw(image)
    for (top, left, bottom, right), index in zip(boxes_yxyx_pixels, classes, strict=True):
        draw.ellipse((left, top, right, bottom), fill=f"hsl({int(index) * 12}, 60%, 60%)")
    output = io.BytesIO()
    image.save(output, "JPEG")
    return output.getvalue()


def _strings(values: Sequence[bytes]) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _write_evaluation(
    folder: pathlib.Path, results: Sequence[tuple[ImageFacts, dict[str, ImageResult]]], accept: Accept | None
) -> pathlib.Path:
    matched = [match_image(facts, CLASS_NAMES, found) for facts, found in results]
    images = join_images(matched, "candidate", "baseline", CLASS_NAMES[:-1])
    gates = EVAL.gates.model_copy(update={"accept": accept})
    verdict = judge(images, EVAL.model_copy(update={"gates": gates}), model=3)
    crossed = [(("time_of_day", time), ("weather", weather)) for weather in WEATHERS for time in TIMES]
    slices = [(), *crossed, *((("weather", weather),) for weather in WEATHERS)]
    evaluation = Evaluation(
        verdict, tuple(slice_result(images, *_measured(images, values), gates) for values in slices)
    )
    folder.mkdir()
    (folder / EVALUATION_FILE).write_text(evaluation.to_json())
    write_matches(folder / MATCHES_FOLDER, images)
    return folder


def _measured(
    images: MatchedImages, values: tuple[tuple[str, str], ...]
) -> tuple[tuple[tuple[str, str], ...], dict[str, float], dict[str, float]]:
    chosen = images.slice_of(values)
    assert chosen.baseline is not None
    counts = {"image_count": float(len(chosen.images)), "object_count": float(len(chosen.truths.classes))}
    return values, {**chosen.metrics(chosen.candidate), **counts}, {**chosen.metrics(chosen.baseline), **counts}


def _write_model(folder: pathlib.Path) -> pathlib.Path:
    """What an export says of itself."""
    file = folder / "Format-Serving" / DESCRIPTION_FILE
    file.parent.mkdir(parents=True)
    label_map = [[number, name] for number, name in enumerate(CLASS_NAMES, 1)]
    description = {"detector": "ssd_mobilenet_v2_fpnlite", "image_size": [320, 320], "label_map": label_map}
    file.write_text(json.dumps(description))
    return folder


def _write_training(folder: pathlib.Path) -> pathlib.Path:
    folder.mkdir()
    random = np.random.default_rng(0)
    history = [
        {"step": step, "losses": {"total": 3 / (1 + step / 200) + random.uniform(0, 0.1), "box": 1 / (1 + step / 300)}}
        for step in range(10, 2000, 20)
    ]
    history += [
        {"step": step, "AP": 0.5 * (1 - 100 / step), "AP50": 0.8 * (1 - 100 / step)} for step in range(200, 2001, 200)
    ]
    (folder / "training_history.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in history))
    settings = TrainSettings.model_validate({"optimizer": {"name": "adam", "learning_rate": 0.001}})
    (folder / PLAN_FILE).write_text(TrainingPlan.of(settings, ChosenPrecision("float32"), 0.95, 500, None).to_json())
    (folder / START_WEIGHTS_FILE).write_text(
        "warm start from the last blessed model\nweights from a\n\nrestored a/b/c\n"
    )
    software = Software("3.11.9", {"tensorflow": "2.21.0", "keras": "3.15.0", "tfx": "1.21.0"}, ("GPU (H<200>)",))
    (folder / SOFTWARE_FILE).write_text(software.to_json())
    rows = [
        Row(rung, 400, seed, Outcome({"AP": ap + 0.01 * seed, "AP50": ap + 0.2}, seconds=seconds))
        for rung, ap, seconds in (("frozen", 0.4, 20.0), ("fine_tune", 0.5, 60.0))
        for seed in (0, 1)
    ]
    (folder / "transfer_choice.json").write_text(Summary(tuple(rows), {"mean_teacher": "no target"}, "eval", "").json())
    return folder


def _write_annotation_report(folder: pathlib.Path) -> pathlib.Path:
    folder.mkdir()
    distances = [
        Distance("image/object/class/text", "drift", "train", "L_INFTY", 0.2, 0.15, 600),
        Distance("image/width", "drift", "train", "JENSEN_SHANNON_DIVERGENCE", 0.01, 0.3, 600),
        Distance("image/object/class/text", "skew", "test", "L_INFTY", 0.05, 0.15, 60),
    ]
    checks = [
        CheckResult("leakage", "test", "warned", "3 of 150 images have a copy", "allows 0 %", ("b.jpg = train/c.jpg",)),
        CheckResult("small_boxes", "train", "passed", "0 of 2500 boxes", "allows 1 %"),
        CheckResult("drift", "train", "warned", "1 distance above its limit", "allows 0.15"),
    ]
    (folder / "annotation_report.json").write_text(AnnotationReport(tuple(checks), tuple(distances)).to_json())
    return folder


def _write_contract(folder: pathlib.Path) -> pathlib.Path:
    folder.mkdir()
    report = ContractReport(
        (Check("loads", True, "C++ loader", "", ""),), (Latency("C++ loader", 1, 20, 31.0, 35.5, 40.0),)
    )
    (folder / CONTRACT_FILE).write_text(report.to_json())
    return folder
