"""Files and folders that are there completely or not at all, on a local disk or a bucket."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import tensorflow as tf


def write_atomically(path: str, content: bytes) -> None:
    """Writes beside, then renames: a kill or a full disk leaves what was there before.

    Raises:
      tf.errors.OpError: it could not be written; ``path`` is as it was.
    """
    # A name of its own: of two attempts at the same file, neither may write into the other's.
    temporary = f"{path}.{uuid.uuid4().hex}.partial"
    try:
        with tf.io.gfile.GFile(temporary, "wb") as file:
            file.write(content)
        tf.io.gfile.rename(temporary, path, overwrite=True)
    except tf.errors.OpError:
        if tf.io.gfile.exists(temporary):
            tf.io.gfile.remove(temporary)
        raise


def write_folder_atomically(path: str, fill: Callable[[str], None]) -> None:
    """Lets ``fill`` write a folder beside, then renames it; whatever is at ``path`` is replaced.

    Args:
      path: the folder to make; its parent is made where it is missing.
      fill: is given an empty folder to write to.
    """
    path = path.rstrip("/")
    temporary = f"{path}.partial"
    if tf.io.gfile.exists(temporary):
        tf.io.gfile.rmtree(temporary)
    tf.io.gfile.makedirs(temporary)
    try:
        fill(temporary)
        if tf.io.gfile.exists(path):
            tf.io.gfile.rmtree(path)
        tf.io.gfile.rename(temporary, path)
    except BaseException:
        if tf.io.gfile.exists(temporary):
            tf.io.gfile.rmtree(temporary)
        raise
