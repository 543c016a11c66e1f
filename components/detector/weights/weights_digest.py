"""A digest of the weights that a training starts from: their path stays the same when another file is put there."""

from __future__ import annotations

import hashlib
import posixpath
import re
from typing import Final

import tensorflow as tf

from components.detector.weights.zoo_pipeline_config import FILE_NAME
from components.path_settings import KERAS_HUB, is_preset_folder

_CHUNK_BYTES: Final = 1 << 22


def weights_digest(source: str | None) -> str:
    """Digest of the contents of everything that may be read from a source of weights.

    Args:
      source: see ``checkpoints.ACCEPTED``; None for a training from scratch.

    Returns:
      32 hexadecimal digits; "" where there is no file: None, "imagenet" or a preset that KerasHub knows by name (the
      name says all), or a path with nothing there, which the training will complain about.
    """
    if source is None or source == "imagenet":
        return ""
    if source.startswith(KERAS_HUB):
        source = source.removeprefix(KERAS_HUB)
        if not is_preset_folder(source):
            return ""
    files = _files(source)
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        content = hashlib.blake2b(digest_size=16)
        with tf.io.gfile.GFile(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                content.update(chunk)
        digest.update(f"{path}\0{content.hexdigest()}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest() if files else ""


def _files(source: str) -> list[str]:
    """All files of a folder; the file itself; or those that a checkpoint prefix begins. And the model's description."""
    prefix = re.sub(r"\.(index|data-\d+-of-\d+)$", "", source.rstrip("/"))
    if tf.io.gfile.isdir(prefix):
        found = [posixpath.join(at, name) for at, _, names in tf.io.gfile.walk(prefix) for name in names]
    elif tf.io.gfile.exists(prefix):
        found = [prefix]
    else:
        found = tf.io.gfile.glob(f"{prefix}.*")
    folder = posixpath.dirname(prefix)
    beside = (posixpath.join(at, FILE_NAME) for at in (folder, posixpath.dirname(folder)))
    return sorted({*found, *filter(tf.io.gfile.exists, beside)}) if found else []
