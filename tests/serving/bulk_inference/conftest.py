"""A tiny export, and images of many kinds for it, one of them damaged."""

from __future__ import annotations

import io
import pathlib

import pytest
from PIL import Image

from tests.serving.contract.tiny_export import write_export


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Folder of version 1, in a folder of versions."""
    return write_export(tmp_path_factory.mktemp("pushed"))


def encoded(number: int, form: str = "JPEG", orientation: int = 1) -> bytes:
    """An image file of one colour, 60 + number x 40 pixels as it is stored."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.new("RGB", (60 + number, 40), (250 - 10 * number, 40 + 9 * number, 90)).save(buffer, form, exif=exif)
    return buffer.getvalue()


@pytest.fixture
def photos(tmp_path: pathlib.Path) -> pathlib.Path:
    """Folder of 12 images: 00.jpg ... 11.webp, of which 04.jpg breaks off and 05.jpg lies on its side."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number in range(10):
        content = encoded(number, orientation=6 if number == 5 else 1)
        (folder / f"{number:02d}.jpg").write_bytes(content[:-30] if number == 4 else content)
    (folder / "more" / "10.png").write_bytes(encoded(10, "PNG"))
    (folder / "more" / "11.webp").write_bytes(encoded(11, "WEBP"))
    (folder / "notes.txt").write_text("no image")
    return folder
