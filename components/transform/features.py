"""Names of the features that leave the Transform: what the Trainer's input pipeline reads.

Per image, dense, ``[B]``: ``IMAGE_ENCODED`` (string, still encoded), ``SOURCE_ID`` (string), ``HEIGHT`` and ``WIDTH``
(int64, pixels, upright). Per object, ragged over ``M``, the objects of an image, in the same order:

========================  =======  =============  ====================================================================
feature                   dtype    shape          content
========================  =======  =============  ====================================================================
``BOXES_YXYX``            float32  [B, (M), 4]    ymin, xmin, ymax, xmax in 0..1 of the upright image; clipped, ordered,
                                                  of positive width and height
``CLASS_INDEX``           int64    [B, (M)]       0-based: the label map's id - 1
``IS_CROWD``              int64    [B, (M)]       1: the box stands for many objects
``DIFFICULT``             int64    [B, (M)]       1: hard to see (Pascal VOC)
``AREA``                  float32  [B, (M)]       square pixels; the clipped box's where the record has none
========================  =======  =============  ====================================================================

Objects whose box has no area or whose class is not in the label map are left out. ``components/trainer`` and anyone
else who needs the classes reads them with ``components.transform.outputs``.
"""

from __future__ import annotations

from typing import Final

from schema import features

IMAGE_ENCODED: Final = features.IMAGE_ENCODED
SOURCE_ID: Final = features.IMAGE_SOURCE_ID
HEIGHT: Final = features.IMAGE_HEIGHT
WIDTH: Final = features.IMAGE_WIDTH
BOXES_YXYX: Final = "image/object/boxes_yxyx"
CLASS_INDEX: Final = "image/object/class/index"
IS_CROWD: Final = features.OBJECT_IS_CROWD
DIFFICULT: Final = features.OBJECT_DIFFICULT
AREA: Final = features.OBJECT_AREA

CLASS_NAMES_ASSET: Final = "class_names.txt"
"""Asset of the transform graph: the class names in the order of their ids, one a line."""
LABEL_MAP_ASSET: Final = "label_map.json"
"""Asset of the transform graph: the ``LabelMap``, whose ids may have gaps."""
