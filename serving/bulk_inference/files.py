"""Files here and in object stores: local paths, and those that TensorFlow's file systems take (`gs://...`)."""

from __future__ import annotations

import pathlib
import posixpath
from collections.abc import Iterable, Iterator
from typing import Final

import tensorflow as tf

from serving.bulk_inference.errors import BulkError
from serving.clients import image_files
from serving.clients.image_files import IMAGE_SUFFIXES, ImageFileError

_PATTERN_SIGNS: Final = "*?["


def is_local(path: str) -> bool:
    """Is the path one of this machine's file system?"""
    return "://" not in path


def join(folder: str, name: str) -> str:
    """The path of a file in a folder."""
    return posixpath.join(folder, name)


def read_bytes(path: str) -> bytes:
    """A whole file.

    Raises:
      OSError: it cannot be read.
    """
    if is_local(path):
        # Names that are no UTF-8, which TensorFlow does not take, are read too.
        return pathlib.Path(path).read_bytes()
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            content: bytes = file.read()
            return content
    except tf.errors.OpError as error:
        raise OSError(error.message) from error


def find_images(patterns: Iterable[str]) -> list[str]:
    """Image files of folders (at any depth), patterns and paths, each once, in the order given.

    Raises:
      BulkError: a file does not exist, a folder holds no image, or a pattern matches none.
    """
    return _find(patterns, IMAGE_SUFFIXES)


def find_records(patterns: Iterable[str]) -> list[str]:
    """Files of records of folders (all in them but hidden ones), patterns and paths, each once, in the order given.

    Raises:
      BulkError: a file does not exist, a folder is empty, or a pattern matches none.
    """
    return _find(patterns, ())


def _find(patterns: Iterable[str], suffixes: tuple[str, ...]) -> list[str]:
    found: dict[str, None] = {}
    for pattern in patterns:
        try:
            if not is_local(pattern):
                found.update(dict.fromkeys(_find_remote(pattern, suffixes)))
            else:
                found.update((str(path), None) for path in image_files.find([pattern], suffixes))
        except (ImageFileError, OSError, tf.errors.OpError) as error:
            raise BulkError(error.message if isinstance(error, tf.errors.OpError) else str(error)) from error
    return list(found)


def _find_remote(pattern: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    if tf.io.gfile.exists(pattern) and not tf.io.gfile.isdir(pattern):
        return iter([pattern])
    if any(sign in pattern for sign in _PATTERN_SIGNS):
        matches = sorted(path for path in tf.io.gfile.glob(pattern) if not tf.io.gfile.isdir(path))
        if not matches:
            raise ImageFileError(f"{pattern}: no file matches it")
        return iter(matches)
    if not tf.io.gfile.isdir(pattern):
        raise ImageFileError(f"{pattern}: no such file or folder")
    inside = sorted(
        join(folder, name)
        for folder, _, names in tf.io.gfile.walk(pattern)
        for name in names
        if (name.lower().endswith(suffixes) if suffixes else not name.startswith("."))
    )
    if not inside:
        ending = f" that ends in {', '.join(suffixes)}" if suffixes else ""
        raise ImageFileError(f"{pattern}: the folder holds no file{ending}")
    return iter(inside)
