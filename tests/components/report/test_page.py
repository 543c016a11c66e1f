from __future__ import annotations

from components.report.page import anchored


def test_headings_get_anchors_that_no_other_has() -> None:
    part, headings = anchored("<h2>By class</h2><p>x</p><h2>By class</h2>", {"by-class"})
    assert part == '<h2 id="by-class-2">By class</h2><p>x</p><h2 id="by-class-3">By class</h2>'
    assert [str(heading.text) for heading in headings] == ["By class", "By class"]


def test_a_heading_that_tries_to_be_html_stays_text() -> None:
    part, [heading] = anchored("<h2>&lt;script&gt;a&lt;/script&gt; &quot;</h2>", set())
    assert part.startswith('<h2 id="lt-script-gt-a-lt-script-gt-quot">')
    assert str(heading.text) == "&lt;script&gt;a&lt;/script&gt; &quot;"
    assert anchored("<h2>ü</h2>", set())[1][0].anchor == "section"
