from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from components.example_gen.images import BadImageError, read_header, upright


def decode(encoded: bytes) -> np.ndarray:
    return tf.io.decode_image(encoded, channels=3, expand_animations=False).numpy()


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
        (b"\xff\xd8\xff\xe0", "truncated_image", "ends within its header"),
        (b"\x89PNG\r\n\x1a\n", "truncated_image", "no IEND chunk"),
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


@settings(max_examples=60, deadline=None)
@given(data=st.data(), image_format=st.sampled_from(["JPEG", "PNG"]))
def test_no_cut_gets_through(data, image_format: str) -> None:
    output = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(noise).save(output, image_format)
    encoded = output.getvalue()
    read_header(encoded)
    with pytest.raises(BadImageError):
        read_header(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


def test_a_damaged_png_is_found_by_its_checksum(image_bytes) -> None:
    encoded = bytearray(image_bytes(image_format="PNG"))
    encoded[encoded.index(b"IDAT") + 10] ^= 1
    with pytest.raises(BadImageError, match="wrong checksum"):
        read_header(bytes(encoded))


def test_bytes_behind_the_image_do_no_harm(image_bytes) -> None:
    for image_format in ("JPEG", "PNG"):
        encoded = image_bytes(image_format=image_format) + b"\0" * 100
        read_header(encoded)
        assert decode(encoded).shape == (30, 40, 3)


def test_a_thumbnail_does_not_hide_a_cut(image_bytes) -> None:
    thumbnail = image_bytes(width=8, height=8)  # has an end-of-image marker of its own
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    encoded = image_bytes()
    with_thumbnail = encoded[:2] + segment + encoded[2:]
    read_header(with_thumbnail)
    with pytest.raises(BadImageError, match="no end-of-image marker"):
        read_header(with_thumbnail[:-2])


def jpeg_of_noise(**options) -> bytes:
    """A JPEG of some 10 kB of scan data."""
    output = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    Image.fromarray(noise).save(output, options.pop("image_format", "JPEG"), **options)
    return output.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {"progressive": True},
        {"restart_marker_blocks": 3},
        {"progressive": True, "restart_marker_rows": 1, "comment": b"\xff\xd9 \xff\xda"},
        {"image_format": "MPO", "save_all": True, "append_images": [Image.new("RGB", (8, 8))]},
    ],
)
def test_what_stands_between_scans_and_behind_the_image_is_no_damage(options: dict) -> None:
    encoded = jpeg_of_noise(**options)
    assert read_header(encoded).format == "jpeg"
    assert decode(encoded).shape == (96, 96, 3)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(
    ("damage", "offset"),
    [
        (b"\xff\xe2\xff\xf0", 0),  # a segment longer than the file
        (b"\xff\xe2\x00\x10", 0),  # a segment that ends in the middle of the data
        (b"\xff\xc4\x00\x00", 0),  # a segment shorter than its own length
        (b"\xff\xda\x00\x10", 0),  # a scan of another length than its components have
        (b"\xff\xc0\x00\x11", 0),  # a second frame
        (b"\xff\xd8\xff\xe0", 0),  # another image
        (b"\xff\xff\x01\x00", 1),  # a marker behind a fill byte
        (b"\xff\xd3\xff\x55", 2),  # a restart, then a reserved marker
    ],
)
def test_damage_in_the_scan_data_is_found_by_its_markers(damage: bytes, offset: int, progressive: bool) -> None:
    encoded = jpeg_of_noise(progressive=progressive)
    middle = len(encoded) * 2 // 3
    with pytest.raises(BadImageError) as problem:
        read_header(encoded[:middle] + damage + encoded[middle + len(damage) :])
    assert problem.value.kind == "truncated_image"
    assert f"scan data has the bytes FF {damage[offset + 1]:02X} at byte {middle + offset};" in problem.value.found


@pytest.mark.parametrize(("marker", "name"), [(0xDB, "DQT"), (0xC0, "SOF")])
def test_a_jpeg_without_a_segment_every_decoder_needs(marker: int, name: str) -> None:
    encoded = jpeg_of_noise()
    while (start := encoded.find(bytes((0xFF, marker)), 0, 1000)) > 0:
        end = start + 2 + int.from_bytes(encoded[start + 2 : start + 4], "big")
        encoded = encoded[:start] + encoded[end:]
    with pytest.raises(BadImageError, match=f"no {name} segment before the first scan") as problem:
        read_header(encoded)
    assert problem.value.kind == "not_an_image"
