"""What is sent for an image file, and the upright picture that is drawn on."""

from __future__ import annotations

import io
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from serving.clients import image_files


def _save(path: pathlib.Path, mode: str = "RGB", orientation: int | None = None, **options: object) -> bytes:
    image = Image.new(mode, (30, 20))
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    image.save(path, **options)
    return path.read_bytes()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_is_sent_byte_for_byte(tmp_path: pathlib.Path, mode: str) -> None:
    encoded = _save(tmp_path / "a.jpg", mode)
    read = image_files.read(tmp_path / "a.jpg")
    assert read.encoded == encoded
    assert (read.upright.mode, read.upright.size) == ("RGB", (30, 20))


def test_a_jpeg_on_its_side_is_shown_upright_and_sent_as_it_is(tmp_path: pathlib.Path) -> None:
    encoded = _save(tmp_path / "a.jpg", orientation=6)
    read = image_files.read(tmp_path / "a.jpg")
    assert read.encoded == encoded
    assert read.upright.size == (20, 30)


@pytest.mark.parametrize(
    ("name", "options"), [("a.png", {"orientation": 6}), ("a.webp", {}), ("a.tiff", {}), ("a.bmp", {})]
)
def test_what_the_graph_cannot_read_is_sent_as_an_upright_png(
    tmp_path: pathlib.Path, name: str, options: dict[str, int]
) -> None:
    _save(tmp_path / name, **options)  # type: ignore[arg-type]
    read = image_files.read(tmp_path / name)
    with Image.open(io.BytesIO(read.encoded)) as sent:
        assert sent.format == "PNG"
        assert sent.size == read.upright.size


def test_a_16_bit_greyscale_png_is_sent_as_it_is_and_shown_as_the_graph_reads_it(tmp_path: pathlib.Path) -> None:
    grey = (np.arange(600).reshape(20, 30) * 109).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    read = image_files.read(tmp_path / "a.png")
    assert read.encoded == (tmp_path / "a.png").read_bytes()
    decoded = tf.io.decode_image(read.encoded, channels=3).numpy()
    assert decoded.max() > 250
    np.testing.assert_array_equal(np.asarray(read.upright), decoded)


@pytest.mark.parametrize(("name", "orientation"), [("a.tiff", None), ("a.png", 6)])
def test_16_bit_greyscale_that_has_to_be_converted_keeps_its_values(
    tmp_path: pathlib.Path, name: str, orientation: int | None
) -> None:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(np.full((20, 30), 128 * 256, np.uint16)).save(tmp_path / name, exif=exif)
    read = image_files.read(tmp_path / name)
    with Image.open(io.BytesIO(read.encoded)) as sent:
        assert sent.convert("RGB").getextrema() == ((128, 128),) * 3


@pytest.mark.parametrize(
    ("name", "mode", "orientation"),
    [
        ("a.jpg", "RGB", None),
        ("a.jpg", "CMYK", 8),
        ("a.jpg", "L", 3),
        ("a.png", "P", None),
        ("a.png", "RGB", 6),
        ("a.webp", "RGB", None),
        ("a.tiff", "RGB", 5),
    ],
)
def test_encode_sends_what_read_would(tmp_path: pathlib.Path, name: str, mode: str, orientation: int | None) -> None:
    content = _save(tmp_path / name, mode, orientation)
    read, encoded = image_files.read(tmp_path / name), image_files.encode(content, max_pixels=600)
    assert encoded.encoded == read.encoded
    assert (encoded.width, encoded.height) == read.upright.size
    with pytest.raises(image_files.ImageFileError, match=r"^has (30 x 20|20 x 30) pixels, the limit is 599$"):
        image_files.encode(content, max_pixels=599)


@pytest.mark.parametrize(("name", "kept_bytes"), [("a.jpg", 50), ("a.png", 45), ("a.webp", 30), ("a.jpg", 0)])
def test_encode_names_no_file(tmp_path: pathlib.Path, name: str, kept_bytes: int) -> None:
    with pytest.raises(image_files.ImageFileError, match=r"^(is not an image|cannot be read as an image)"):
        image_files.encode(_save(tmp_path / name)[:kept_bytes], max_pixels=10_000)


def test_find_keeps_the_order_and_each_file_once(tmp_path: pathlib.Path) -> None:
    for name in ("b.jpg", "a [1].jpg", "c.txt"):
        (tmp_path / name).touch()
    patterns = [str(tmp_path / "b.jpg"), str(tmp_path / "a [1].jpg"), str(tmp_path / "*.jpg")]
    assert [path.name for path in image_files.find(patterns)] == ["b.jpg", "a [1].jpg"]
    (tmp_path / "notes.txt").touch()
    assert [path.name for path in image_files.find([str(tmp_path)])] == ["a [1].jpg", "b.jpg"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(image_files.ImageFileError, match="holds no file that ends in"):
        image_files.find([str(tmp_path / "empty")])
