"""Times as a person of this machine reads them."""

from __future__ import annotations

import datetime


def local_time(seconds: float) -> str:
    """Seconds since the epoch as ``2026-11-30 07:51:15``."""
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
