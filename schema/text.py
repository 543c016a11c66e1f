"""Text as people's files hold it: the encoding that a byte order mark tells, and class names as written.

A class is its name, so the same name has to come out the same whichever file it stands in.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from typing import Final

_ENCODINGS: Final = (  # UTF-32's marks start with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_INVISIBLE_ENDS: Final = re.compile(r"^[\s\ufeff\u200b]+|[\s\ufeff\u200b]+$")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")


def decode(content: bytes) -> str:
    """Text of a file: UTF-8 with or without a byte order mark, or UTF-16 or UTF-32 with one.

    Raises:
      UnicodeDecodeError: it is none of these.
    """
    if 0 in content[:2] and not content.startswith(codecs.BOM_UTF32_BE):
        reason = "a zero byte, as in UTF-16 without its byte order mark; save the file as UTF-8"
        raise UnicodeDecodeError("utf-8", content, content.index(0), content.index(0) + 1, reason)
    encoding = next((name for mark, name in _ENCODINGS if content.startswith(mark)), "utf-8-sig")
    return content.decode(encoding)


def clean_name(text: str) -> str:
    """A class name as written, without what nobody sees.

    Byte order mark and white space around it are removed, control characters within (a line break in XML) become a
    space, and letters are composed (Unicode NFC: macOS writes ``e`` and an accent where others write one letter). Upper
    and lower case, digits and white space within stay. Empty when nothing is left.
    """
    return unicodedata.normalize("NFC", _INVISIBLE_ENDS.sub("", _CONTROL.sub(" ", text)))


def spelling_key(name: str) -> str:
    """What two names share that differ only by case or white space, and are probably one class."""
    return "".join(clean_name(name).casefold().split())
