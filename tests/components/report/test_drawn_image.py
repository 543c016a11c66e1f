"""Pictures of the page: bounded, and names that can be read."""

from __future__ import annotations

import io

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from components.label_placement import overlap
from components.report.drawn_image import (
    LONGER_SIDE_PIXELS,
    MOST_BYTES,
    DrawnBox,
    DrawnImage,
    Name,
    fitted,
    page_jpeg,
    relative_luminance,
)
from components.report.templating import templates


def _encoded(pixels: np.ndarray, orientation: int = 1) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def test_a_large_picture_is_made_small() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 1800, 3)).astype(np.uint8)
    jpeg, (height, width) = page_jpeg(_encoded(noise))
    assert len(jpeg) <= MOST_BYTES
    assert max(height, width) <= LONGER_SIDE_PIXELS
    assert Image.open(io.BytesIO(jpeg)).size == (width, height)
    assert width == pytest.approx(2 * height, abs=2)


def test_a_small_picture_keeps_its_size_and_one_stored_sideways_is_turned() -> None:
    assert page_jpeg(_encoded(np.full((40, 60, 3), 90, np.uint8)))[1] == (40, 60)
    assert page_jpeg(_encoded(np.full((40, 60, 3), 90, np.uint8), orientation=6))[1] == (60, 40)


def test_an_image_that_does_not_decode_is_no_error() -> None:
    assert page_jpeg(b"\xff\xd8 no jpeg") == (b"", (0, 0))


sides = st.floats(0, 1)
drawn_boxes = st.builds(
    lambda a, b, c, d, name, score, mark: DrawnBox((min(a, b), min(c, d), max(a, b), max(c, d)), name, score, mark),
    *(sides, sides, sides, sides),
    st.sampled_from(
        ["car", "pedestrian_crossing", "a very long name of a class that nobody can read to its end", "字"]
    ),
    st.one_of(st.none(), sides),
    st.sampled_from(["", "missed"]),
)


@hypothesis.given(st.lists(drawn_boxes, max_size=20), st.integers(8, 1000), st.integers(8, 1000))
@hypothesis.settings(deadline=None)
def test_names_lie_in_the_picture_and_not_on_each_other(boxes: list[DrawnBox], height: int, width: int) -> None:
    truths = tuple(box for box in boxes if box.score is None)
    found = tuple(box for box in boxes if box.score is not None)
    image = DrawnImage("a.jpg", b"jpeg", (height, width), truths, found)
    for names in (image.grid_names, image.window_names):
        for number, name in enumerate(names):
            assert min(name.x, name.y) >= 0
            assert name.x + name.width <= width + 1e-6
            assert name.y + name.height <= height + 1e-6
            assert not any(overlap(_box(name), _box(other)) for other in names[:number])
            assert contrast(name) >= 4.5


def _box(name: Name) -> tuple[float, float, float, float]:
    return name.x, name.y, name.x + name.width, name.y + name.height


def contrast(name: Name) -> float:
    """WCAG 2's contrast of the letters on their ground; 4.5 is what small text needs."""
    dark, light = sorted([relative_luminance(name.colour), relative_luminance(name.ink)])
    return (light + 0.05) / (dark + 0.05)


def test_an_object_that_is_found_is_named_once() -> None:
    box = (0.2, 0.2, 0.6, 0.6)
    image = DrawnImage(
        "a.jpg", b"", (200, 200), (DrawnBox(box, "car"), DrawnBox(box, "bus")), (DrawnBox(box, "car", 0.8),)
    )
    assert [name.text for name in image.window_names] == ["car 0.80", "bus"]


def test_what_is_marked_is_named_first_and_drawn_last() -> None:
    boxes = tuple(DrawnBox((0.1 * n, 0.1, 0.1 * n + 0.05, 0.3), "car", 0.9) for n in range(9))
    missed = DrawnBox((0.5, 0.6, 0.8, 0.9), "bus", mark="missed")
    image = DrawnImage("a.jpg", b"", (400, 400), (missed,), boxes)
    assert image.grid_names[0].text == "missed bus"
    assert image.boxes[-1][0] is missed


def test_a_long_name_is_shortened() -> None:
    text, width = fitted("pedestrian_crossing 0.97", 20, 100)
    assert text.startswith("pedest")
    assert text.endswith("…")
    assert width <= 100
    assert fitted("car", 10, 100)[0] == "car"


def test_the_jpeg_is_in_the_page_once_and_names_are_escaped() -> None:
    box = DrawnBox((0.2, 0.2, 0.6, 0.6), "<script>", 0.5)
    image = DrawnImage("<a>.jpg", b"jpeg", (200, 200), (), (box,), ("<said>",))
    page = str(templates().get_template("drawn_image.html").module.drawn_image(image))  # type: ignore[attr-defined]
    assert page.count("data:image/jpeg;base64,") == 1
    assert "<script>" not in page
    assert "&lt;a&gt;.jpg" in page
    assert "&lt;said&gt;" in page
