"""Images with what a model found in them: those that a server was asked, and those it was trained beside."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.user_error import UserError
from schema import exported_model, features

Floats = npt.NDArray[np.float64]


class LogError(UserError):
    """A log of requests, or the records to compare it with, cannot be used; the message names the folder."""


@dataclasses.dataclass(frozen=True)
class Found:
    """Objects in an image.

    Attributes:
      boxes_yxyx_normalized: float64 [N, 4], 0..1 of the upright image.
      class_names: N names.
      scores: float64 [N]; 1 for objects of an annotation.
    """

    boxes_yxyx_normalized: Floats
    class_names: tuple[str, ...]
    scores: Floats


@dataclasses.dataclass(frozen=True)
class SeenImage:
    """An image and a model's answer.

    Attributes:
      encoded: the file.
      found: by the model.
      truth: what is there according to the annotation; None where there is none.
    """

    encoded: bytes
    found: Found
    truth: Found | None = None


def read_log(folder: pathlib.Path, version: int, most: int) -> tuple[list[SeenImage], collections.Counter[str]]:
    """The newest images of a log of requests, as TF Serving and the embedded server write it.

    Args:
      folder: holds TFRecords of PredictionLog; their names begin with the time, so that the last is the newest.
      version: of the model whose answers count.
      most: how many images to read.

    Returns:
      The images, the newest last, and what was passed over by reason.

    Raises:
      LogError: there is no log, or none of its images can be used.
    """
    files = sorted(folder.glob("*.tfrecord*"), reverse=True)
    files = [file for file in files if not file.name.endswith(".part")]
    if not files:
        raise LogError(f"{folder}: holds no *.tfrecord; give the folder of the server's --request_log")
    images: list[SeenImage] = []
    passed_over: collections.Counter[str] = collections.Counter()
    for file in files:
        if len(images) >= most:
            break
        # Within a file the last one is the newest.
        images = _answers_in(file, version, passed_over) + images
    if not images:
        reasons = ", ".join(f"{count} x {reason}" for reason, count in passed_over.items()) or "no record"
        raise LogError(f"{folder}: has no answer of version {version} to an encoded image ({reasons})")
    return images[-most:], passed_over


def _answers_in(file: pathlib.Path, version: int, passed_over: collections.Counter[str]) -> list[SeenImage]:
    """What a file holds of a version, in its order."""
    images: list[SeenImage] = []
    try:
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record).predict_log
            answered = int(log.response.model_spec.version.value)
            if answered != version:
                passed_over[f"answered by version {answered}"] += 1
            elif exported_model.IMAGE_BYTES not in log.request.inputs:
                passed_over["decoded images in the request"] += 1
            elif not set(exported_model.OUTPUTS) <= set(log.response.outputs):
                passed_over["not all outputs in the answer"] += 1
            else:
                images += _logged(log)
    except tf.errors.DataLossError:
        # The server was killed while it wrote: what is whole was read.
        passed_over["a damaged record"] += 1
    return images


def _logged(log: Any) -> Iterator[SeenImage]:
    outputs = {alias: tf.make_ndarray(log.response.outputs[alias]) for alias in exported_model.OUTPUTS}
    encoded = tf.make_ndarray(log.request.inputs[exported_model.IMAGE_BYTES]).reshape(-1)  # [B]
    errors = np.full(len(encoded), b"", object)  # [B]
    if exported_model.IMAGE_ERRORS in log.response.outputs:
        errors = tf.make_ndarray(log.response.outputs[exported_model.IMAGE_ERRORS])
    for number, image in enumerate(encoded):
        # One that does not decode was answered with nothing.
        if not errors[number]:
            yield SeenImage(bytes(image), found_by(outputs, number))


def found_by(outputs: Mapping[str, npt.NDArray[Any]], number: int) -> Found:
    """What the outputs of a serving signature hold for one image of the batch."""
    count = int(outputs[exported_model.COUNTS][number])
    names = outputs[exported_model.CLASS_NAMES][number][:count]
    return Found(
        np.asarray(outputs[exported_model.BOXES][number][:count], np.float64).reshape(-1, 4),
        tuple(name.decode() for name in names),
        np.asarray(outputs[exported_model.SCORES][number][:count], np.float64),
    )


def read_records(examples: pathlib.Path, split: str, most: int) -> list[tuple[bytes, Found]]:
    """Images of a split of ExampleGen's with their annotations, evenly spread over it.

    Raises:
      LogError: there is no such split, or it is empty.
    """
    files = sorted(map(str, (examples / f"Split-{split}").glob("*")))
    records = list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()) if files else []
    if not records:
        raise LogError(
            f"{examples}: holds no records of the split {split!r}; give an `examples` artifact of ExampleGen"
        )
    chosen = np.unique(np.linspace(0, len(records) - 1, min(most, len(records))).round().astype(int))
    return [_record(records[number]) for number in chosen]


def _record(serialized: bytes) -> tuple[bytes, Found]:
    values = tf.train.Example.FromString(serialized).features.feature
    counts = [True] * len(values[features.OBJECT_CLASS_TEXT].bytes_list.value)
    for key in (features.OBJECT_IS_CROWD, features.OBJECT_DIFFICULT):
        # Neither is to be found.
        counts = [one and not set_aside for one, set_aside in zip(counts, values[key].int64_list.value, strict=True)]
    boxes = np.stack([values[key].float_list.value for key in features.BOX_KEYS_YXYX], axis=-1).reshape(-1, 4)  # [N, 4]
    names = [name.decode() for name in values[features.OBJECT_CLASS_TEXT].bytes_list.value]
    return values[features.IMAGE_ENCODED].bytes_list.value[0], Found(
        boxes[counts].astype(np.float64),
        tuple(name for name, one in zip(names, counts, strict=True) if one),
        np.ones(sum(counts)),
    )


def ask(model: pathlib.Path, encoded: Sequence[bytes], batch_size: int = 8) -> list[Found]:
    """What a pushed version finds in images."""
    signature = tf.saved_model.load(str(model)).signatures[exported_model.TOLERANT_SIGNATURE]
    answers = []
    for start in range(0, len(encoded), batch_size):
        batch = tf.constant(list(encoded[start : start + batch_size]))  # [B]
        outputs = {alias: value.numpy() for alias, value in signature(**{exported_model.IMAGE_BYTES: batch}).items()}
        answers += [found_by(outputs, number) for number in range(len(batch))]
    return answers
