"""The whole evaluation: TFX's Evaluator on small SavedModels, its numbers by slice and what the gate says."""

from __future__ import annotations

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
from components.evaluator.evaluation import Evaluation, read_evaluation
from components.evaluator.executor import Executor, judged_split
from components.evaluator.label_review.review_files import REVIEW_FILE, read_review
from components.evaluator.label_review.suspicions import suspicions
from components.evaluator.matches_file import MATCHES_FOLDER, read_matches
from components.evaluator.settings import EvalSettings, Split
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
    evaluation: Evaluation
    evaluation_dir: str
    blessing: tfx.types.standard_artifacts.ModelBlessing
    split: str

    @property
    def blessed(self) -> bool:
        blessed = self.blessing.get_int_custom_property("blessed") == 1
        assert (pathlib.Path(self.blessing.uri) / ("BLESSED" if blessed else "NOT_BLESSED")).exists()
        assert blessed == self.evaluation.verdict.blessed
        return blessed

    @property
    def lines(self) -> list[str]:
        return self.evaluation.verdict.lines()


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
    properties = {keys.SETTINGS: settings.model_dump_json(), keys.CLUSTERS: "{}"}
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=["--runner=DirectRunner"], tmp_dir=str(output / "tmp"), unique_id="1"
    )
    Executor(context).Do(inputs, {"evaluation": [evaluation], "blessing": [blessing]}, properties)
    split = evaluation.get_string_custom_property("split")
    return Evaluated(read_evaluation(evaluation.uri), evaluation.uri, blessing, split)


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
    assert evaluated.split == "test"
    assert evaluated.lines == ["blessed: every threshold met, compared with the last blessed model"]
    slices = evaluated.evaluation.slices
    assert slices[0].values == ()
    assert {len(result.values) for result in slices} == {0, 1, 2}
    assert len(slices) >= 10
    matched = read_matches(f"{evaluated.evaluation_dir}/{MATCHES_FOLDER}")
    assert matched.baseline is not None
    suspected = read_review(f"{evaluated.evaluation_dir}/{REVIEW_FILE}")
    assert suspected == suspicions(matched, SETTINGS.label_review.least_score)
    for result in slices:
        assert result.metrics.keys() == result.baseline_metrics.keys()
        assert not any("diff" in key for key in result.metrics)
        results = images_of(scenes, **dict(result.values))
        of_slice = matched.slice_of(result.values)
        assert result.metrics["image_count"] == len(results) == len(of_slice.images)
        for ours, model, their_results in (
            (result.metrics, of_slice.candidate, results),
            (result.baseline_metrics, of_slice.baseline, [perfect(r) for r in results]),
        ):
            theirs = pycocotools_metrics(their_results, CLASS_NAMES)
            assert model is not None
            from_matches = of_slice.metrics(model)
            compared = [name for name in theirs if name in ours]
            assert len(compared) == 12 + 4 * len(CLASS_NAMES)
            for name in compared:
                assert ours[name] == pytest.approx(theirs[name], abs=1e-6, nan_ok=True), (result.values, name)
                assert from_matches[name] == pytest.approx(ours[name], abs=1e-9, nan_ok=True), (result.values, name)


def test_intervals_stand_around_what_was_measured(workplace: pathlib.Path, tmp_path: pathlib.Path) -> None:
    told = 0
    for result in run_evaluator(workplace, tmp_path, SETTINGS, baseline=True).evaluation.slices:
        if result.values and result.metrics["image_count"] < SETTINGS.gates.min_images:
            assert result.intervals == result.changes == {}
            continue
        if np.isnan(result.metrics["AP50"]):
            continue
        told += 1
        low, high = result.intervals["AP50"]
        assert 0 <= low <= result.metrics["AP50"] <= high <= 1
        low, high = result.changes["AP50"]
        assert low <= result.metrics["AP50"] - result.baseline_metrics["AP50"] <= high
    assert told > 1


def test_the_gate_judges_slices_and_classes(workplace: pathlib.Path, tmp_path: pathlib.Path) -> None:
    settings = EvalSettings.model_validate(
        {
            "slices": [["weather"]],
            "gates": {
                "minimum": {"AP50": 0.1, "AP75": 0.9},
                "max_drop": {"AP": {"absolute": 0.02, "relative": 0.9}},
                "slice_floors": [{"slice": {"weather": "fog"}, "metric": "AP50", "min": 0.99}],
                "class_floors": [{"class_name": "tram", "metric": "AP50", "min": 0.5}],
            },
        }
    )
    evaluated = run_evaluator(workplace, tmp_path, settings, baseline=True)
    assert not evaluated.blessed
    statuses = {(c.metric, c.slice_values, c.kind): c.status for c in evaluated.evaluation.verdict.checks}
    assert statuses == {
        ("AP50", (), "minimum"): "met",
        ("AP75", (), "minimum"): "not met",
        ("AP", (), "absolute drop"): "not met",
        ("AP", (), "relative drop"): "met",
        ("AP50", (("weather", "fog"),), "minimum"): "not met",
        ("AP50/tram", (), "minimum"): "not judged",
    }
    assert evaluated.blessing.get_int_custom_property("baseline_model_id") == 2


def test_a_blessing_by_hand_is_recorded(workplace: pathlib.Path, tmp_path: pathlib.Path) -> None:
    accept = {"by": "Ada", "reason": "the old one is worse at night", "model": 1}
    settings = EvalSettings.model_validate({"slices": [], "gates": {"minimum": {"AP": 0.99}, "accept": accept}})
    evaluated = run_evaluator(workplace, tmp_path / "meant", settings, baseline=False)
    assert evaluated.blessed
    assert evaluated.blessing.get_string_custom_property("accepted_by") == "Ada"
    assert evaluated.blessing.get_string_custom_property("accepted_because") == "the old one is worse at night"


def test_a_baseline_that_no_longer_loads_is_not_compared_with(workplace: pathlib.Path, tmp_path: pathlib.Path) -> None:
    settings = EvalSettings.model_validate({"slices": [], "gates": {"minimum": {}}})
    evaluated = run_evaluator(workplace, tmp_path, settings, baseline="gone")
    assert evaluated.blessed
    assert [check.status for check in evaluated.evaluation.verdict.checks] == ["cannot tell"]
    assert "gone/Format-Serving" in evaluated.lines[-1]
    assert "cannot read the class names" in evaluated.lines[-1]


def test_split_without_images_refuses(workplace: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "empty" / "examples" / "Split-eval"
    folder.mkdir(parents=True)
    tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP").close()
    (tmp_path / "empty" / "candidate").symlink_to(workplace / "candidate")
    evaluated = run_evaluator(tmp_path / "empty", tmp_path, SETTINGS, baseline=False)
    assert not evaluated.blessed
    assert evaluated.split == "eval"
    assert "AP50 on all images could not be computed" in evaluated.lines[1]


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
        read_evaluation(str(tmp_path))
