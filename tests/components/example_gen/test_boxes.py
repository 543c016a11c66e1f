from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from components.example_gen.annotations import ImageAnnotation, ObjectAnnotation, RecordSkippedError
from components.example_gen.boxes import check_objects, turn_upright
from components.example_gen.images import ImageHeader
from components.example_gen.settings import BadInputSettings

HEADER = ImageHeader("jpeg", 100, 50, 1)
fractions = st.floats(0, 1, width=32)


def annotation(*boxes: tuple[float, float, float, float], **values) -> ImageAnnotation:
    objects = tuple(ObjectAnnotation(box, "a", f"object {i}") for i, box in enumerate(boxes))
    return ImageAnnotation(objects, **values)


def check(annotated: ImageAnnotation, header: ImageHeader = HEADER, class_names=None, **treatments):
    return check_objects(annotated, header, "a.jpg", BadInputSettings(**treatments), class_names)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_a_box_follows_the_pixels(orientation: int) -> None:
    stored = np.zeros((30, 40), np.uint8)
    stored[3:12, 8:28] = 255
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image))
    rows, columns = np.nonzero(upright)
    expected = (
        columns.min() / upright.shape[1],
        rows.min() / upright.shape[0],
        (columns.max() + 1) / upright.shape[1],
        (rows.max() + 1) / upright.shape[0],
    )
    assert turn_upright((8 / 40, 3 / 30, 28 / 40, 12 / 30), orientation) == pytest.approx(expected)


@given(st.tuples(*[st.floats(-200, 200, width=32)] * 4), st.sampled_from(["drop", "swap"]), st.integers(1, 8))
def test_whatever_is_kept_is_a_box_inside_the_image(box, inverted: str, orientation: int) -> None:
    header = ImageHeader("jpeg", 100, 50, orientation)
    annotated = annotation(box, width_pixels=100, height_pixels=50)
    objects, findings = check(annotated, header, box_inverted=inverted)
    assert len(objects) + sum(finding.treatment == "drop" for finding in findings) == 1
    for checked in objects:
        xmin, ymin, xmax, ymax = checked.box_xyxy_normalized
        assert 0 <= xmin < xmax <= 1
        assert 0 <= ymin < ymax <= 1


@given(fractions, fractions, fractions, fractions)
def test_a_good_box_is_kept_as_it_is(a: float, b: float, c: float, d: float) -> None:
    box = (min(a, b), min(c, d), max(a, b), max(c, d))
    if box[0] < box[2] and box[1] < box[3]:
        objects, findings = check(annotation(box, normalized=True))
        assert objects[0].box_xyxy_normalized == box
        assert objects[0].area_pixels == pytest.approx((box[2] - box[0]) * (box[3] - box[1]) * 5000)
        assert not findings


@pytest.mark.parametrize(
    ("box", "kind", "treatment", "kept"),
    [
        ((math.nan, 1, 20, 20), "box_not_finite", "drop", None),
        ((1, 1, math.inf, 20), "box_not_finite", "drop", None),
        ((20, 1, 1, 20), "box_inverted", "drop", None),
        ((20, 1, 1, 20), "box_inverted", "swap", (0.01, 0.02, 0.2, 0.4)),
        ((5, 5, 5, 20), "box_zero_area", "drop", None),
        ((50, 10, 150, 20), "box_outside", "clip", (0.5, 0.2, 1.0, 0.4)),
        ((50, 10, 150, 20), "box_outside", "drop", None),
        ((120, 10, 150, 20), "box_outside", "drop", None),
    ],
)
def test_treatments(box, kind: str, treatment: str, kept) -> None:
    objects, findings = check(annotation(box, (0, 0, 10, 10)), **({} if box[0] == 120 else {kind: treatment}))
    assert [(finding.kind, finding.treatment, finding.where) for finding in findings] == [(kind, treatment, "object 0")]
    boxes = [checked.box_xyxy_normalized for checked in objects]
    assert boxes == [pytest.approx(box) for box in ([kept] if kept else []) + [(0, 0, 0.1, 0.2)]]


@pytest.mark.parametrize("treatment", ["skip", "fail"])
@pytest.mark.parametrize("kind", ["box_not_finite", "box_inverted", "box_zero_area", "box_outside"])
def test_a_box_can_cost_the_record(kind: str, treatment: str) -> None:
    box = {"box_not_finite": (math.nan, 0, 1, 1), "box_inverted": (9, 0, 1, 1), "box_zero_area": (1, 1, 1, 2)}
    with pytest.raises(RecordSkippedError) as skipped:
        check(annotation(box.get(kind, (0, 0, 300, 1))), **{kind: treatment})
    assert (skipped.value.finding.kind, skipped.value.finding.treatment) == (kind, treatment)


def test_rounding_at_the_edge_is_clipped_in_silence() -> None:
    objects, findings = check(annotation((-0.4, 0, 100.4, 50)))
    assert objects[0].box_xyxy_normalized == (0, 0, 1, 1)
    assert not findings


def test_unknown_classes() -> None:
    objects, findings = check(annotation((0, 0, 9, 9)), class_names=frozenset({"b"}))
    assert not objects
    assert [finding.kind for finding in findings] == ["unknown_class"]


def test_a_class_that_the_label_map_writes_otherwise() -> None:
    _, (finding,) = check(annotation((0, 0, 9, 9)), class_names=frozenset({"A", "b"}))
    assert (finding.kind, finding.found) == ("unknown_class", "a; the label map has 'A'")


@pytest.mark.parametrize("name", ["", "\ufeff ", "\ud800"])
def test_what_is_no_name_is_no_class(name: str) -> None:
    objects, (finding,) = check(ImageAnnotation((ObjectAnnotation((0, 0, 9, 9), name, "object 1"),)))
    assert not objects
    assert finding.kind == "unknown_class"


def test_a_resized_image_takes_its_boxes_along() -> None:
    annotated = ImageAnnotation(
        (ObjectAnnotation((20, 20, 100, 60), "a", "object 1", area_pixels=1600.0),), width_pixels=200, height_pixels=100
    )
    objects, findings = check(annotated)
    assert objects[0].box_xyxy_normalized == pytest.approx((0.1, 0.2, 0.5, 0.6))
    assert objects[0].area_pixels == pytest.approx(400)
    assert [(finding.kind, finding.treatment) for finding in findings] == [("size_mismatch", "rescale")]


def test_another_aspect_ratio_skips_the_record() -> None:
    with pytest.raises(RecordSkippedError, match="annotated 50x100, file 100x50, width and height exchanged"):
        check(annotation((0, 0, 9, 9), width_pixels=50, height_pixels=100))


def test_annotated_size_tells_the_frame_of_a_quarter_turned_photo() -> None:
    header = ImageHeader("jpeg", 100, 50, 6)  # upright: 50 wide, 100 high
    upright, _ = check(annotation((0, 0, 25, 25), width_pixels=50, height_pixels=100), header)
    assert upright[0].box_xyxy_normalized == (0, 0, 0.5, 0.25)
    stored, _ = check(annotation((0, 0, 25, 25), width_pixels=100, height_pixels=50), header)
    assert stored[0].box_xyxy_normalized == (0.5, 0, 1, 0.25)
    unsaid, _ = check(annotation((0, 0, 25, 25)), header)
    assert unsaid[0].box_xyxy_normalized == (0, 0, 0.5, 0.25)


def test_example_of_the_docstring() -> None:
    assert turn_upright((0.0, 0.0, 0.25, 0.5), 6) == (0.5, 0.0, 1.0, 0.25)
