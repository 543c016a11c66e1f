"""The Transform's ``preprocessing_fn``: class names to indices, boxes cleaned, images left encoded.

Classes get their ids from the label map the user gave or, without one, in alphabetical order (by Unicode code point)
of the names in the analysed split, so that the same classes have the same ids whatever their frequency or the order of
the files. Identity is still the *name*: a later span with one more class may shift ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from components.transform import features as transformed
from components.transform.box_cleaning import clean_boxes
from components.transform.class_names import ClassNamesAnalyzer
from schema import features
from schema.label_map import LabelMap


def _aligned(values: tf.RaggedTensor, boxes: tf.RaggedTensor, default: object) -> tf.Tensor:
    """Gives an optional per-object list one entry a box: missing entries get ``default``, surplus ones go.

    Args:
      values: ragged [B, (?)].
      boxes: ragged [B, (M)], with one entry an object and N objects in all.
      default: fills what is missing.

    Returns:
      [N], in the order of the objects.
    """
    image = boxes.value_rowids()  # [N]
    place = tf.range(tf.size(image, tf.int64)) - tf.gather(boxes.row_starts(), image)  # [N], 0-based in its image
    given = place < tf.gather(values.row_lengths(), image)  # [N]
    index = tf.where(given, tf.gather(values.row_starts(), image) + place, 0)  # [N]
    filler = tf.constant([default], values.dtype)
    return tf.where(given, tf.gather(tf.concat([values.values, filler], axis=0), index), filler)


def _label_map_of(custom_config: Mapping[str, Any] | None) -> LabelMap | None:
    pairs: Sequence[tuple[int, str]] | None = (custom_config or {}).get("label_map")
    if not pairs:
        return None
    return LabelMap(tuple(int(class_id) for class_id, _ in pairs), tuple(str(name) for _, name in pairs))


def preprocessing_fn(
    inputs: Mapping[str, tf.Tensor | tf.RaggedTensor], custom_config: Mapping[str, Any] | None = None
) -> dict[str, tf.Tensor | tf.RaggedTensor]:
    """Transforms a batch of records.

    Args:
      inputs: the record's features as ``schema.pbtxt`` describes them: dense [B] and ragged [B, (M)].
      custom_config: ``{"label_map": [[1-based id, name], ...] or None}``.

    Returns:
      The features listed in ``components.transform.features``.

    Raises:
      LabelMapError: the given label map repeats a name or its ids do not increase.
      NoObjectsError: (when the analysis runs) no label map was given and the analysed split holds no object.
    """
    label_map = _label_map_of(custom_config)
    height, width = inputs[features.IMAGE_HEIGHT], inputs[features.IMAGE_WIDTH]  # [B]
    ymin = inputs[features.OBJECT_YMIN]  # [B, (M)]
    boxes = tf.stack([inputs[key].values for key in features.BOX_KEYS_YXYX], axis=-1)  # [N, 4]
    boxes, usable = clean_boxes(boxes)  # [N, 4], [N]

    image_of_object = ymin.value_rowids()  # [N]
    image_area = tf.cast(height * width, tf.float32)  # [B], pixels
    box_area = tf.reduce_prod(boxes[:, 2:] - boxes[:, :2], axis=-1) * tf.gather(image_area, image_of_object)  # [N]
    area = _aligned(inputs[features.OBJECT_AREA], ymin, 0.0)  # [N]
    area = tf.where(area > 0, area, box_area)
    names = _aligned(inputs[features.OBJECT_CLASS_TEXT], ymin, "")  # [N]
    is_crowd = _aligned(inputs[features.OBJECT_IS_CROWD], ymin, 0)  # [N]
    difficult = _aligned(inputs[features.OBJECT_DIFFICULT], ymin, 0)  # [N]

    class_names_file, _ = tft.experimental.ptransform_analyzer(
        inputs=[names, usable],
        ptransform=ClassNamesAnalyzer(label_map),
        output_dtypes=[tf.string, tf.string],
        output_shapes=[[], []],
        # While the graph is traced, before the analysis has run, the files hold these.
        output_asset_default_values=[b"unknown\n", b"{}\n"],
        name="class_names",
    )
    row = tft.apply_vocabulary(names, class_names_file, default_value=-1)  # [N], line in the file of class names
    if label_map is None:
        index = row
    else:  # The file of class names has no gaps, a label map's ids may have.
        index_of_row = tf.constant([class_id - 1 for class_id in label_map.ids], tf.int64)
        index = tf.where(row >= 0, tf.gather(index_of_row, tf.maximum(row, 0)), -1)
    kept = tf.where(usable & (index >= 0))[:, 0]  # [K]
    kept_boxes = tf.RaggedTensor.from_value_rowids(
        tf.gather(boxes, kept), tf.gather(image_of_object, kept), nrows=tf.size(height, tf.int64), validate=False
    )  # [B, (M), 4]

    def per_object(values: tf.Tensor) -> tf.RaggedTensor:  # [N] -> [B, (M)]
        return kept_boxes.with_values(tf.gather(values, kept))

    return {
        transformed.IMAGE_ENCODED: inputs[features.IMAGE_ENCODED],
        transformed.SOURCE_ID: inputs[features.IMAGE_SOURCE_ID],
        transformed.HEIGHT: height,
        transformed.WIDTH: width,
        transformed.BOXES_YXYX: kept_boxes,
        transformed.CLASS_INDEX: per_object(index),
        transformed.IS_CROWD: per_object(is_crowd),
        transformed.DIFFICULT: per_object(difficult),
        transformed.AREA: per_object(area),
    }
