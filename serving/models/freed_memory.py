"""Memory that nothing holds any more goes back to the system, once a version has been loaded.

A SavedModel is parsed, copied and rewritten several times before it answers, and glibc keeps what that frees for later:
a server that loads a version a day would hold on to as much as a network takes.
"""

from __future__ import annotations

import ctypes


def give_back_freed_memory() -> None:
    """Takes milliseconds; does nothing where the C library has no such call (all but glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
