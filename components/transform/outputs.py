"""Reads what Transform decided: the label map."""

from __future__ import annotations

import json
import posixpath

import tensorflow as tf

from components.transform.features import LABEL_MAP_ASSET
from schema.label_map import LabelMap


def class_names(transform_output_dir: str) -> LabelMap:
    """The label map of a transform graph: the given one, or all classes of the analysed split in alphabetical order.

    Args:
      transform_output_dir: the ``transform_graph`` artifact's URI (``fn_args.transform_output``).

    Raises:
      FileNotFoundError: the folder is not the output of this project's Transform.
    """
    path = posixpath.join(transform_output_dir, "transform_fn", "assets", LABEL_MAP_ASSET)
    try:
        with tf.io.gfile.GFile(path, "r") as file:
            fields = json.loads(file.read())
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(
            f"{path} is missing; expected the output of a Transform that ran "
            "components.transform.preprocessing.preprocessing_fn"
        ) from error
    return LabelMap(tuple(fields["ids"]), tuple(fields["names"]))
