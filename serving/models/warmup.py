"""Warm-up: the requests an export carries are run before a version takes over, so that nobody waits for tracing."""

from __future__ import annotations

import logging
import pathlib
import sys
from collections.abc import Iterator

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from schema.exported_model import WARMUP_FILE
from serving.models.request_inputs import to_call
from serving.models.runnable import Runnable
from serving.protocol.limits import Limits

_LOG = logging.getLogger(__name__)
_MAX_REQUESTS = 1000
"""TF Serving's limit."""
_NO_LIMITS = Limits(max_images=sys.maxsize, max_image_pixels=sys.maxsize)
"""What an export brings along is not a stranger's."""


def read_requests(version_path: pathlib.Path) -> Iterator[predict_pb2.PredictRequest]:
    """The Predict requests in `WARMUP_FILE`; none where there is no such file.

    Raises:
      tf.errors.OpError, google.protobuf.message.DecodeError: the file cannot be read.
    """
    path = version_path / WARMUP_FILE
    if not path.is_file():
        return
    for number, record in enumerate(tf.data.TFRecordDataset(str(path)).take(_MAX_REQUESTS)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        if log.WhichOneof("log_type") == "predict_log":
            yield log.predict_log.request
        else:
            _LOG.warning("%s: record %d is no Predict request and was left out", path, number)


def warm_up(model: Runnable, version_path: pathlib.Path) -> int:
    """Runs the requests in `WARMUP_FILE`, if there are any.

    Returns:
      How many were run.

    Raises:
      RequestError, tf.errors.OpError, google.protobuf.message.DecodeError: the file cannot be read, or the model does
        not answer one of its own requests; such a version is not fit to serve.
    """
    count = 0
    for request in read_requests(version_path):
        model.run(to_call(model, request, _NO_LIMITS))
        count += 1
    return count
