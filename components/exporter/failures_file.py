"""Formats that something could not be done with, and why: a file beside the folders of those that it was done with."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from typing import Final

import tensorflow as tf

from components.atomic_files import write_atomically

FAILURES_FILE: Final = "failures.json"
"""Reasons by format: a JSON object, empty where all went well."""


def write_failures(folder: str, reasons: Mapping[str, str]) -> None:
    """Writes the file."""
    text = json.dumps(dict(reasons), indent=2, ensure_ascii=False) + "\n"
    write_atomically(posixpath.join(folder, FAILURES_FILE), text.encode())


def read_failures(folder: str) -> dict[str, str]:
    """Reasons by format; empty where there is no such file, which is so where there was nothing to do.

    Raises:
      ValueError: the file holds something else.
    """
    path = posixpath.join(folder, FAILURES_FILE)
    if not tf.io.gfile.exists(path):
        return {}
    with tf.io.gfile.GFile(path) as file:
        read = json.load(file)
    if not isinstance(read, dict):
        raise ValueError(f"{path}: found a {type(read).__name__}; expected an object of reasons by format")
    return {str(name): str(reason) for name, reason in read.items()}
