from __future__ import annotations

import json

import pytest
import tensorflow as tf

from components.data_profile import DATA_PROFILE_FILE, DataProfile, merged
from components.example_gen.annotations import DataError
from components.example_gen.verdict import BadInputError
from schema import features


def write_coco(folder, images: dict[str, bytes], **extra) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    entries, annotations = [], []
    for number, (name, encoded) in enumerate(images.items()):
        if encoded is not None:
            (folder / name).write_bytes(encoded)
        entries.append({"id": number, "file_name": name, **extra})
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": [4, 3, 16, 12]})
    data = {"images": entries, "annotations": annotations, "categories": [{"id": 1, "name": "a"}]}
    (folder / "labels.json").write_text(json.dumps(data))


@pytest.fixture
def good(image_bytes) -> dict[str, bytes]:
    return {f"{i:03d}.jpg": image_bytes(seed=i) for i in range(20)}


def test_bad_images_are_left_out_and_nothing_else_is(run, tmp_path, good, image_bytes) -> None:
    bad = {
        "gone.jpg": None,
        "empty.jpg": b"",
        "text.jpg": b"hello",
        "cut.jpg": image_bytes()[:-20],
        "cut.png": image_bytes(image_format="PNG")[:-20],
        "picture.bmp": image_bytes(image_format="BMP"),
        "../../../secret.jpg": None,
    }
    write_coco(tmp_path / "deep" / "er", good | bad)
    result = run(format="coco", path=str(tmp_path))
    assert sum(result.summary.images.values()) == len(good)
    assert (result.summary.listed_images, result.summary.skipped_images) == (27, 7)
    assert result.summary.findings == {
        "truncated_image": 2,
        "missing_image": 1,
        "empty_image": 1,
        "not_an_image": 1,
        "unsupported_image": 1,
        "path_outside": 1,
    }
    assert all(finding.treatment == "skip" for finding in result.findings)
    with pytest.raises(BadInputError, match=r"7 of 27 images skipped \(25\.9%\), data.max_skipped_images allows 1\.0%"):
        run(format="coco", path=str(tmp_path), max_skipped_images=0.01)
    with pytest.raises(
        BadInputError, match=r"treated as `fail`: 2 truncated_image\. Findings: .*/failed/1/findings\.jsonl"
    ):
        run(format="coco", path=str(tmp_path), bad_input={"truncated_image": "fail"})


def test_every_record_can_be_decoded_by_the_graph_and_matches_its_size(run, tmp_path, good, image_bytes) -> None:
    odd = {f"r{i}.jpg": image_bytes(orientation=i) for i in range(1, 9)}
    odd |= {f"{mode}.jpg": image_bytes(mode=mode) for mode in ("L", "CMYK")}
    odd |= {f"{mode}.PNG": image_bytes(image_format="PNG", mode=mode) for mode in ("RGBA", "LA", "P", "L")}
    write_coco(tmp_path, good | odd)
    result = run(format="coco", path=str(tmp_path))
    assert result.summary.findings == {"rotated_image": 7}
    assert sum(result.summary.images.values()) == len(good | odd)
    for record in [record for records in result.records.values() for record in records]:
        values = record.features.feature
        encoded = values[features.IMAGE_ENCODED].bytes_list.value[0]
        decoded = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        assert decoded.shape[:2] == (
            values[features.IMAGE_HEIGHT].int64_list.value[0],
            values[features.IMAGE_WIDTH].int64_list.value[0],
        )
        if values[features.IMAGE_FILENAME].bytes_list.value[0].decode() in good:
            assert encoded == good[values[features.IMAGE_FILENAME].bytes_list.value[0].decode()], (
                "pixels stay as they are"
            )


def test_the_profile_counts_what_was_written(run, tmp_path, good, image_bytes) -> None:
    write_coco(tmp_path, good | {"cut.jpg": image_bytes()[:-20]})
    result = run(format="coco", path=str(tmp_path), shard_images=4)
    profile = DataProfile.from_json((result.examples_uri / DATA_PROFILE_FILE).read_text())
    assert {split: found.images for split, found in profile.splits.items()} == result.summary.images
    everything = merged(profile.splits.values())
    assert (everything.images, everything.class_counts) == (20, {"a": 20})
    # Boxes of 16 x 12 pixels on images of 40 x 30.
    assert everything.relative_size.quantiles([0.0, 1.0]) == pytest.approx((0.4, 0.4), rel=0.01)
    assert everything.side_pixels.quantiles([0.0, 1.0]) == pytest.approx((12, 12), rel=0.01)
    assert everything.aspect_ratio.quantiles([0.0, 1.0]) == pytest.approx((16 / 12, 16 / 12), rel=0.01)


def test_shards_are_the_same_on_every_run_and_shuffled(run, tmp_path, good) -> None:
    write_coco(tmp_path, good)
    settings = {"format": "coco", "path": str(tmp_path), "shard_images": 5}
    first, second = run(**settings), run(**settings)
    files = sorted(path.relative_to(first.examples_uri) for path in first.examples_uri.rglob("*") if path.is_file())
    assert sum(path.parts[0] == "Split-train" for path in files) > 1
    assert all((first.examples_uri / path).read_bytes() == (second.examples_uri / path).read_bytes() for path in files)
    names = [r.features.feature[features.IMAGE_FILENAME].bytes_list.value[0] for r in first.records["train"]]
    assert names != sorted(names)


def test_a_window_of_spans_keeps_an_image_in_its_split(run, tmp_path, good) -> None:
    for span in (1, 2, 3):
        write_coco(tmp_path / f"span-{span}", good)
    result = run(format="coco", path=str(tmp_path / "span-{SPAN}"), span_window=2)
    assert sum(result.summary.images.values()) == 40
    for split in ("train", "eval"):
        by_span = [{name for name in result.source_ids(split) if name.startswith(f"span-{span}/")} for span in (2, 3)]
        assert {name[7:] for name in by_span[0]} == {name[7:] for name in by_span[1]}


def test_an_image_stays_in_its_split_when_a_newer_span_comes_and_tells_its_span(run, tmp_path, good) -> None:
    settings = {"format": "coco", "path": str(tmp_path / "span-{SPAN}"), "span_window": 2, "metadata": ["weather"]}
    write_coco(tmp_path / "span-1", good, weather="fog")
    alone = run(**settings)
    write_coco(tmp_path / "span-2", {f"new-{name}": encoded for name, encoded in good.items()}, weather="rain")
    both = run(**settings)
    for split in ("train", "eval"):
        earlier = {name for name in both.source_ids(split) if name.startswith("span-1/")}
        assert earlier == {f"span-1/{name}" for name in alone.source_ids(split)}
    for result, spans in ((alone, {1}), (both, {1, 2})):
        examples = [example for split in result.records.values() for example in split]
        found = {example.features.feature[features.meta_key("span")].int64_list.value[0] for example in examples}
        assert found == spans
        assert metadata_columns(result) == {"weather", "span"}


def test_data_behind_a_scheme_gives_the_same_records(run, tmp_path, good) -> None:
    write_coco(tmp_path / "span-1", good)
    # file:// stands for gs://: both go through TensorFlow's file systems.
    here, there = (
        run(format="coco", path=f"{root}/span-{{SPAN}}", max_skipped_images=0)
        for root in (tmp_path, f"file://{tmp_path}")
    )
    assert there.records == here.records
    assert there.summary == here.summary


def test_a_split_without_images_is_an_error(run, tmp_path, image_bytes) -> None:
    write_coco(tmp_path, {"a.jpg": image_bytes()})
    with pytest.raises(DataError, match=r"no images in the split (train|eval)"):
        run(format="coco", path=str(tmp_path))


def test_labels_of_a_label_map(run, tmp_path, good) -> None:
    write_coco(tmp_path, good)
    (tmp_path / "labels.txt").write_text("b\na\n")
    result = run(format="coco", path=str(tmp_path), label_map=str(tmp_path / "labels.txt"))
    assert result.records["train"][0].features.feature[features.OBJECT_CLASS_LABEL].int64_list.value[:] == [2]
    (tmp_path / "labels.txt").write_text("b\n")
    with pytest.raises(BadInputError, match=r"20 of 20 boxes dropped \(100\.0%\), data.max_dropped_boxes allows 1\.0%"):
        run(format="coco", path=str(tmp_path), label_map=str(tmp_path / "labels.txt"), max_dropped_boxes=0.01)


def metadata_columns(result) -> set[str]:
    keys = {key for records in result.records.values() for record in records for key in record.features.feature}
    return {key.removeprefix(features.META_PREFIX) for key in keys if key.startswith(features.META_PREFIX)}


def test_images_are_grouped_by_a_column_that_is_not_kept(run, tmp_path, good) -> None:
    write_coco(tmp_path, good)
    rows = [f"{name},{i // 4},fog\n" for i, name in enumerate(good)]
    (tmp_path / "metadata.csv").write_text("filename,video,weather\n" + "".join(rows))
    settings = {"format": "coco", "path": str(tmp_path), "metadata": ["weather"]}
    result = run(**settings, split={"group_by": "video"})
    assert not result.findings
    assert metadata_columns(result) == {"weather"}
    videos = [{int(name[:3]) // 4 for name in result.source_ids(split)} for split in ("train", "eval")]
    assert not videos[0] & videos[1]
    message = r"no image has a metadata column 'vidoe'; did you mean 'video'\? \(found: video, weather\)"
    with pytest.raises(DataError, match=message):
        run(**settings, split={"group_by": "vidoe"})


def test_an_image_without_a_group_stands_alone(run, tmp_path, good) -> None:
    write_coco(tmp_path, good)
    rows = [f"{name},{'' if name == '007.jpg' else i}\n" for i, name in enumerate(good)]
    (tmp_path / "metadata.csv").write_text("filename,video\n" + "".join(rows))
    settings = {"format": "coco", "path": str(tmp_path), "split": {"group_by": "video"}}
    alone = run(**settings)
    assert [(f.kind, f.file, f.where) for f in alone.findings] == [("missing_group", "007.jpg", "video")]
    assert sum(alone.summary.images.values()) == 20
    assert metadata_columns(alone) == {"video"}
    skipped = run(**settings, bad_input={"missing_group": "skip"})
    assert sum(skipped.summary.images.values()) == 19
    assert (skipped.summary.listed_images, skipped.summary.skipped_images) == (20, 1)
