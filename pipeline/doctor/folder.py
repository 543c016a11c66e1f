"""A data folder read without being told how: the likeliest format that can be read, and what is in it."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

from components.example_gen.settings import DataSettings
from components.findings import KINDS, Finding
from components.user_error import UserError
from pipeline.doctor.layout import Layout, NoLayoutError, layouts
from pipeline.doctor.survey import Survey, survey

_DIVISIONS: Final[tuple[dict[str, str], ...]] = ({}, {"source": "hash"})
"""Settings of ``data.split`` that are tried: as the data says, and by hash."""


@dataclasses.dataclass(frozen=True)
class FolderLook:
    """A folder, read.

    Attributes:
      layout: the format it was read in.
      looked: what is in it.
      others: further formats that its files may have.
      refused: why no likelier format, or no division of its own, was taken; empty where the likeliest was.
    """

    layout: Layout
    looked: Survey
    others: tuple[Layout, ...]
    refused: str


def look_at_folder(folder: str, wanted_format: str | None = None) -> FolderLook:
    """Reads a folder in the likeliest format that can be read; by hash where its own division makes no sense.

    Args:
      folder: of the annotated images.
      wanted_format: look at this one of several formats.

    Raises:
      UserError: it has no files of a format that is read, or of the wanted one, or none can be read: then the message
        is that of the likeliest.
    """
    found = layouts(folder)
    chosen = [layout for layout in found if wanted_format in (None, layout.format)]
    if not chosen:
        there = ", ".join(other.format for other in found)
        raise NoLayoutError(f"{folder} has no files of the format {wanted_format}, but of {there}")
    first: UserError | None = None
    for layout in chosen:
        settings = {"format": layout.format, "path": folder, "label_map": layout.label_map}
        for split in _DIVISIONS:
            try:
                looked = survey(DataSettings.model_validate({**settings, "split": split}))
            except UserError as error:
                first = first or error
                continue
            others = tuple(other for other in found if other.format != layout.format)
            return FolderLook(layout, looked, others, "" if first is None else str(first))
    raise first or UserError(f"{folder}: no format")


def finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Two lines for each kind of finding, the most frequent first: what it means, and an example."""
    for kind, count in collections.Counter(finding.kind for finding in findings).most_common():
        example = next(finding for finding in findings if finding.kind == kind)
        where = " ".join(filter(None, (example.file, example.where)))
        yield f"{count} {kind}: {KINDS[kind].meaning} -> {example.treatment}"
        yield f"  {where}: {example.found}"
