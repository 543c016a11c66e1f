"""Detections of the models, by TFMA, without the images that do not decode.

ExampleGen looks at image headers only, and an image that does not decode fails the signature for its whole batch. That
costs nothing while all is well: only when a batch fails is each of its images decoded by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma
from absl import logging
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import model_util

from components.image_decoding import decode_upright
from schema import features

Extracts = dict[str, Any]


def detections_extractor(
    eval_config: config_pb2.EvalConfig, eval_shared_model: tfma.types.MaybeMultipleEvalSharedModels
) -> tfma.extractors.Extractor:
    """``tfma.extractors.PredictionsExtractor``, but extracts of images that do not decode get no ``predictions``."""
    models = {model.model_name: model for model in model_util.verify_and_update_eval_shared_models(eval_shared_model)}
    specs = list(eval_config.model_specs)
    return tfma.extractors.Extractor(
        "ExtractDetections",
        beam.ParDo(
            _DetectDoFn(
                model_specs=specs,
                eval_shared_models=models,
                output_keypath=[constants.PREDICTIONS_KEY],
                signature_names={spec.name if len(specs) > 1 else "": [spec.signature_name] for spec in specs},
                prefer_dict_outputs=False,
            )
        ),
    )


class _DetectDoFn(model_util.ModelSignaturesDoFn):
    """Runs the models' signatures on batches of records."""

    def process(self, element: Extracts) -> Sequence[Extracts]:
        try:
            return self._batch_reducible_process(element)
        except (ValueError, tf.errors.ResourceExhaustedError):  # ValueError: what TFMA makes of InvalidArgumentError
            records = element[constants.INPUT_KEY]  # [B]
            decodes = np.array([_decodes(record) for record in records], np.bool_)  # [B]
            left_out = [{constants.INPUT_KEY: records[~decodes]}] if not decodes.all() else []
            # TFMA's own way with a batch that fails: one record at a time.
            detected = super().process({constants.INPUT_KEY: records[decodes]}) if decodes.any() else []
            return [*detected, *left_out]


def _decodes(serialized: bytes) -> bool:
    """Whether a record's image decodes; one that does not is named in the log."""
    values = tf.train.Example.FromString(serialized).features.feature
    try:
        decode_upright(tf.constant(b"".join(values[features.IMAGE_ENCODED].bytes_list.value)))
    except tf.errors.InvalidArgumentError as error:
        image_id = b"".join(values[features.IMAGE_SOURCE_ID].bytes_list.value).decode("utf-8", "backslashreplace")
        logging.warning("%s: does not decode and is left out of the evaluation: %s", image_id, error.message)
        return False
    return True
