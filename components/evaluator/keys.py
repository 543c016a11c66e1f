"""Names of the component's parameter and of what its output says about itself."""

from __future__ import annotations

from typing import Final

SETTINGS: Final = "settings"
"""Parameter: ``EvalSettings`` as JSON."""
SPLIT_PROPERTY: Final = "split"
"""Custom property of the output ``evaluation``: the split that was judged."""
CLUSTERS: Final = "clusters"
"""Parameter: the fields of ``Clusters`` as JSON."""
ACCEPTED_BY_PROPERTY: Final = "accepted_by"
"""Custom property of a ``blessing`` by hand: who gave it."""
ACCEPTED_BECAUSE_PROPERTY: Final = "accepted_because"
"""Custom property of a ``blessing`` by hand: why."""
