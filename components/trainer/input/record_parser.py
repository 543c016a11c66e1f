"""From serialised records to the features that the input pipeline reads."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_transform as tft

from components.trainer.input.input_pipeline import Parser
from components.trainer.input.padded_objects import Features
from components.transform import features as transformed
from schema import features


def record_parser(transform_output_dir: str) -> Parser:
    """Parses records as the Transform's input schema says, then applies the transform graph.

    Records stay as they were read (nothing is materialised), so what training sees went through the very graph that
    the analysis wrote.

    Args:
      transform_output_dir: the Transform component's ``transform_graph``.
    """
    transform_output = tft.TFTransformOutput(transform_output_dir)
    specification = transform_output.raw_feature_spec()
    layer = transform_output.transform_features_layer()

    def parse(serialized: tf.Tensor) -> Features:
        raw = tf.io.parse_example(serialized, specification)
        parsed: Features = layer(raw)
        return parsed

    return parse


def parse_clean_records(serialized: tf.Tensor) -> Features:
    """What the transform graph makes of records that have every list, sound boxes and labels: a ``Parser`` without one.

    For measuring and testing what lies behind the parser.
    """
    ragged = {
        **dict.fromkeys(features.BOX_KEYS_YXYX, tf.float32),
        features.OBJECT_CLASS_LABEL: tf.int64,
        features.OBJECT_IS_CROWD: tf.int64,
        features.OBJECT_DIFFICULT: tf.int64,
    }
    scalars = {
        features.IMAGE_ENCODED: tf.string,
        features.IMAGE_SOURCE_ID: tf.string,
        features.IMAGE_HEIGHT: tf.int64,
        features.IMAGE_WIDTH: tf.int64,
    }
    specification = {key: tf.io.FixedLenFeature([], dtype) for key, dtype in scalars.items()}
    specification |= {key: tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int64) for key, dtype in ragged.items()}
    parsed = tf.io.parse_example(serialized, specification)
    boxes = tf.stack([parsed.pop(key) for key in features.BOX_KEYS_YXYX], axis=-1)  # [B, (M), 4]
    height_width = tf.cast(parsed[features.IMAGE_HEIGHT] * parsed[features.IMAGE_WIDTH], tf.float32)
    sides = boxes.with_values(boxes.values[:, 2:] - boxes.values[:, :2])  # [B, (M), 2]
    areas = sides.with_values(tf.reduce_prod(sides.values, axis=-1)) * height_width[:, tf.newaxis]  # [B, (M)]
    return {
        **parsed,
        transformed.BOXES_YXYX: boxes,
        transformed.CLASS_INDEX: parsed.pop(features.OBJECT_CLASS_LABEL) - 1,
        transformed.AREA: areas,
    }
