"""The one thing about a zoo checkpoint that its variables do not tell: the scales of the box coder it was trained with.

The published configurations scale by (10, 10, 5, 5), but the ``pipeline.config`` inside the EfficientDet downloads has
(1, 1, 1, 1): decoded with the former, their boxes would hardly leave the anchors.
"""

from __future__ import annotations

import posixpath
import re

import tensorflow as tf

from components.detector.targets.boxes import ZOO_SCALE_FACTORS, ScaleFactors

FILE_NAME = "pipeline.config"
_FIELDS = ("y_scale", "x_scale", "height_scale", "width_scale")
_CODER = re.compile(r"faster_rcnn_box_coder\s*:?\s*\{([^}]*)\}")


def parse_scale_factors(text: str) -> ScaleFactors | None:
    """Scales of a pipeline configuration in protobuf text format; None where it has no such box coder.

    Fields left out have the format's defaults, which are :data:`boxes.ZOO_SCALE_FACTORS`.

    Raises:
      ValueError: a scale that is not a positive number.
    """
    coder = _CODER.search(re.sub(r"#.*", "", text))
    if coder is None:
        return None
    found = dict(re.findall(r"(\w+)\s*:\s*([^\s,;]+)", coder[1]))
    y, x, height, width = (
        float(found.get(field, default)) for field, default in zip(_FIELDS, ZOO_SCALE_FACTORS, strict=True)
    )
    if min(y, x, height, width) <= 0:
        raise ValueError(f"box coder scales must be positive, found {found}")
    return y, x, height, width


def scale_factors_beside(path: str) -> ScaleFactors | None:
    """Scales of the ``pipeline.config`` in a checkpoint's or SavedModel's folder or the one above; None without one.

    Args:
      path: a checkpoint prefix (``.../checkpoint/ckpt-0``) or SavedModel folder (``.../saved_model``).

    Raises:
      ValueError: a scale that is not a positive number; the message names the file.
    """
    folder = posixpath.dirname(path)
    for candidate in (folder, posixpath.dirname(folder)):
        file = posixpath.join(candidate, FILE_NAME)
        if tf.io.gfile.exists(file):
            with tf.io.gfile.GFile(file) as stream:
                try:
                    return parse_scale_factors(stream.read())
                except ValueError as error:
                    raise ValueError(f"{file}: {error}") from error
    return None
