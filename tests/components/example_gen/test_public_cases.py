"""Small data sets made after public bug reports, each with the value that a user would expect (their README)."""

from __future__ import annotations

import collections
import pathlib

import pytest

from components.example_gen.annotations import DataError
from components.example_gen.settings import DataSettings
from components.example_gen.verdict import BadInputError
from pipeline.doctor.survey import survey

HASHED = {"source": "hash", "ratios": {"train": 10, "eval": 4}}
CELLS = {"RBC", "WBC", "Platelets"}


@pytest.fixture
def case(shared_data) -> pathlib.Path:
    """The folder of all cases."""
    folder = shared_data.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"cases are not at {folder} (set SHARED_DIR)")
    return folder


def strictly(run, folder: pathlib.Path, data_format: str, **settings):
    return run(format=data_format, path=str(folder), max_skipped_images=0, max_dropped_boxes=0, **settings)


def classes(result) -> collections.Counter[str]:
    return collections.Counter(
        name.decode()
        for records in result.records.values()
        for record in records
        for name in record.features.feature["image/object/class/text"].bytes_list.value
    )


def values(result, key: str) -> list:
    kinds = ("int64_list", "float_list", "bytes_list")
    features = [record.features.feature[key] for records in result.records.values() for record in records]
    return [value for feature in features for kind in kinds for value in getattr(feature, kind).value]


def test_names_as_a_string(run, case) -> None:
    result = strictly(run, case / "yolo_names_string", "yolo")
    assert set(classes(result)) == {"lesion"}
    assert result.summary.boxes == {"train": 60, "eval": 24}


def test_names_that_look_like_octal_numbers(run, case) -> None:
    assert set(classes(strictly(run, case / "yolo_numeric_names", "yolo"))) == {"02146", "21008", "21010"}


def test_a_pose_has_its_box_in_front(run, case) -> None:
    result = strictly(run, case / "yolo_pose_8x2", "yolo")
    assert not result.findings
    record = result.record("images/train/cell_002.jpg").features.feature
    box = [record[f"image/object/bbox/{key}"].float_list.value[0] for key in ("xmin", "ymin", "xmax", "ymax")]
    assert box == pytest.approx([96 / 160, 24 / 120, 131 / 160, 50 / 120], abs=0.005)


def test_numbers_as_text(run, case) -> None:
    result = strictly(run, case / "coco_strings", "coco")
    assert result.summary.boxes == {"train": 60, "eval": 24}
    assert sum(values(result, "image/object/is_crowd")) == 0
    assert all(area > 1 for area in values(result, "image/object/area"))
    fields = {(finding.kind, finding.where.rpartition(".")[2]) for finding in result.findings}
    assert fields >= {("coerced_value", "bbox"), ("coerced_value", "iscrowd")}


def test_image_ids_as_text(run, case) -> None:
    result = strictly(run, case / "coco_string_image_id", "coco")
    assert result.summary.boxes == {"train": 60, "eval": 24}
    assert {(f.kind, f.where) for f in result.findings} == {("coerced_value", "annotations[].image_id")}
    assert len(result.findings) == len({f.file for f in result.findings}), "one a file"


def test_renamed_files(run, case) -> None:
    result = strictly(run, case / "voc_renamed", "pascal_voc", split=HASHED)
    assert result.record("img_07").features.feature["image/filename"].bytes_list.value[0] == b"img_07.jpg"
    assert result.summary.findings == {"filename_differs": 14}


def test_a_space_behind_a_name(run, case) -> None:
    result = strictly(run, case / "coco_trailing_space", "coco")
    assert set(classes(result)) == CELLS
    assert result.summary.findings == {"similar_names": 2}


@pytest.mark.parametrize("settings", [{}, {"annotations": {"train": "images/train", "eval": "images/val"}}])
def test_a_byte_order_mark_before_the_first_class(run, case, settings) -> None:
    folder = case / "yolo_bom_labels"
    result = strictly(run, folder, "yolo", label_map=str(folder / "classes.txt"), **settings)
    assert set(classes(result)) == CELLS
    assert result.summary.boxes == {"train": 60, "eval": 24}


def test_a_label_map_with_keypoints(run, case) -> None:
    folder = case / "csv_pbtxt_keypoints"
    result = strictly(run, folder, "csv", label_map=str(folder / "label_map.pbtxt"))
    assert set(classes(result)) == CELLS
    assert set(values(result, "image/object/class/label")) == {1, 2, 3}


def test_windows_paths(run, case) -> None:
    result = strictly(run, case / "voc_windows_filename", "pascal_voc", split=HASHED)
    assert not result.findings
    record = result.record("cell_003").features.feature
    assert record["image/filename"].bytes_list.value[0] == b"cell_003.jpg"


def test_annotations_in_a_folder_of_another_name(run, case) -> None:
    result = strictly(run, case / "voc_split_annot", "pascal_voc")
    assert result.summary.images == {"train": 10, "eval": 4}
    assert not result.findings


def test_cvat_yolo(run, case) -> None:
    result = strictly(run, case / "yolo_cvat11", "yolo", split=HASHED)
    assert sum(result.summary.images.values()) == 14
    assert set(classes(result)) == CELLS
    assert not result.findings


def test_every_label_line_twice(run, case) -> None:
    result = strictly(run, case / "yolo_dup_lines", "yolo")
    assert result.summary.boxes == {"train": 60, "eval": 24}
    assert result.summary.findings == {"duplicate_box": 84}


def test_corners_where_sizes_are_meant(run, case) -> None:
    with pytest.raises(BadInputError, match=r"\d\d of 84 boxes leave their picture.* looks like corners"):
        strictly(run, case / "coco_xyxy", "coco")


def test_the_same_folder_for_train_and_val(run, case) -> None:
    folder = case / "yolo_val_is_train"
    with pytest.raises(DataError, match=r"evaluation on training images.*set data.split.source to `hash`"):
        strictly(run, folder, "yolo")
    result = strictly(run, folder, "yolo", split=HASHED)
    assert sum(result.summary.images.values()) == 14
    assert not result.findings


def test_everything_is_difficult(run, case) -> None:
    """Records are made, and the annotation check then has what it needs to stop the run."""
    result = strictly(run, case / "voc_all_difficult", "pascal_voc")
    for split, profile in result.profiles.items():
        assert profile.set_aside == profile.objects == result.summary.boxes[split]


def test_images_without_objects(run, case) -> None:
    result = strictly(run, case / "yolo_some_background", "yolo")
    assert sum(profile.images_without_objects for profile in result.profiles.values()) == 3
    assert not result.findings


@pytest.mark.parametrize(
    ("name", "data_format"),
    [
        ("voc_renamed", "pascal_voc"),
        ("coco_strings", "coco"),
        ("yolo_dup_lines", "yolo"),
        ("csv_pbtxt_keypoints", "csv"),
    ],
)
def test_the_doctor_reads_the_same(run, case, name: str, data_format: str) -> None:
    settings = DataSettings(format=data_format, path=str(case / name), split=HASHED)
    assert survey(settings).summary == strictly(run, case / name, data_format, split=HASHED).summary
