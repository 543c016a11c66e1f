"""TF Serving's `--batching_parameters_file`: a `BatchingParameters` in text format.

The message is not among those that the package `tensorflow-serving-api` carries; its fields are those of
tensorflow_serving/servables/tensorflow/session_bundle_config.proto.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Final

from google.protobuf import text_format

from serving.protocol.message_classes import message_classes

_FIELDS: Final = (
    ("max_batch_size", 1, "Int64Value"),
    ("batch_timeout_micros", 2, "Int64Value"),
    ("max_enqueued_batches", 3, "Int64Value"),
    ("num_batch_threads", 4, "Int64Value"),
    ("thread_pool_name", 5, "StringValue"),
    ("allowed_batch_sizes", 6, "repeated int64"),
    ("pad_variable_length_inputs", 7, "bool"),
    ("enable_large_batch_splitting", 8, "BoolValue"),
    ("max_execution_batch_size", 9, "Int64Value"),
)


class BatchingParametersError(Exception):
    """A file of batching parameters that cannot be used; the message names the file and the field."""


@dataclasses.dataclass(frozen=True)
class BatchingParameters:
    """How requests are merged.

    Attributes:
      max_batch_size: images in a batch.
      batch_timeout_micros: how long a batch that is not full waits for more. With 0 a batch is what has come while all
        threads were busy: a request that finds one idle does not wait.
      max_enqueued_batches: full batches that may wait; more requests are refused.
      num_batch_threads: batches that run at once.
      allowed_batch_sizes: sizes that batches are padded to, empty: any.
      splits_large_requests: requests of more images than a batch are cut; otherwise they are refused.
    """

    max_batch_size: int = 8
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 8
    num_batch_threads: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
    allowed_batch_sizes: tuple[int, ...] = ()
    splits_large_requests: bool = True

    @property
    def max_waiting_images(self) -> int:
        """Images that may wait in the queue."""
        return self.max_enqueued_batches * self.max_batch_size

    @property
    def max_images_inside(self) -> int:
        """Images that may wait in the queue or be in a batch that runs."""
        return self.max_waiting_images + self.num_batch_threads * self.max_batch_size

    def padded_size(self, size: int) -> int:
        """The size that a batch of so many images runs with."""
        return next((allowed for allowed in self.allowed_batch_sizes if allowed >= size), size)


def read_batching_parameters(path: pathlib.Path) -> BatchingParameters:
    """Reads the file; fields that it does not set have TF Serving's defaults (1000, 0 us, 10, cores, no splitting).

    Raises:
      BatchingParametersError: it cannot be read, or asks for something that cannot be done.
    """
    message = message_classes({"BatchingParameters": _FIELDS})["BatchingParameters"]()
    try:
        text_format.Parse(path.read_text(), message)
    except (OSError, UnicodeDecodeError) as error:
        raise BatchingParametersError(f"{path}: cannot be read ({error})") from error
    except text_format.ParseError as error:
        raise BatchingParametersError(f"{path}:{error}; expected BatchingParameters in text format") from error

    def value(name: str, default: int, least: int) -> int:
        found: int = getattr(message, name).value if message.HasField(name) else default
        if found < least:
            raise BatchingParametersError(f"{path}: {name} is {found}; expected at least {least}")
        return found

    if message.pad_variable_length_inputs:
        raise BatchingParametersError(
            f"{path}: pad_variable_length_inputs is not done here: the borders it adds would move the boxes; encoded "
            "images (serving_default) may differ in size without it"
        )
    largest = value("max_batch_size", 1000, 1)
    if message.HasField("max_execution_batch_size"):
        largest = min(largest, value("max_execution_batch_size", largest, 1))
    sizes = tuple(message.allowed_batch_sizes)
    if sizes and (list(sizes) != sorted(set(sizes)) or sizes[0] < 1 or sizes[-1] != largest):
        raise BatchingParametersError(
            f"{path}: allowed_batch_sizes is {list(sizes)}; expected sizes from 1 on that increase, the last of them "
            f"the largest batch ({largest})"
        )
    return BatchingParameters(
        max_batch_size=largest,
        batch_timeout_micros=value("batch_timeout_micros", 0, 0),
        max_enqueued_batches=value("max_enqueued_batches", 10, 1),
        num_batch_threads=value("num_batch_threads", os.cpu_count() or 1, 1),
        allowed_batch_sizes=sizes,
        splits_large_requests=message.HasField("enable_large_batch_splitting")
        and message.enable_large_batch_splitting.value,
    )
