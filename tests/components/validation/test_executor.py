"""The component's executor on real artifacts: records, TFDV statistics by our options, and the curated schema."""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence

import pytest
import tensorflow as tf

import schema as schema_package
from components.data_profile import DATA_PROFILE_FILE, DataProfile, SplitProfile
from components.validation.report_file import AnnotationReport, read_report
from components.validation.settings import (
    Distribution,
    Duplicates,
    Leakage,
    SmallBoxes,
    ValidationSettings,
)
from schema import features

GOOD = (0.1, 0.1, 0.6, 0.5)
SKEW = Distribution(min_values=5)
SCHEMA_FILE = pathlib.Path(schema_package.__file__).with_name("schema.pbtxt")


class Artifacts:
    """Examples and statistics of one run, as ExampleGen and StatisticsGen would leave them."""

    def __init__(self, root: pathlib.Path, splits: Mapping[str, Sequence[tf.train.Example]]) -> None:
        from tfx.types import artifact_utils, standard_artifacts
        from tfx.utils import io_utils

        from components.validation.statistics import statistics_options

        # isort: split
        import tensorflow_data_validation as tfdv  # after tfx, see components.validation.statistics

        self.examples = standard_artifacts.Examples()
        self.statistics = standard_artifacts.ExampleStatistics()
        self.schema = standard_artifacts.Schema()
        for artifact, name in ((self.examples, "examples"), (self.statistics, "statistics"), (self.schema, "schema")):
            artifact.uri = str(root / name)
            if name != "schema":
                artifact.split_names = artifact_utils.encode_split_names(list(splits))
        (root / "schema").mkdir(parents=True)
        shutil.copy(SCHEMA_FILE, root / "schema")
        options = tfdv.StatsOptions.from_json(statistics_options().to_json())
        options.schema = io_utils.SchemaReader().read(str(SCHEMA_FILE))
        profiles = {split: _profile(records) for split, records in splits.items()}
        for split, records in splits.items():
            folder = root / "examples" / f"Split-{split}"
            folder.mkdir(parents=True)
            with tf.io.TFRecordWriter(str(folder / "data-0.gz"), "GZIP") as writer:
                for record in records:
                    writer.write(record.SerializeToString())
            statistics = tfdv.generate_statistics_from_tfrecord(str(folder / "*"), stats_options=options)
            (root / "statistics" / f"Split-{split}").mkdir(parents=True)
            tfdv.write_stats_text(statistics, str(root / "statistics" / f"Split-{split}" / "FeatureStats.pbtxt"))
            (root / "statistics" / f"Split-{split}" / "FeatureStats.pb").write_bytes(statistics.SerializeToString())
        (root / "examples" / DATA_PROFILE_FILE).write_text(DataProfile(profiles).to_json())


def _profile(records: Sequence[tf.train.Example]) -> SplitProfile:
    profile = SplitProfile()
    for record in records:
        values = record.features.feature
        ymin, xmin, ymax, xmax = (values[key].float_list.value for key in features.BOX_KEYS_YXYX)
        profile.add(
            [name.decode() for name in values[features.OBJECT_CLASS_TEXT].bytes_list.value],
            list(zip(xmin, ymin, xmax, ymax, strict=True)),
            height_pixels=values[features.IMAGE_HEIGHT].int64_list.value[0],
            width_pixels=values[features.IMAGE_WIDTH].int64_list.value[0],
            set_aside=sum(values[features.OBJECT_DIFFICULT].int64_list.value),
            brightest=int(tf.reduce_max(tf.io.decode_image(values[features.IMAGE_ENCODED].bytes_list.value[0]))),
        )
    return profile


def _run(
    root: pathlib.Path, artifacts: Artifacts, settings: ValidationSettings, baseline: Artifacts | None = None
) -> AnnotationReport:
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor

    from components import artifacts as types
    from components.validation.executor import Executor

    report = types.AnnotationReport()
    report.uri = str(root / "AnnotationValidator" / "report" / "7")
    context = BaseBeamExecutor.Context(beam_pipeline_args=[], tmp_dir=str(root / "tmp"), unique_id="1")
    Executor(context).Do(
        {
            "examples": [artifacts.examples],
            "statistics": [artifacts.statistics],
            "schema": [artifacts.schema],
            "baseline_statistics": [baseline.statistics] if baseline else [],
        },
        {"report": [report]},
        {"settings": settings.model_dump_json()},
    )
    return read_report(report.uri)


@pytest.fixture
def splits(picture: Callable, jpeg: Callable, record: Callable) -> dict[str, list[tf.train.Example]]:
    train = [record(f"{n}.jpg", jpeg(picture(n)), [("car", GOOD), ("bus", GOOD)]) for n in range(12)]
    train.append(record("empty.jpg", jpeg(picture(50))))
    odd = [("car", (0.1, 0.1, 0.11, 0.9)), ("car", (0.5, 0.5, 0.505, 0.505))]
    train.append(record("odd.jpg", jpeg(picture(51)), odd))
    held_out = [record(f"e{n}.jpg", jpeg(picture(100 + n)), [("car", GOOD)], weather="fog") for n in range(6)]
    held_out.append(record("seen.jpg", jpeg(picture(3)), [("car", GOOD)]))
    held_out.append(record("seen again.jpg", jpeg(picture(4), quality=60), [("tram", GOOD)]))
    return {"train": train, "eval": held_out}


def test_the_report_says_what_is_wrong_and_where(tmp_path: pathlib.Path, splits: dict) -> None:
    report = _run(tmp_path, Artifacts(tmp_path / "data", splits), ValidationSettings(skew=SKEW))

    found = {(check.check, check.split): check for check in report.checks}
    assert not report.with_status("failed")
    assert found["small_boxes", "train"].found.startswith("2 of 26 boxes")
    assert found["small_boxes", "train"].files == ("odd.jpg",)
    assert found["small_boxes", "eval"].status == "passed"
    assert found["aspect_ratios", "train"].found.startswith("1 of 26 boxes")
    assert found["images_without_objects", "train"].status == "passed"
    assert found["missing_classes", "train"].found == "1 of 3 classes are missing: tram"
    assert found["missing_classes", "eval"].found == "1 of 3 classes are missing: bus"
    assert found["rare_classes", "train"].status == "passed"
    assert found["leakage", "eval"].found.startswith("2 of 8 images (25.0%) have a copy in another split: 1 the same")
    assert found["leakage", "eval"].files == ("seen.jpg = train/3.jpg", "seen again.jpg = train/4.jpg")
    assert found["duplicates", "train"].status == "passed"

    # Skew: other classes, and other weather, a column that the schema does not list.
    assert found["skew", "eval"].status == "warned"
    distances = {(distance.kind, distance.feature): distance for distance in report.distances}
    assert distances["skew", "image/object/class/text"].value == pytest.approx(12 / 26, abs=0.01)
    assert distances["skew", "image/meta/weather"].value == pytest.approx(0.75, abs=0.01)
    assert distances["skew", "image/width"].value == 0
    assert not any(distance.kind == "drift" for distance in report.distances)
    assert AnnotationReport.from_json(report.to_json()) == report
    json.loads(report.to_json())


def test_drift_is_measured_against_an_earlier_run(tmp_path: pathlib.Path, splits: dict) -> None:
    earlier = Artifacts(tmp_path / "earlier", {"train": splits["eval"]})
    quick = ValidationSettings(duplicates=Duplicates(level="off"), leakage=Leakage(level="off"), drift=SKEW)
    report = _run(tmp_path, Artifacts(tmp_path / "data", splits), quick, earlier)
    drift = next(check for check in report.checks if check.check == "drift")
    assert drift.status == "warned"
    assert drift.found.startswith("6 of 8 features differ between this train split and that of the run before: ")
    assert drift.found.endswith(", 1 more")
    distances = {(distance.kind, distance.feature): distance.value for distance in report.distances}
    assert distances["drift", "image/object/class/text"] == pytest.approx(12 / 26, abs=0.01)
    assert not any(check.check in ("duplicates", "leakage") for check in report.checks)
    skew = next(check for check in report.checks if check.check == "skew")
    assert skew.status == "passed"
    assert "with fewer than 50 values not judged" in skew.found


def test_level_fail_stops_the_run_and_keeps_the_report(tmp_path: pathlib.Path, splits: dict) -> None:
    from components.validation.executor import AnnotationCheckError

    settings = ValidationSettings(small_boxes=SmallBoxes(level="fail"), leakage=Leakage(level="fail", near=False))
    with pytest.raises(AnnotationCheckError) as raised:
        _run(tmp_path, Artifacts(tmp_path / "data", splits), settings)
    message = str(raised.value)
    assert "small_boxes (train): 2 of 26 boxes" in message
    assert "leakage (eval): 1 of 8 images" in message
    assert "seen.jpg = train/3.jpg" in message
    assert "seen again.jpg" not in message
    kept = tmp_path / "AnnotationValidator" / "failed" / "7"
    assert str(kept) in message
    assert {check.check for check in read_report(kept).with_status("failed")} == {"small_boxes", "leakage"}


@pytest.mark.parametrize("check", ["learnable_objects", "dark_images", "copied_splits"])
def test_data_on_which_nothing_can_be_learnt_stops_the_run_until_it_is_overruled(
    check: str, tmp_path: pathlib.Path, splits: dict, picture: Callable, jpeg: Callable, record: Callable
) -> None:
    from components.validation.executor import AnnotationCheckError

    if check == "learnable_objects":
        for example in splits["eval"]:
            objects = len(example.features.feature[features.OBJECT_CLASS_TEXT].bytes_list.value)
            example.features.feature[features.OBJECT_DIFFICULT].int64_list.value.extend([1] * objects)
    elif check == "dark_images":
        dark = [jpeg(picture(n).point(lambda value: value // 16)) for n in range(6)]
        splits["eval"] = [record(f"d{n}.jpg", encoded, [("car", GOOD)]) for n, encoded in enumerate(dark)]
    else:
        splits["eval"] = splits["train"][:6]
    artifacts = Artifacts(tmp_path / "data", splits)
    with pytest.raises(AnnotationCheckError, match="set the check's level to `warn`") as raised:
        _run(tmp_path, artifacts, ValidationSettings())
    assert [line.split()[0] for line in str(raised.value).splitlines()[1:-1]] == [check]

    report = _run(tmp_path, artifacts, ValidationSettings.model_validate({check: {"level": "warn"}}))
    assert check in {result.check for result in report.with_status("warned")}
