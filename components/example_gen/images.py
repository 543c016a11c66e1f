"""What an image file is: a header that can be read, and pixels that can be turned upright. Without TensorFlow.

Measured against ``tf.io.decode_image(channels=3)``: greyscale, CMYK and progressive JPEG, and PNG with palette, alpha,
grey, 1 and 16 bit decode to the same RGB as in Pillow, so they are left as they are. EXIF orientation it ignores.
"""

from __future__ import annotations

import dataclasses
import io
import warnings
from typing import Final, Literal

from PIL import ExifTags, Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

MOST_PIXELS: Final = 2 * 89_478_485
"""A file that says it has more is not decoded (half a gigabyte of RGB): Pillow's limit against decompression bombs."""

_JPEG_START: Final = b"\xff\xd8\xff"
_PNG_START: Final = b"\x89PNG\r\n\x1a\n"
_PNG_METADATA: Final = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")
"""Names of the chunks that may hold an orientation."""
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
    """Format, size and orientation of an image file.

    Raises:
      BadImageError: empty, neither JPEG nor PNG, a header that cannot be read, or more than ``MOST_PIXELS``.
    """
    if not encoded:
        raise BadImageError("empty_image", "0 bytes")
    is_jpeg = encoded.startswith(_JPEG_START)
    if not is_jpeg and not encoded.startswith(_PNG_START):
        raise _neither(encoded)
    image_format: Literal["jpeg", "png"] = "jpeg" if is_jpeg else "png"
    try:
        image = JpegImageFile(io.BytesIO(encoded)) if is_jpeg else PngImageFile(io.BytesIO(encoded))
    except (OSError, SyntaxError, ValueError) as error:
        raise BadImageError("not_an_image", f"damaged {image_format} header: {error}") from error
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise BadImageError("unsupported_image", f"{width} x {height} pixels; expected at most {MOST_PIXELS}")
    # Pillow decodes a PNG to reach what is written behind the pixels, so it is asked only where something is written.
    may_be_turned = is_jpeg or any(name in encoded for name in _PNG_METADATA)
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1) if may_be_turned else 1
    except (OSError, SyntaxError, ValueError) as error:
        raise does_not_decode(encoded, image_format, str(error)) from error
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
        raise does_not_decode(encoded, header.format, str(error)) from error
    return output.getvalue()


def reason_of_damage(encoded: bytes) -> str:
    """Why an image does not decode. TensorFlow does not say; Pillow does, unless only the very end is missing."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            image.load()
    except (OSError, SyntaxError, ValueError) as error:
        return str(error)
    return "its end is missing or damaged"


def does_not_decode(encoded: bytes, image_format: str, reason: str) -> BadImageError:
    """The error for an image of a good header that cannot be decoded."""
    return BadImageError("truncated_image", f"{image_format.upper()} of {len(encoded)} bytes does not decode: {reason}")


def _neither(encoded: bytes) -> BadImageError:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(encoded)) as image:
                return BadImageError("unsupported_image", f"{image.format} image; expected JPEG or PNG")
    except Exception:  # any plugin may choke on arbitrary bytes in its own way; what matters is that none knew it
        return BadImageError("not_an_image", f"starts with {encoded[:16]!r}; expected JPEG or PNG")
