"""Which images are no independent witnesses: those that ``data.split`` keeps together."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Final


def group_in_name(pattern: str, name: str) -> str:
    """The part of a name that a regular expression finds: its first group, or else the whole match, or all of it.

    >>> group_in_name(r"(.*)_frame\\d+", "street/7_frame12.jpg"), group_in_name("z+", "a.jpg")
    ('street/7', 'a.jpg')
    """
    match = re.search(pattern, name)
    if match is None:
        return name
    return match[1] if match.re.groups and match[1] is not None else match[0]


@dataclasses.dataclass(frozen=True)
class Clusters:
    """How images are put together.

    Attributes:
      column: a metadata column whose values name the clusters.
      pattern: a regular expression searched in the image's name; see ``group_in_name``.
    """

    column: str | None = None
    pattern: str | None = None

    def of_image(self, image_id: str, file: str, metadata: Mapping[str, str]) -> str:
        """The cluster of an image; an image without a value, or without a name, is one by itself."""
        if self.column is not None:
            value = metadata.get(self.column)
            return image_id if value is None else f"{self.column}={value}"
        if self.pattern is not None:
            return group_in_name(self.pattern, file) if file else image_id
        return image_id


EACH_BY_ITSELF: Final = Clusters()
