"""Names of the component's parameter and of what its output says about itself."""

from __future__ import annotations

from typing import Final

SETTINGS: Final = "settings"
"""Parameter: ``EvalSettings`` as JSON."""
SPLIT_PROPERTY: Final = "split"
"""Custom property of the output ``evaluation``: the split that was judged."""
