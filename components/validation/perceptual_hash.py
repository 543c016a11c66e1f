"""A difference hash: 256 bits that stay nearly the same when a picture is re-encoded, resized or shifted a little.

The picture is reduced to 17 x 16 grey values; a bit says whether a value is brighter than its left neighbour (dHash,
after N. Krawetz, "Kind of like that", 2013, with 256 instead of 64 bits). JPEGs are decoded at a fraction of their size
(the decoder's own 1/2, 1/4 or 1/8 scale), so that a photo costs a few milliseconds and little memory.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image

HASH_BITS = 256
_SIDE = 16
_DRAFT_PIXELS = 64
_FLAT_GREY_LEVELS = 4
_SIXTEEN_BIT_GREY = ("I;16", "I")


def perceptual_hash(encoded: bytes) -> bytes | None:
    """Difference hash of an encoded image.

    Args:
      encoded: a JPEG or PNG file that decodes.

    Returns:
      32 bytes, or None where there is nothing to compare: a picture of one colour.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(encoded), formats=["JPEG", "PNG"]) as image:
            image.draft("L", (_DRAFT_PIXELS, _DRAFT_PIXELS))
            # Pillow would clip 16 bits at 255 instead of taking the upper byte, as the detector's graph does.
            scaled = image.point(lambda value: value / 256) if image.mode in _SIXTEEN_BIT_GREY else image
            small = scaled.convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, np.int16)  # [16, 17]
    if int(grey.max()) - int(grey.min()) < _FLAT_GREY_LEVELS:
        return None
    return np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes()


def hamming_distances(hashes: npt.NDArray[np.uint8], others: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Number of different bits between all pairs: uint8 [N, 32] and [M, 32] -> int64 [N, M]."""
    return np.bitwise_count(hashes[:, None, :] ^ others[None, :, :]).sum(axis=-1, dtype=np.int64)
