"""Files of the data folder: listing and reading; ``image_lookup`` finds an image by the name an annotation gives it.

Local paths use the standard library; paths with a scheme (``gs://``) go through TensorFlow's file system, imported only
then. Names are compared as they are, so a symbolic link below the data folder is the user's own business; a *name* that
climbs out (``../``, an absolute path elsewhere, a drive letter) is refused.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import posixpath
import re
from collections.abc import Iterator
from typing import IO, Final, cast

from components.example_gen.annotations import RecordSkippedError
from components.example_gen.settings import BadInputSettings
from schema.text import decode

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
"""Lower-case endings that make a file an image to be looked at; only JPEG and PNG content is then accepted."""
_DRIVE: Final = re.compile(r"^[A-Za-z]:[/\\]")


class PathOutsideError(ValueError):
    """A name that climbs out of the data folder."""


@dataclasses.dataclass(frozen=True, slots=True)
class FileEntry:
    """A file below a folder: path relative to it with ``/``, size, and time of modification."""

    path: str
    size_bytes: int
    modified_ns: int


def is_remote(path: str) -> bool:
    """Whether a path has a scheme and needs TensorFlow's file system."""
    return "://" in path


def list_files(root: str) -> Iterator[FileEntry]:
    """Every file below ``root`` in the order of names, symbolic links followed, hidden files and folders left out."""
    if is_remote(root):
        yield from _list_remote(root)
        return
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link back up would never end
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                path = pathlib.Path(folder, name)
                status = path.stat() if path.exists() else path.lstat()
                yield FileEntry(path.relative_to(root).as_posix(), status.st_size, status.st_mtime_ns)


def _list_remote(root: str) -> Iterator[FileEntry]:
    import tensorflow as tf

    for folder, subfolders, names in tf.io.gfile.walk(root):
        subfolders.sort()
        for name in sorted(names):
            path = posixpath.join(folder, name)
            relative = path[len(root.rstrip("/")) + 1 :]
            if not any(part.startswith(".") for part in relative.split("/")):
                status = tf.io.gfile.stat(path)
                yield FileEntry(relative, status.length, status.mtime_nsec)


def exists(path: str) -> bool:
    """Whether there is a file or folder."""
    if is_remote(path):
        import tensorflow as tf

        return bool(tf.io.gfile.exists(path))
    return is_file(path) or is_folder(path)


def is_file(path: str) -> bool:
    """Whether there is a file, and no folder."""
    if is_remote(path):
        return exists(path) and not is_folder(path)
    try:
        return pathlib.Path(path).is_file()
    except OSError:  # a name that is too long
        return False


def is_folder(path: str) -> bool:
    """Whether there is a folder."""
    if is_remote(path):
        import tensorflow as tf

        return bool(tf.io.gfile.isdir(path))
    try:
        return pathlib.Path(path).is_dir()
    except OSError:
        return False


def read_bytes(path: str) -> bytes:
    """The whole file."""
    if is_remote(path):
        import tensorflow as tf

        with tf.io.gfile.GFile(path, "rb") as file:
            return bytes(file.read())
    return pathlib.Path(path).read_bytes()


def open_binary(path: str) -> IO[bytes]:
    """The file, open to be read from its start on.

    Raises:
      OSError: it cannot be opened.
    """
    if is_remote(path):
        import tensorflow as tf

        return cast(IO[bytes], tf.io.gfile.GFile(path, "rb"))
    return pathlib.Path(path).open("rb")


def read_image(root: str, path: str, bad_input: BadInputSettings) -> bytes:
    """Bytes of an image file.

    Raises:
      RecordSkippedError: ``missing_image``: it is gone, a folder, or may not be read.
    """
    try:
        return read_bytes(join(root, path))
    except OSError as error:
        raise RecordSkippedError(bad_input.finding("missing_image", path, "", f"cannot be read: {error}")) from error


def read_text(path: str) -> str:
    """The whole file as UTF-8, or as UTF-16 or UTF-32 where a byte order mark says so.

    Raises:
      UnicodeDecodeError: it is none of these.
    """
    return decode(read_bytes(path))


def join(root: str, relative: str) -> str:
    """Absolute path of a path relative to the data folder."""
    return posixpath.join(root, relative) if relative not in ("", ".") else root


def safe_relative(root: str, folder: str, name: str) -> str:
    """Path relative to ``root`` of a name given relative to ``folder``, which is relative to ``root`` itself.

    ``safe_relative("/data", "train", "../images/a.jpg") == "images/a.jpg"``; an absolute name below ``root`` is taken
    relative to it.

    Raises:
      PathOutsideError: the name leads out of ``root``.
    """
    if "\0" in name or _DRIVE.match(name):
        raise PathOutsideError(f"{name!r} is a path of another machine or no path at all")
    if name.startswith("/") or is_remote(name):
        prefix = root.rstrip("/") + "/"
        if not name.startswith(prefix):
            raise PathOutsideError(f"absolute path {name!r} is not below the data folder")
        folder, name = "", name[len(prefix) :]
    relative = posixpath.normpath(posixpath.join(folder, name))
    if relative == ".." or relative.startswith("../"):
        raise PathOutsideError(f"{name!r} climbs out of the data folder")
    return relative
