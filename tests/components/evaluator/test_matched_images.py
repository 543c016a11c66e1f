from __future__ import annotations

import pathlib

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing import test_pipeline

from components.evaluator.coco import ImageResult, coco_metrics
from components.evaluator.matched_images import ImageFacts, MatchedImages, join_images, match_image
from components.evaluator.matches_file import WriteMatches, read_matches, write_matches
from tests.components.evaluator.made_images import CLASS_NAMES, joined, made_image, made_result


@pytest.fixture(scope="module")
def results() -> list[ImageResult]:
    random = np.random.default_rng(3)
    return [made_result(random) for _ in range(40)]


def assert_equal(ours: MatchedImages, theirs: MatchedImages) -> None:
    assert ours.images == theirs.images
    assert (ours.class_names, ours.known_before) == (theirs.class_names, theirs.known_before)
    np.testing.assert_equal(vars(ours.truths), vars(theirs.truths))
    np.testing.assert_equal(vars(ours.candidate), vars(theirs.candidate))
    assert (ours.baseline is None) == (theirs.baseline is None)
    if ours.baseline is not None and theirs.baseline is not None:
        np.testing.assert_equal(vars(ours.baseline), vars(theirs.baseline))


def test_metrics_are_those_of_the_images(results: list[ImageResult]) -> None:
    images = joined(results)
    np.testing.assert_equal(images.metrics(images.candidate), coco_metrics(results, CLASS_NAMES))


def test_a_slice_is_what_its_images_alone_give(results: list[ImageResult]) -> None:
    fog = joined(results).slice_of((("weather", "fog"),))
    np.testing.assert_equal(fog.metrics(fog.candidate), coco_metrics(results[::3], CLASS_NAMES))
    assert len(joined(results).slice_of((("weather", "snow"),)).images) == 0


def test_images_with_a_class_count_those_whose_objects_count(results: list[ImageResult]) -> None:
    shown = {
        name: sum(bool(((r.truth_classes == index) & ~r.truth_is_crowd & ~r.truth_is_ignored).any()) for r in results)
        for index, name in enumerate(CLASS_NAMES)
    }
    assert joined(results).images_with_class == shown


def test_order_and_numbering_of_classes_do_not_matter(results: list[ImageResult]) -> None:
    images = [made_image(n, {"candidate": result}) for n, result in enumerate(results)]
    renumbered = [
        match_image(
            image.facts,
            ("zebra", *reversed(CLASS_NAMES)),
            {"candidate": _renumbered(result, [3, 2, 1])},
        )
        for image, result in zip(images, results, strict=True)
    ]
    expected = join_images(images, "candidate", None, None)
    other = join_images(reversed(renumbered), "candidate", None, None)
    assert other.class_names == (*CLASS_NAMES, "zebra")
    for name, value in expected.metrics(expected.candidate).items():
        assert other.metrics(other.candidate)[name] == pytest.approx(value, nan_ok=True), name


def _renumbered(result: ImageResult, places: list[int]) -> ImageResult:
    numbers = np.array(places)
    return ImageResult(
        result.detection_boxes_yxyx_pixels,
        result.detection_scores,
        numbers[result.detection_classes],
        result.truth_boxes_yxyx_pixels,
        numbers[result.truth_classes],
        *(result.truth_areas_pixels, result.truth_is_crowd, result.truth_is_ignored),
    )


@pytest.mark.parametrize("with_baseline", [False, True])
def test_matches_survive_the_way_through_a_file(
    tmp_path: pathlib.Path, results: list[ImageResult], with_baseline: bool
) -> None:
    models = ("candidate", "baseline") if with_baseline else ("candidate",)
    images = [made_image(n, dict.fromkeys(models, result)) for n, result in enumerate(results)]
    images[3] = match_image(
        ImageFacts("stra\udcdfe", "stra\udcdfe.jpg", 7, 8, {}, "stra\udcdfe"),
        ("car", "tram"),
        dict.fromkeys(models, NONE),
    )
    known_before = ["car"] if with_baseline else None
    with test_pipeline.TestPipeline() as pipeline:
        _ = pipeline | beam.Create(images) | WriteMatches(str(tmp_path / "m"), models, known_before)
    expected = join_images(images, "candidate", "baseline" if with_baseline else None, known_before)
    assert_equal(read_matches(str(tmp_path / "m")), expected)
    write_matches(str(tmp_path / "again"), expected)
    assert_equal(read_matches(str(tmp_path / "again")), expected)


NONE = ImageResult.from_normalized(
    height_pixels=7,
    width_pixels=8,
    detection_boxes_yxyx_normalized=(),
    detection_scores=(),
    detection_classes=(),
    truth_boxes_yxyx_normalized=(),
    truth_classes=(),
)


def test_no_images_are_no_images(tmp_path: pathlib.Path) -> None:
    with test_pipeline.TestPipeline() as pipeline:
        _ = pipeline | beam.Create([]) | WriteMatches(str(tmp_path / "m"), ("candidate",), None)
    images = read_matches(str(tmp_path / "m"))
    assert images.images == ()
    write_matches(str(tmp_path / "again"), images)
    assert read_matches(str(tmp_path / "again")).images == ()
    assert np.isnan(images.metrics(images.candidate)["AP"])


def test_a_damaged_file_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="holds no"):
        read_matches(str(tmp_path))
    (tmp_path / "matches-0.parquet").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"matches-0\.parquet: is no file of matches"):
        read_matches(str(tmp_path))
