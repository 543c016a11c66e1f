"""What the images and their boxes are like."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final, Self

from components.data_profile import DATA_PROFILE_FILE, DataProfile, SplitProfile
from components.report.charts import Bar
from components.report.section import Run, Section, read_text, reading
from components.report.split_order import in_split_order

_QUANTILES_SHOWN: Final = (0.01, 0.05, 0.5, 0.95, 0.99)


@dataclasses.dataclass(frozen=True)
class Data(Section):
    """The profile of the examples."""

    title = "Data"
    template = "data.html"

    profile: DataProfile

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """Reads the profile in the artifact ``examples``."""
        path = run.file("examples", DATA_PROFILE_FILE)
        if path is None:
            return None
        text = read_text(path)
        with reading(path):
            return cls(DataProfile.from_json(text))

    @property
    def splits(self) -> Sequence[tuple[str, SplitProfile]]:
        """What the splits hold."""
        return [(split, self.profile.splits[split]) for split in in_split_order(self.profile.splits)]

    @staticmethod
    def class_bars(profile: SplitProfile) -> Sequence[Bar]:
        """Objects by class, the most frequent first."""
        counts = profile.class_counts
        most = max(counts.values(), default=1)
        ordered = sorted(counts.items(), key=lambda item: -item[1])
        return [Bar(name, count / most, str(count)) for name, count in ordered]

    @staticmethod
    def quantiles(profile: SplitProfile) -> Sequence[tuple[str, Sequence[str]]]:
        """Rows of the table of box sizes, its head first; empty without boxes."""
        if not profile.objects:
            return ()
        rows = (
            ("boxes, quantiles", _QUANTILES_SHOWN, ".0%"),
            ("shorter side, px", profile.side_pixels.quantiles(_QUANTILES_SHOWN), ".0f"),
            ("size of image", profile.relative_size.quantiles(_QUANTILES_SHOWN), ".1%"),
            ("width / height", profile.aspect_ratio.quantiles(_QUANTILES_SHOWN), ".2f"),
        )
        return [(name, [format(value, style) for value in values]) for name, values, style in rows]
