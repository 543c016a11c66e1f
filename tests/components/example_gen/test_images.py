from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from components.example_gen import images
from components.example_gen.decoding import check_decodes
from components.example_gen.images import BadImageError, ImageHeader, read_header, upright


def decode(encoded: bytes) -> np.ndarray:
    return tf.io.decode_image(encoded, channels=3, expand_animations=False).numpy()


def enter(encoded: bytes) -> None:
    """What every image goes through on its way in."""
    check_decodes(encoded, read_header(encoded))


@pytest.mark.parametrize(
    ("image_format", "mode"),
    [
        ("JPEG", "RGB"),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("PNG", "RGB"),
        ("PNG", "RGBA"),
        ("PNG", "L"),
        ("PNG", "LA"),
        ("PNG", "P"),
        ("PNG", "1"),
        ("PNG", "I;16"),
    ],
)
def test_the_graph_decodes_what_is_left_as_it_is(image_bytes, image_format: str, mode: str) -> None:
    if mode == "I;16":
        output = io.BytesIO()
        Image.fromarray(np.full((30, 40), 200 * 256, np.uint16)).save(output, "PNG")
        encoded, expected = output.getvalue(), np.full((30, 40, 3), 200)
    else:
        encoded = image_bytes(image_format=image_format, mode=mode)
        expected = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"), int)
    header = read_header(encoded)
    assert (header.format, header.width_pixels, header.height_pixels) == (image_format.lower(), 40, 30)
    assert np.abs(decode(encoded).astype(int) - expected).max() <= 3


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_a_rotated_image_becomes_what_a_viewer_shows(image_bytes, image_format: str, orientation: int) -> None:
    encoded = image_bytes(image_format=image_format, orientation=orientation)
    header = read_header(encoded)
    assert header.orientation == orientation
    turned = upright(encoded, header)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))), int)
    assert (header.height_pixels, header.width_pixels) == shown.shape[:2]
    assert read_header(turned).orientation == 1
    difference = np.abs(decode(turned).astype(int) - shown)
    assert difference.max() <= (16 if image_format == "JPEG" else 0)
    assert difference.mean() < 1


@pytest.mark.parametrize(("orientation", "expected"), [(0, 1), (9, 1)])
def test_senseless_orientations_mean_upright(image_bytes, orientation: int, expected: int) -> None:
    assert read_header(image_bytes(orientation=orientation)).orientation == expected


@pytest.mark.parametrize(
    ("encoded", "kind", "message"),
    [
        (b"", "empty_image", "0 bytes"),
        (b"this is a text file", "not_an_image", "starts with b'this is a text f'; expected JPEG or PNG"),
        (b"\xff\xd8\xff\xe0", "not_an_image", "damaged jpeg header"),
        (b"\x89PNG\r\n\x1a\n", "not_an_image", "damaged png header"),
    ],
)
def test_what_is_no_image(encoded: bytes, kind: str, message: str) -> None:
    with pytest.raises(BadImageError) as problem:
        read_header(encoded)
    assert problem.value.kind == kind
    assert message in problem.value.found


@pytest.mark.parametrize("image_format", ["BMP", "GIF", "TIFF", "WEBP"])
def test_other_formats_are_named(image_bytes, image_format: str) -> None:
    with pytest.raises(BadImageError, match=f"{image_format} image; expected JPEG or PNG") as problem:
        read_header(image_bytes(image_format=image_format))
    assert problem.value.kind == "unsupported_image"


def noise(size: int = 24, **options) -> bytes:
    """An image file that does not compress."""
    output = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(output, options.pop("image_format", "JPEG"), **options)
    return output.getvalue()


@settings(max_examples=60, deadline=None)
@given(data=st.data(), image_format=st.sampled_from(["JPEG", "PNG"]))
def test_no_cut_gets_through(data, image_format: str) -> None:
    encoded = noise(image_format=image_format)
    enter(encoded)
    with pytest.raises(BadImageError):
        enter(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_cut_is_found_upright_or_not(image_bytes, image_format: str, orientation: int) -> None:
    encoded = image_bytes(width=200, height=100, image_format=image_format, orientation=orientation)[:-40]
    with pytest.raises(BadImageError, match=f"{image_format} of {len(encoded)} bytes does not decode: ") as problem:
        check_decodes(encoded, header := read_header(encoded))
        upright(encoded, header)
    assert problem.value.kind == "truncated_image"


def test_a_damaged_png_is_found_by_its_checksum() -> None:
    encoded = bytearray(noise(image_format="PNG"))
    encoded[encoded.index(b"IDAT") + 10] ^= 1
    with pytest.raises(BadImageError, match=f"PNG of {len(encoded)} bytes does not decode: broken data stream"):
        enter(bytes(encoded))


def test_a_jpeg_whose_very_end_is_missing() -> None:
    encoded = noise(size=96)
    with pytest.raises(BadImageError, match="does not decode: its end is missing or damaged"):
        enter(encoded[:6000].ljust(len(encoded), b"\0"))  # Pillow takes the zeros for pixels


def test_bytes_behind_the_image_do_no_harm(image_bytes) -> None:
    for image_format in ("JPEG", "PNG"):
        enter(image_bytes(image_format=image_format) + b"\0" * 100)


@pytest.mark.parametrize(
    "options",
    [
        {"progressive": True},
        {"restart_marker_blocks": 3},
        {"image_format": "MPO", "save_all": True, "append_images": [Image.new("RGB", (8, 8))]},
    ],
)
def test_rare_kinds_of_jpeg_get_through(options: dict) -> None:
    assert read_header(noise(**options)).format == "jpeg"
    enter(noise(**options))


def test_a_bomb_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MOST_PIXELS", 24 * 24 - 1)
    with pytest.raises(BadImageError, match="24 x 24 pixels; expected at most 575") as problem:
        read_header(noise())
    assert problem.value.kind == "unsupported_image"


def test_a_header_that_tells_of_other_pixels() -> None:
    with pytest.raises(BadImageError, match="24 x 24 pixels decode, the header says 48 x 24"):
        check_decodes(noise(), ImageHeader("jpeg", 24, 48, 1))


def test_how_bright_the_brightest_pixel_is() -> None:
    def brightest(values: list[int], mode: str) -> int:
        output = io.BytesIO()
        image = Image.new(mode, (8, 8))
        image.putdata([values[index % len(values)] for index in range(64)])
        image.save(output, "PNG")
        return check_decodes(output.getvalue(), read_header(output.getvalue()))

    assert brightest([0, 17, 255], "L") == 255
    assert brightest([0, 4095], "I;16") == 15, "12 of 16 bits: what training sees is almost black"
    assert brightest([0, 65535], "I;16") == 255
