"""What can be known of an image file without decoding it, and the one case in which it is decoded.

TensorFlow's decoders fail on a truncated file, hours later and without naming it. So the structure of the file is
walked here instead: marker segments of a JPEG, and the markers in its entropy-coded data up to the end-of-image marker
(in that data 0xFF is always stuffed, so any other marker but a restart means damage); chunks of a PNG with their
checksums up to IEND. These are the conditions libjpeg and libpng fail on, or go on from with pixels that are not the
picture's. Pillow reads size, mode and EXIF lazily.

Measured against ``tf.io.decode_image(channels=3)``: greyscale, CMYK and progressive JPEG, and PNG with palette, alpha,
grey, 1 and 16 bit decode to the same RGB as in Pillow, so they are left as they are. EXIF orientation it ignores.
"""

from __future__ import annotations

import dataclasses
import io
import re
import struct
import warnings
import zlib
from typing import Final, Literal

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

_JPEG_START: Final = b"\xff\xd8\xff"
_PNG_START: Final = b"\x89PNG\r\n\x1a\n"
_MARKER: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""Any marker but a restart; a byte 0xFF in the data of a scan is followed by 0, so none is there by chance."""
_STANDALONE: Final = 0x01
_END: Final = 0xD9
_SCAN: Final = 0xDA
_QUANTIZATION: Final = 0xDB
_DECODABLE_FRAMES: Final = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive"}
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BETWEEN_SCANS: Final = frozenset((0xC4, 0xCC, _QUANTIZATION, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE))
"""Tables, number of lines, restart interval, application data and comment."""
_TRANSPOSED: Final = frozenset((5, 6, 7, 8))


class BadImageError(ValueError):
    """An image file that cannot become a record; ``kind`` is a key of ``components.findings.KINDS``."""

    def __init__(self, kind: str, found: str) -> None:
        super().__init__(found)
        self.kind = kind
        self.found = found


@dataclasses.dataclass(frozen=True, slots=True)
class ImageHeader:
    """Size as stored, format, and EXIF orientation (1 upright, 1..8) of an image file."""

    format: Literal["jpeg", "png"]
    stored_width_pixels: int
    stored_height_pixels: int
    orientation: int

    @property
    def width_pixels(self) -> int:
        """Width of the upright picture."""
        return self.stored_height_pixels if self.orientation in _TRANSPOSED else self.stored_width_pixels

    @property
    def height_pixels(self) -> int:
        """Height of the upright picture."""
        return self.stored_width_pixels if self.orientation in _TRANSPOSED else self.stored_height_pixels


def read_header(encoded: bytes) -> ImageHeader:
    """Checks an image file as far as possible without decoding it.

    Raises:
      BadImageError: empty, no image, truncated, or of a kind the graph cannot decode.
    """
    if not encoded:
        raise BadImageError("empty_image", "0 bytes")
    image_format: Literal["jpeg", "png"]
    if encoded.startswith(_JPEG_START):
        image_format = "jpeg"
        _check_jpeg(encoded)
    elif encoded.startswith(_PNG_START):
        image_format = "png"
        _check_png(encoded)
    else:
        raise _neither(encoded)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(encoded), formats=["JPEG", "PNG"]) as image:
                width, height = image.size
                orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Image.DecompressionBombError as error:
        raise BadImageError("unsupported_image", str(error)) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, struct.error, zlib.error) as error:
        raise BadImageError("not_an_image", f"damaged {image_format} header: {error}") from error
    if orientation not in range(1, 9):  # cameras write 0 and worse; viewers take it as upright
        orientation = 1
    return ImageHeader(image_format, width, height, int(orientation))


def upright(encoded: bytes, header: ImageHeader) -> bytes:
    """The image decoded, turned as EXIF says, and encoded again in its format, without an orientation tag.

    JPEG at quality 95 without chroma subsampling; PNG without loss.

    Raises:
      BadImageError: the pixels cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            turned = ImageOps.exif_transpose(image)
            output = io.BytesIO()
            if header.format == "jpeg":
                turned = turned if turned.mode in ("L", "RGB") else turned.convert("RGB")
                turned.save(output, "JPEG", quality=95, subsampling=0)
            else:
                turned.save(output, "PNG")
    except (OSError, SyntaxError, ValueError) as error:
        raise BadImageError("truncated_image", f"cannot be decoded to turn it upright: {error}") from error
    return output.getvalue()


def _check_jpeg(encoded: bytes) -> None:
    seen: set[int] = set()
    position = 2
    while _SCAN not in seen:
        found = _MARKER.search(encoded, position)
        if found is None or found.end() + 3 > len(encoded):
            raise BadImageError("truncated_image", f"JPEG of {len(encoded)} bytes ends within its header")
        start, marker = found.end(), encoded[found.end() - 1]
        if marker == _STANDALONE:
            position = start
            continue
        position = start + int.from_bytes(encoded[start : start + 2], "big")
        if position > len(encoded):
            raise BadImageError("truncated_image", f"JPEG of {len(encoded)} bytes ends within its header")
        if marker in _FRAMES:
            precision = encoded[start + 2]
            if marker not in _DECODABLE_FRAMES or precision != 8:
                raise BadImageError(
                    "unsupported_image", f"JPEG frame type 0x{marker:02X} with {precision} bit; expected baseline or "
                    "progressive with 8 bit"
                )  # fmt: skip
        seen.add(marker)
    for segment, needed in (("SOF", _FRAMES), ("DQT", {_QUANTIZATION})):
        if not seen & needed:
            raise BadImageError("not_an_image", f"damaged jpeg header: no {segment} segment before the first scan")
    _check_scans(encoded, position)


def _check_scans(encoded: bytes, position: int) -> None:
    """Walks from the data of a JPEG's first scan, over tables and further scans, to the end of the image."""
    while (found := _MARKER.search(encoded, position)) is not None:
        start, marker = found.end(), encoded[found.end() - 1]
        if marker == _END:
            return
        position = start + int.from_bytes(encoded[start : start + 2], "big")
        if marker == _SCAN:
            fits = position - start == 6 + 2 * int.from_bytes(encoded[start + 2 : start + 3], "big")
        else:  # followed by another marker, which the length of one that damage has made hardly leads to
            fits = marker in _BETWEEN_SCANS and position >= start + 2 and encoded[position : position + 1] == b"\xff"
        if not fits:
            raise BadImageError(
                "truncated_image", f"JPEG of {len(encoded)} bytes is damaged: its scan data has the bytes FF "
                f"{marker:02X} at byte {found.start()}; expected the end of the image or a whole segment there"
            )  # fmt: skip
    raise BadImageError("truncated_image", f"JPEG of {len(encoded)} bytes has no end-of-image marker")


def _check_png(encoded: bytes) -> None:
    position = len(_PNG_START)
    while True:
        if position + 12 > len(encoded):
            raise BadImageError("truncated_image", f"PNG of {len(encoded)} bytes has no IEND chunk")
        length = int.from_bytes(encoded[position : position + 4], "big")
        name = encoded[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(encoded):
            raise BadImageError("truncated_image", f"PNG of {len(encoded)} bytes ends within a {name!r} chunk")
        checksum = zlib.crc32(memoryview(encoded)[position + 4 : end - 4])
        if checksum != int.from_bytes(encoded[end - 4 : end], "big"):
            raise BadImageError("truncated_image", f"PNG chunk {name!r} at byte {position} has a wrong checksum")
        if name == b"IEND":
            return
        position = end


def _neither(encoded: bytes) -> BadImageError:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(encoded)) as image:
                return BadImageError("unsupported_image", f"{image.format} image; expected JPEG or PNG")
    except Exception:  # any plugin may choke on arbitrary bytes in its own way; what matters is that none knew it
        return BadImageError("not_an_image", f"starts with {encoded[:16]!r}; expected JPEG or PNG")
