from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from components.validation.perceptual_hash import HASH_BITS, hamming_distances, perceptual_hash


def _distance(one: bytes, two: bytes) -> int:
    hashes = [perceptual_hash(encoded) for encoded in (one, two)]
    assert all(value is not None and len(value) * 8 == HASH_BITS for value in hashes)
    matrices = [np.frombuffer(value or b"", np.uint8)[None] for value in hashes]
    return int(hamming_distances(*matrices)[0, 0])


def test_reencoding_and_resizing_change_a_few_bits_another_picture_many(
    picture: Callable[..., Image.Image], jpeg: Callable[..., bytes]
) -> None:
    original = jpeg(picture(1))
    assert _distance(original, jpeg(picture(1), quality=60)) <= 8
    assert _distance(original, jpeg(picture(1, height=200, width=260))) <= 16
    assert min(_distance(original, jpeg(picture(seed))) for seed in range(2, 12)) > 60


def test_png_hashes_like_jpeg(picture: Callable[..., Image.Image], jpeg: Callable[..., bytes]) -> None:
    output = io.BytesIO()
    picture(3).convert("RGBA").save(output, "PNG")
    assert _distance(jpeg(picture(3)), output.getvalue()) <= 8


@pytest.mark.parametrize("colour", ["black", "white"])
def test_a_picture_of_one_colour_has_no_hash(colour: str, jpeg: Callable[..., bytes]) -> None:
    assert perceptual_hash(jpeg(Image.new("RGB", (64, 64), colour))) is None


def test_16_bit_greyscale_hashes_like_its_upper_byte() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (12, 16), np.uint16).repeat(8, axis=0).repeat(8, axis=1)
    files = []
    for pixels in (grey.astype(np.uint8), grey * 256):
        output = io.BytesIO()
        Image.fromarray(pixels).save(output, "PNG")
        files.append(output.getvalue())
    assert _distance(*files) == 0
