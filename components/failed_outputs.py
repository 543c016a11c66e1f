"""What a failed node leaves to be read: ``<node>/failed/<execution>/`` beside ``<node>/<output>/<execution>/``.

TFX removes the outputs of a failed execution, and with them the report on why it failed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

import tensorflow as tf


def kept_folder(pipeline_root: str, node: str, execution: str) -> str:
    """The folder of what a failed execution left; it need not exist."""
    return posixpath.join(pipeline_root, node, "failed", execution)


def keep(output_uri: str, names: Sequence[str]) -> str:
    """Copies files of an output to where they survive a failure, before it is raised, and returns their folder."""
    output, execution = posixpath.split(output_uri.rstrip("/"))
    pipeline_root, node = posixpath.split(posixpath.dirname(output))
    folder = kept_folder(pipeline_root, node, execution)
    tf.io.gfile.makedirs(folder)
    for name in names:
        tf.io.gfile.copy(posixpath.join(output_uri, name), posixpath.join(folder, name), overwrite=True)
    return folder
