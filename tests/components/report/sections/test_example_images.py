"""Images with boxes on the page."""

from __future__ import annotations

import pytest

from components.report.sections.example_images import DrawnBox, ExampleImage, ExampleImages
from components.report.templating import templates


@pytest.mark.parametrize(
    ("box_yxyx_normalized", "place"),
    [
        ((0.5, 0.1, 0.9, 0.3), 'x="41.0" y="97.0" text-anchor="start"'),
        ((0.5, 0.9, 0.9, 1.0), 'x="399.0" y="97.0" text-anchor="end"'),
    ],
)
def test_a_long_name_is_not_cut_at_the_edge(box_yxyx_normalized: tuple[float, float, float, float], place: str) -> None:
    box = DrawnBox(box_yxyx_normalized, "pedestrian_crossing", 0.8)
    section = ExampleImages("eval", (ExampleImage("a.jpg", b"jpeg", (200, 400), (), (box,)),), "")
    page = templates().get_template(section.template).render(section=section)
    assert f'<text class="label" {place}' in page
