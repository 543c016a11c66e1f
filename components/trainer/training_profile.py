"""What the training images hold, in numbers, as ExampleGen counted it."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from components.data_profile import DataProfile, SplitProfile, merged


def training_profile(patterns: Sequence[str]) -> SplitProfile:
    """The profile of the records that patterns match; TFX tells the Trainer files alone.

    Args:
      patterns: globs of record files, each ``<examples>/Split-<name>/*``, where ``<examples>`` holds the profile.

    Raises:
      tf.errors.OpError: it cannot be read.
    """
    folders = [posixpath.dirname(pattern) for pattern in patterns]
    return merged(
        DataProfile.read(posixpath.dirname(folder)).splits[posixpath.basename(folder).removeprefix("Split-")]
        for folder in folders
    )
