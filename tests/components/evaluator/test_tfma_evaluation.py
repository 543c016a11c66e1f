"""The whole evaluation: TFX's Evaluator on small SavedModels, its numbers by slice and what the gate says."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from tfx import v1 as tfx
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from components.data_profile import DATA_PROFILE_FILE, DataProfile, SplitProfile
from components.evaluator import keys
from components.evaluator.coco import ImageResult
from components.evaluator.executor import Executor, judged_split
from components.evaluator.settings import EvalSettings, Split
from components.evaluator.verdict import read_verdict
from components.user_error import UserError
from schema import features

Reference = Callable[[Sequence[ImageResult], Sequence[str]], dict[str, float]]

CLASS_NAMES = ("bus", "car", "sign")
SIZE = (120, 160)
"""(height, width) in pixels of every image."""


class Scene(NamedTuple):
    """One image: its metadata, truth and what a detector answers."""

    source_id: str
    weather: str
    result: ImageResult


def make_scenes(seed: int, count: int) -> list[Scene]:
    random = np.random.default_rng(seed)
    scenes = []
    for number in range(count):
        there = int(random.integers(0, 6))
        corner, size = random.uniform(0, 0.6, (there, 2)), random.uniform(0.1, 0.4, (there, 2))
        truth = np.concatenate([corner, corner + size], axis=1).astype(np.float32)  # [G, 4]
        classes = random.integers(0, 3, there)
        found = np.repeat(truth, 3, axis=0) + random.normal(0, 0.03, (there * 3, 4)).astype(np.float32)  # [D, 4]
        areas = (size[:, 0] * SIZE[0] * size[:, 1] * SIZE[1] * random.uniform(0.5, 1, there)).astype(np.float32)
        result = ImageResult.from_normalized(
            height_pixels=SIZE[0],
            width_pixels=SIZE[1],
            detection_boxes_yxyx_normalized=found,
            detection_scores=random.uniform(0, 1, there * 3).round(1).astype(np.float32),
            detection_classes=np.where(random.random(there * 3) < 0.8, np.repeat(classes, 3), 0),
            truth_boxes_yxyx_normalized=truth,
            truth_classes=classes,
            truth_areas_pixels=areas,
            truth_is_crowd=random.random(there) < 0.1,
            truth_is_ignored=random.random(there) < 0.1,
        )
        scenes.append(Scene(f"{number:03}", ("fog", "clear", "clear")[number % 3], result))
    return scenes


def span_of(scene: Scene) -> int:
    """The first half is of span 1, the second of span 2."""
    return 1 if int(scene.source_id) < 30 else 2


def record_of(scene: Scene) -> bytes:
    def ints(values: Sequence[int]) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value) for value in values]))

    def floats(values: Sequence[float]) -> tf.train.Feature:
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    def texts(values: Sequence[str]) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))

    result = scene.result
    boxes = result.truth_boxes_yxyx_pixels / np.array([*SIZE, *SIZE])  # [G, 4]
    record = {
        features.IMAGE_SOURCE_ID: texts([scene.source_id]),
        features.IMAGE_HEIGHT: ints([SIZE[0]]),
        features.IMAGE_WIDTH: ints([SIZE[1]]),
        features.meta_key("weather"): texts([scene.weather]),
        features.meta_key("span"): ints([span_of(scene)]),
        features.OBJECT_CLASS_TEXT: texts([CLASS_NAMES[index] for index in result.truth_classes]),
        features.OBJECT_IS_CROWD: ints(result.truth_is_crowd),
        features.OBJECT_DIFFICULT: ints(result.truth_is_ignored),
        features.OBJECT_AREA: floats(result.truth_areas_pixels),
    }
    record |= {key: floats(boxes[:, column]) for column, key in enumerate(features.BOX_KEYS_YXYX)}
    return tf.train.Example(features=tf.train.Features(feature=record)).SerializeToString()


class Recited(tf.Module):
    """A model that knows the answers by heart, with an export's ``evaluate`` signature and labels."""

    def __init__(self, scenes: Sequence[Scene], labels: Sequence[str], labels_file: pathlib.Path) -> None:
        super().__init__()
        most = max(len(scene.result.detection_scores) for scene in scenes)
        answers = np.full((len(scenes), most, 6), -1, np.float32)
        for scene, rows in zip(scenes, answers, strict=True):
            result = scene.result
            count = len(result.detection_scores)
            rows[:count, :4] = result.detection_boxes_yxyx_pixels / np.array([*SIZE, *SIZE])
            rows[:count, 4] = [labels.index(CLASS_NAMES[index]) + 1 for index in result.detection_classes]
            rows[:count, 5] = result.detection_scores
        labels_file.write_text("".join(f"{label}\n" for label in labels))
        self.labels = tf.saved_model.Asset(str(labels_file))
        self.answers = tf.constant(answers)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, {features.IMAGE_SOURCE_ID: tf.io.FixedLenFeature([], tf.string)})
        number = tf.strings.to_number(parsed[features.IMAGE_SOURCE_ID], tf.int32)
        return {"detections": tf.gather(self.answers, number)}


class Evaluated(NamedTuple):
    evaluation_dir: str
    blessed: bool
    split: str


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return make_scenes(seed=1, count=60)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, scenes: list[Scene]) -> pathlib.Path:
    """Records, a candidate, and a baseline that knows its classes under other numbers and is better."""
    root = tmp_path_factory.mktemp("evaluator")
    (root / "examples" / "Split-test").mkdir(parents=True)
    (root / "examples" / "Split-eval").mkdir()
    with tf.io.TFRecordWriter(str(root / "examples" / "Split-test" / "data.gz"), "GZIP") as writer:
        for scene in reversed(scenes):
            writer.write(record_of(scene))
    better = [scene._replace(result=perfect(scene.result)) for scene in scenes]
    for name, known, labels in (
        ("candidate", scenes, ["bus", "car", "sign"]),
        ("baseline", better, ["sign", "tram", "car", "bus"]),
        ("without_bus", [scene._replace(result=without_bus(scene.result)) for scene in better], ["car", "sign"]),
        ("tram_only", [scene._replace(result=nothing_found(scene.result)) for scene in scenes], ["tram"]),
    ):
        labels_file = root / name / "labels.txt"
        labels_file.parent.mkdir()
        model = Recited(known, labels, labels_file)
        tf.saved_model.save(model, str(root / name / "Format-Serving"), signatures={"evaluate": model.evaluate})
    return root


def perfect(result: ImageResult) -> ImageResult:
    return ImageResult(
        result.truth_boxes_yxyx_pixels,
        np.linspace(0.9, 0.5, len(result.truth_classes)),
        result.truth_classes,
        *(result.truth_boxes_yxyx_pixels, result.truth_classes, result.truth_areas_pixels),
        *(result.truth_is_crowd, result.truth_is_ignored),
    )


def without_bus(result: ImageResult) -> ImageResult:
    """The detections of a model that does not know the first class."""
    known = result.detection_classes != 0
    return dataclasses.replace(
        result,
        detection_boxes_yxyx_pixels=result.detection_boxes_yxyx_pixels[known],
        detection_scores=result.detection_scores[known],
        detection_classes=result.detection_classes[known],
    )


def nothing_found(result: ImageResult) -> ImageResult:
    return without_bus(dataclasses.replace(result, detection_classes=np.zeros_like(result.detection_classes)))


def run_evaluator(
    workplace: pathlib.Path, output: pathlib.Path, settings: EvalSettings, baseline: bool | str
) -> Evaluated:
    """Runs the Evaluator's executor the way the pipeline does."""
    examples = tfx.types.standard_artifacts.Examples()
    examples.uri = str(workplace / "examples")
    splits = sorted(folder.name.removeprefix("Split-") for folder in (workplace / "examples").glob("Split-*"))
    examples.split_names = artifact_utils.encode_split_names(splits)
    (workplace / "examples" / DATA_PROFILE_FILE).write_text(profile(**dict.fromkeys(splits, 1)).to_json())
    inputs = {"examples": [examples], "model": [model_artifact(workplace / "candidate", 1)]}
    if baseline:
        folder = baseline if isinstance(baseline, str) else "baseline"
        inputs["baseline_model"] = [model_artifact(workplace / folder, 2)]
    evaluation, blessing = tfx.types.standard_artifacts.ModelEvaluation(), tfx.types.standard_artifacts.ModelBlessing()
    evaluation.uri, blessing.uri = str(output / "evaluation"), str(output / "blessing")
    properties = {keys.SETTINGS: settings.model_dump_json()}
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=["--runner=DirectRunner"], tmp_dir=str(output / "tmp"), unique_id="1"
    )
    Executor(context).Do(inputs, {"evaluation": [evaluation], "blessing": [blessing]}, properties)
    split = evaluation.get_string_custom_property("split")
    return Evaluated(evaluation.uri, blessing.get_int_custom_property("blessed") == 1, split)


def model_artifact(folder: pathlib.Path, number: int) -> tfx.types.standard_artifacts.Model:
    model = tfx.types.standard_artifacts.Model()
    model.uri, model.id = str(folder), number
    return model


SETTINGS = EvalSettings.model_validate(
    {
        "slices": [["weather"], ["class"], ["object_count", "weather"]],
        "batch_size": 7,
        "gates": {"minimum": {"AP50": 0.1}, "max_drop": {}},
    }
)


def images_of(scenes: Sequence[Scene], **values: str) -> list[ImageResult]:
    """Results of the images in a slice."""
    chosen = scenes
    if "weather" in values:
        chosen = [scene for scene in chosen if scene.weather == values["weather"]]
    if "class" in values:
        index = CLASS_NAMES.index(values["class"])
        chosen = [scene for scene in chosen if index in scene.result.truth_classes]
    if "object_count" in values:
        low, _, high = values["object_count"].partition("-")
        wanted = range(int(low), int(high or low) + 1)
        chosen = [scene for scene in chosen if len(scene.result.truth_classes) in wanted]
    return [scene.result for scene in chosen]


def test_metrics_by_slice_equal_pycocotools(
    workplace: pathlib.Path, tmp_path: pathlib.Path, scenes: list[Scene], pycocotools_metrics: Reference
) -> None:
    evaluated = run_evaluator(workplace, tmp_path, SETTINGS, baseline=True)
    assert evaluated.blessed
    verdict = read_verdict(evaluated.evaluation_dir)
    assert verdict.blessed
    assert evaluated.split == "test"
    assert verdict.lines() == ["blessed: every threshold met, compared with the last blessed model"]
    assert {len(values) for values in verdict.metrics} == {0, 1, 2}
    assert len(verdict.metrics) >= 10
    assert verdict.metrics[()].keys() == verdict.baseline_metrics[()].keys()
    assert not any("diff" in key or "guarded" in key for key in verdict.metrics[()])
    for metrics, perfected in ((verdict.metrics, False), (verdict.baseline_metrics, True)):
        for values, ours in metrics.items():
            results = images_of(scenes, **dict(values))
            theirs = pycocotools_metrics([perfect(r) for r in results] if perfected else results, CLASS_NAMES)
            assert ours["image_count"] == len(results)
            compared = [name for name in theirs if name in ours]
            assert len(compared) == 12 + 4 * len(CLASS_NAMES)
            for name in compared:
                assert ours[name] == pytest.approx(theirs[name], abs=1e-6, nan_ok=True), (values, name)


def test_gate_names_every_threshold_missed(workplace: pathlib.Path, tmp_path: pathlib.Path) -> None:
    settings = EvalSettings.model_validate(
        {
            "slices": [["weather"]],
            "gates": {
                "minimum": {"AP50": 0.1, "AP75": 0.9},
                "max_drop": {"AP": {"absolute": 0.02, "relative": 0.9}, "AP50": {"relative": 0.5}},
                "slice_floors": [
                    {"slice": {"weather": "fog"}, "metric": "AP50", "min": 0.99},
                    {"slice": {"weather": "clear"}, "metric": "AP50", "min": 0.01},
                    {"slice": {"weather": "snow"}, "metric": "AP50", "min": 0.5},
                    {"slice": {"object_count": "1", "weather": "fog"}, "metric": "AP50", "min": 0.99},
                ],
                "class_floors": [
                    {"class_name": "car", "metric": "AP50", "min": 0.98},
                    {"class_name": "tram", "metric": "AP50", "min": 0.5},
                    {"class_name": "*", "metric": "AP75", "min": 0.97},
                ],
                "min_images": 10,
            },
        }
    )
    evaluated = run_evaluator(workplace, tmp_path, settings, baseline=True)
    assert not evaluated.blessed
    verdict = read_verdict(evaluated.evaluation_dir)
    assert not verdict.blessed
    missed = {(failure.metric, failure.slice_values, failure.kind, failure.bound) for failure in verdict.failures}
    assert missed == {
        ("AP75", (), "minimum", 0.9),
        ("AP", (), "absolute drop", 0.02),
        ("AP50", (("weather", "fog"),), "minimum", 0.99),
        ("AP50/car", (), "minimum", 0.98),
        ("AP75/*", (), "minimum", 0.97),
    }
    drop = next(failure for failure in verdict.failures if failure.kind == "absolute drop")
    assert drop.baseline == pytest.approx(verdict.baseline_metrics[()]["AP"])
    assert drop.value == pytest.approx(verdict.baseline_metrics[()]["AP"] - verdict.metrics[()]["AP"])
    assert drop.missed_by == pytest.approx(drop.value - 0.02)
    lines = verdict.lines()
    assert lines[0] == "not blessed (compared with the last blessed model):"
    assert any("AP50 on weather=fog is 0." in line and "below its minimum 0.99" in line for line in lines)
    assert "  not judged: AP50 on weather=snow, 0 images, needs 10" in lines
    assert "  not judged: AP50 of tram (0 images), needs 10" in lines
    assert "  not judged: AP75 of tram (0 images), needs 10" in lines
    assert (("weather", "snow"),) not in verdict.metrics, "a slice without an image is not reported"


def test_floor_without_images_refuses_when_it_always_counts(workplace: pathlib.Path, tmp_path: pathlib.Path) -> None:
    settings = EvalSettings.model_validate(
        {
            "slices": [],
            "gates": {
                "minimum": {"AP50": 0.1},
                "slice_floors": [{"slice": {"weather": "snow"}, "metric": "AP50", "min": 0.5}],
                "class_floors": [{"class_name": "zebra", "metric": "AP", "min": 0.1}],
                "min_images": 0,
            },
        }
    )
    evaluated = run_evaluator(workplace, tmp_path, settings, baseline=False)
    assert not evaluated.blessed
    verdict = read_verdict(evaluated.evaluation_dir)
    assert {(failure.metric, failure.slice_values) for failure in verdict.failures} == {
        ("AP50", (("weather", "snow"),)),
        ("AP/zebra", ()),
    }
    assert all(np.isnan(failure.value) for failure in verdict.failures)
    assert all("could not be computed" in str(failure) for failure in verdict.failures)
    assert verdict.baseline_metrics == {}


def test_a_floor_whose_name_nobody_knows_refuses(workplace: pathlib.Path, tmp_path: pathlib.Path) -> None:
    settings = EvalSettings.model_validate(
        {
            "slices": [["weather"], ["tiem_of_day"]],
            "gates": {
                "minimum": {"AP50": 0.1},
                "slice_floors": [
                    {"slice": {"wether": "fog"}, "metric": "AP50", "min": 0.01},
                    {"slice": {"class": "carr"}, "metric": "AP", "min": 0.01},
                ],
                "class_floors": [{"class_name": "singn", "metric": "AP50", "min": 0.01}],
            },
        }
    )
    evaluated = run_evaluator(workplace, tmp_path, settings, baseline=False)
    assert not evaluated.blessed
    verdict = read_verdict(evaluated.evaluation_dir)
    nobody = "which neither the model nor the ground truth knows"
    assert verdict.lines() == [
        "not blessed (no blessed model to compare with):",
        "  AP50 on wether=fog could not be computed (eval.gates.slice_floors names the column 'wether', which no image "
        "has; did you mean 'weather'?), its bound is 0.01",
        f"  AP on class=carr could not be computed (eval.gates.slice_floors names the class 'carr', {nobody}; did you "
        "mean 'car'?), its bound is 0.01",
        f"  AP50/singn on all images could not be computed (eval.gates.class_floors names the class 'singn', {nobody}; "
        "did you mean 'sign'?), its bound is 0.01",
        "  eval.slices names the column 'tiem_of_day', which no image has",
    ]


def test_a_model_is_blessed_though_floors_were_not_judged(workplace: pathlib.Path, tmp_path: pathlib.Path) -> None:
    settings = EvalSettings.model_validate(
        {
            "slices": [],
            "gates": {
                "minimum": {"AP50": 0.1},
                "slice_floors": [{"slice": {"weather": "fog"}, "metric": "AP50", "min": 0.99}],
                "class_floors": [{"class_name": "*", "metric": "AP50", "min": 0.99}],
                "min_images": 50,
            },
        }
    )
    verdict = read_verdict(run_evaluator(workplace, tmp_path, settings, baseline=False).evaluation_dir)
    assert verdict.blessed
    decision, by_slice, by_class = verdict.lines()
    assert decision == "blessed: every threshold that was judged is met, no blessed model to compare with"
    assert by_slice == "  not judged: AP50 on weather=fog, 20 images, needs 50"
    assert by_class.startswith("  not judged: AP50 of bus (")


def test_without_a_baseline_thresholds_on_change_do_not_count(workplace: pathlib.Path, tmp_path: pathlib.Path) -> None:
    settings = EvalSettings.model_validate(
        {"slices": [], "gates": {"minimum": {}, "max_drop": {"AP": {"absolute": 0.0}}}}
    )
    evaluated = run_evaluator(workplace, tmp_path, settings, baseline=False)
    assert evaluated.blessed
    assert read_verdict(evaluated.evaluation_dir).lines() == [
        "blessed: every threshold met, no blessed model to compare with"
    ]


COMPARED = EvalSettings.model_validate(
    {
        "slices": [],
        "gates": {
            "minimum": {},
            "max_drop": {"AP": {"absolute": 0.02}},
            "forgetting": {"AP": {"absolute": 0.02}, "AP50": {"relative": 1.0}},
        },
    }
)


def test_a_grown_label_map_is_compared_over_the_classes_known_before(
    workplace: pathlib.Path, tmp_path: pathlib.Path, scenes: list[Scene], pycocotools_metrics: Reference
) -> None:
    verdict = read_verdict(run_evaluator(workplace, tmp_path, COMPARED, baseline="without_bus").evaluation_dir)
    assert not verdict.blessed
    whole, earlier = verdict.failures
    assert (whole.metric, whole.kind, whole.is_on_earlier_spans) == ("AP", "absolute drop", False)
    assert (earlier.metric, earlier.kind, earlier.is_on_earlier_spans) == ("AP", "absolute drop", True)
    for failure, images in ((whole, scenes), (earlier, [scene for scene in scenes if span_of(scene) == 1])):
        ours, theirs = (
            np.mean([pycocotools_metrics(results, CLASS_NAMES)[f"AP/{name}"] for name in ("car", "sign")])
            for results in ([scene.result for scene in images], [perfect(scene.result) for scene in images])
        )
        assert failure.baseline == pytest.approx(theirs, abs=1e-6)
        assert failure.value == pytest.approx(theirs - ours, abs=1e-6)
    lines = verdict.lines()
    assert lines[2].startswith("  AP on images of earlier spans fell by 0.")
    assert lines[3] == "  compared with the last blessed model over the classes that it knows, without bus"
    assert verdict.baseline_metrics[()]["AP/bus"] == 0.0


def test_losses_without_anything_to_compare_are_named(workplace: pathlib.Path, tmp_path: pathlib.Path) -> None:
    alone = read_verdict(run_evaluator(workplace, tmp_path / "alone", COMPARED, baseline=False).evaluation_dir)
    assert alone.blessed
    assert alone.lines()[1:] == ["  not judged: loss of AP, AP50 on earlier spans: no blessed model to compare with"]
    strange = read_verdict(
        run_evaluator(workplace, tmp_path / "strange", COMPARED, baseline="tram_only").evaluation_dir
    )
    assert strange.blessed
    shown = "no image shows a class that the last blessed model knows"
    assert strange.lines()[1:3] == [
        f"  not judged: drop of AP: {shown}",
        f"  not judged: loss of AP, AP50 on earlier spans: {shown}",
    ]
    few = COMPARED.model_copy(update={"gates": COMPARED.gates.model_copy(update={"max_drop": {}, "min_images": 31})})
    verdict = read_verdict(run_evaluator(workplace, tmp_path / "few", few, baseline=True).evaluation_dir)
    assert verdict.blessed
    needed = "30 images, needs 31 (data.span_window: spans to read together)"
    assert verdict.lines()[1:] == [f"  not judged: loss of AP, AP50 on earlier spans, {needed}"]


def test_split_without_images_refuses(workplace: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "empty" / "examples" / "Split-eval"
    folder.mkdir(parents=True)
    tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP").close()
    (tmp_path / "empty" / "candidate").symlink_to(workplace / "candidate")
    evaluated = run_evaluator(tmp_path / "empty", tmp_path, SETTINGS, baseline=False)
    assert not evaluated.blessed
    assert evaluated.split == "eval"
    assert not read_verdict(evaluated.evaluation_dir).blessed
    assert "all images" in read_verdict(evaluated.evaluation_dir).lines()[1]


def profile(**objects: int) -> DataProfile:
    """Splits with one image each and so many objects in it."""
    splits = {split: SplitProfile() for split in objects}
    for split, count in objects.items():
        splits[split].add(["a"] * count, [(0.1, 0.1, 0.5, 0.5)] * count, height_pixels=10, width_pixels=10)
    return DataProfile(splits)


@pytest.mark.parametrize(
    ("wanted", "there", "judged"),
    [
        (None, profile(train=1, eval=1), "eval"),
        (None, profile(train=1, eval=1, test=1), "test"),
        (None, profile(train=1, eval=1, test=0), "eval"),
        ("eval", profile(train=1, eval=1, test=1), "eval"),
    ],
)
def test_the_split_that_is_judged(wanted: Split | None, there: DataProfile, judged: Split) -> None:
    assert judged_split(wanted, there) == judged


def test_a_split_that_the_records_do_not_have_is_named() -> None:
    with pytest.raises(UserError, match=r"eval\.split is 'test', but the records have the splits train, eval"):
        judged_split("test", profile(train=1, eval=1))


def test_folder_without_an_evaluation_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="expected the `evaluation` output"):
        read_verdict(str(tmp_path))
