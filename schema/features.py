"""Names of the features in one record (a ``tf.train.Example`` with TF Object Detection API keys).

Boxes are normalised to 0..1 of the *upright* image (EXIF orientation applied), one list entry an object, in the same
order in every ``OBJECT_*`` feature. Pixels stay encoded from the reader to the training or serving graph.
"""

from __future__ import annotations

from typing import Final

IMAGE_ENCODED: Final = "image/encoded"
"""bytes, one value: the JPEG or PNG file as the user has it."""
IMAGE_FORMAT: Final = "image/format"
"""bytes, one value: ``jpeg`` or ``png``."""
IMAGE_FILENAME: Final = "image/filename"
"""bytes, one value: path relative to the data folder, with ``/``."""
IMAGE_SOURCE_ID: Final = "image/source_id"
"""bytes, one value: unique over the data set."""
IMAGE_HEIGHT: Final = "image/height"
"""int64, one value: pixels, upright."""
IMAGE_WIDTH: Final = "image/width"
"""int64, one value: pixels, upright."""

OBJECT_XMIN: Final = "image/object/bbox/xmin"
OBJECT_XMAX: Final = "image/object/bbox/xmax"
OBJECT_YMIN: Final = "image/object/bbox/ymin"
OBJECT_YMAX: Final = "image/object/bbox/ymax"
"""float32 lists in 0..1."""
OBJECT_CLASS_TEXT: Final = "image/object/class/text"
"""bytes list: the class name. The name, never the number, is what identifies a class."""
OBJECT_CLASS_LABEL: Final = "image/object/class/label"
"""int64 list: 1-based class id of the label map the reader knew of (0 where it knew none)."""
OBJECT_IS_CROWD: Final = "image/object/is_crowd"
"""int64 list of 0/1: the box stands for many objects (COCO ``iscrowd``)."""
OBJECT_AREA: Final = "image/object/area"
"""float32 list: area in square pixels (COCO's segmentation area when given, else the box's)."""
OBJECT_DIFFICULT: Final = "image/object/difficult"
"""int64 list of 0/1 (Pascal VOC)."""

META_PREFIX: Final = "image/meta/"
"""Any further per-image string or number the user has, one value each, to be sliced on."""
SPAN_COLUMN: Final = "span"
"""The column that tells which span of the data an image is of, int64; there where the data has spans."""

BOX_KEYS_YXYX: Final = (OBJECT_YMIN, OBJECT_XMIN, OBJECT_YMAX, OBJECT_XMAX)
"""The four box features in the order of our ``yxyx`` tensors."""
OBJECT_KEYS: Final = (
    *BOX_KEYS_YXYX,
    OBJECT_CLASS_TEXT,
    OBJECT_CLASS_LABEL,
    OBJECT_IS_CROWD,
    OBJECT_AREA,
    OBJECT_DIFFICULT,
)
"""Features with one list entry an object."""


def meta_key(column: str) -> str:
    """Feature key of a per-image metadata column: ``meta_key("weather") == "image/meta/weather"``."""
    return META_PREFIX + column
