"""The file with what became of every trial of a search, best first."""

from __future__ import annotations

from typing import Final

TRIALS_FILE: Final = "trials.json"
"""In the artifact ``tuner_results``: a list of ``{"trial": "03", "values": {"train.batch_size": 8}, "metrics": {"AP":
0.4, ...}, "steps": 100, "seconds": 31.0, "error": "", ...}``; see ``comparison.training.Outcome``."""
