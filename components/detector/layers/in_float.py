"""What stays in floating point where a network is computed in 8-bit integers."""

from __future__ import annotations

from typing import Any, Final

import tensorflow as tf

IN_FLOAT: Final = "in_float"
"""In the names of these operations, by which a quantiser knows them."""


def in_float() -> Any:
    """As a context: what is traced within it is not to be quantised. 8 bits of a box are a whole pixel in 256."""
    return tf.name_scope(IN_FLOAT)
