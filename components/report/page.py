"""The page of a run: the sections' parts in one HTML file, with a table of contents over their headings."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Final

import markupsafe

from components.report.local_time import local_time
from components.report.run_record import RunRecord
from components.report.section import Section
from components.report.templating import templates

_HEADING: Final = re.compile(r"<h2>(.*?)</h2>", re.DOTALL)
_TAG: Final = re.compile(r"<[^>]*>")
_NO_WORD: Final = re.compile(r"[^0-9a-z]+")


@dataclasses.dataclass(frozen=True)
class Heading:
    """An entry of the table of contents.

    Attributes:
      anchor: id of the heading.
      text: HTML without tags.
    """

    anchor: str
    text: markupsafe.Markup


def render_page(record: RunRecord, sections: Sequence[Section]) -> str:
    """The run as one HTML page that needs nothing else: no network, no notebook, and it is complete without a script.

    Args:
      record: the run.
      sections: in the order of the page. Every ``<h2>`` of their templates gets an anchor and a line of the contents.
    """
    environment = templates()
    parts, contents = [], list[Heading]()
    for section in sections:
        rendered = environment.get_template(section.template).render(section=section, record=record)
        part, headings = anchored(rendered, {heading.anchor for heading in contents})
        contents += headings
        if part.strip():
            parts.append(markupsafe.Markup(part))  # noqa: S704 - rendered from a template, which escapes
    tiles = [tile for section in sections for tile in section.tiles()]
    return environment.get_template("page.html").render(
        record=record, started=local_time(record.started_seconds), contents=contents, parts=parts, tiles=tiles
    )


def anchored(part: str, taken: set[str]) -> tuple[str, list[Heading]]:
    """A part of the page whose headings have an id each, and those headings.

    >>> anchored("<h2>Skew and <i>drift</i></h2>", {"skew-and-drift"})[0]
    '<h2 id="skew-and-drift-2">Skew and <i>drift</i></h2>'
    """
    headings: list[Heading] = []

    def with_id(match: re.Match[str]) -> str:
        text = _TAG.sub("", match[1]).strip()
        word = _NO_WORD.sub("-", text.lower()).strip("-") or "section"
        used = taken | {heading.anchor for heading in headings}
        anchor = next(name for name in (word, *(f"{word}-{n}" for n in range(2, len(used) + 3))) if name not in used)
        headings.append(Heading(anchor, markupsafe.Markup(text)))  # noqa: S704 - of a rendered template
        return f'<h2 id="{anchor}">{match[1]}</h2>'

    return _HEADING.sub(with_id, part), headings
