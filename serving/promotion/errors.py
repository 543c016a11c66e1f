"""Why a label stays where it is."""

from __future__ import annotations


class PromotionError(Exception):
    """A label is not moved, and nothing was changed; the message says why and what to do."""
