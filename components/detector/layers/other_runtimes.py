"""Graphs that other runtimes than TensorFlow run: layers keep to operations that all of them have, and have fast.

The numbers are the same to rounding. TensorFlow itself takes more time and memory for it, so that nothing is trained or
served in this way.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Final

_IS_TRACED: Final = contextvars.ContextVar("is_traced_for_other_runtimes", default=False)


@contextlib.contextmanager
def for_other_runtimes() -> Iterator[None]:
    """As a context: what is traced within it is for them."""
    token = _IS_TRACED.set(True)
    try:
        yield
    finally:
        _IS_TRACED.reset(token)


def is_for_other_runtimes() -> bool:
    """Whether it is, for a layer that is being traced."""
    return _IS_TRACED.get()
