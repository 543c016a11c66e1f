"""The transform graph as a function of serialised records."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_transform as tft

from components.trainer.input.input_pipeline import Features, Parser


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
        transformed: Features = layer(raw)
        return transformed

    return parse
