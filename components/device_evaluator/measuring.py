"""What a device model finds in images of records, asked by the code that ships with it, and how long it takes.

Also the program that the DeviceEvaluator's executor runs for it, and what that leaves for the executor to read.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import posixpath
import statistics
import time
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import tensorflow as tf

from components.evaluator.exported_model import Rows, matches_of_detector
from components.evaluator.matched_images import MatchedImages
from components.evaluator.matches_file import MATCHES_FOLDER, read_matches, write_matches
from components.exporter.format_process import Deed, Request, do_each
from components.image_decoding import decode_upright
from components.record_reading import record_files
from schema.label_map import LabelMap
from serving.devices.device_detector import DeviceDetector

_MEASURED_FILE: Final = "measured.json"
_decode: Final = tf.function(decode_upright, input_signature=[tf.TensorSpec((), tf.string)], autograph=False)


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured of a device model.

    Attributes:
      detector: name of the architecture.
      images: what it found, as the candidate.
      latency_ms: median of one image, from decoded pixels to boxes; of a single image, how long that took.
    """

    detector: str
    images: MatchedImages
    latency_ms: float


def measure_device_model(folder: str, records: Iterable[bytes]) -> Measured:
    """Asks a device model about the images of records, one after the other.

    Args:
      folder: of the model.
      records: serialised, with the image and the ground truth; at least one.

    Raises:
      Exception: whatever its runtime raises, for a broken file and for a model that it cannot run.
      ValueError: a record's features do not fit together, or there is none.
    """
    timed = _TimedDetector(DeviceDetector.open(pathlib.Path(folder)))
    images = matches_of_detector(timed, records, batch_size=1)
    if not timed.seconds:
        raise ValueError(f"{folder}: there is no record to ask it about")
    # The first request also pays for what a runtime puts off until then.
    latency = statistics.median(timed.seconds[1:] or timed.seconds)
    return Measured(timed.architecture, images, 1000 * latency)


def measured_in(folder: str) -> Measured:
    """What the program has left of a format in a folder."""
    told = json.loads(pathlib.Path(folder, _MEASURED_FILE).read_text())
    return Measured(told["detector"], read_matches(posixpath.join(folder, MATCHES_FOLDER)), told["latency_ms"])


def measuring(request: Request) -> Deed:
    """What measures a format.

    Args:
      request: ``models``, folder with a folder for each format; ``records``, folder of the judged records; ``output``,
        a local folder, in which each format gets one for ``measured_in``.
    """

    def measure(name: str) -> None:
        records = tf.data.TFRecordDataset(record_files(request["records"]), compression_type="GZIP")
        measured = measure_device_model(posixpath.join(request["models"], name), records.as_numpy_iterator())
        folder = posixpath.join(request["output"], name)
        write_matches(posixpath.join(folder, MATCHES_FOLDER), measured.images)
        told = {"detector": measured.detector, "latency_ms": measured.latency_ms}
        pathlib.Path(folder, _MEASURED_FILE).write_text(json.dumps(told))

    return measure


class _TimedDetector:
    """An ``EncodedImageDetector`` that decodes as the SavedModel does and takes the time of what follows.

    Attributes:
      label_map: of the model.
      architecture: name of the detector in it.
      seconds: of each image, without decoding.
    """

    def __init__(self, detector: DeviceDetector) -> None:
        self._detector = detector
        metadata = detector.metadata
        self._class_ids = np.array(metadata.class_ids)
        self.label_map = LabelMap(metadata.class_ids, metadata.class_names)
        self.architecture = metadata.detector
        self.seconds: list[float] = []

    def detect_encoded(self, encoded: Sequence[bytes]) -> Rows:
        """The one image in ``encoded`` -> float32 [1, N, 6]."""
        (one,) = encoded
        image = _decode(tf.constant(one)).numpy()  # uint8 [h, w, 3]
        started = time.perf_counter()
        found = self._detector.find(image)
        self.seconds.append(time.perf_counter() - started)
        ids = self._class_ids[found.classes]  # [N]
        rows = np.column_stack([found.boxes_yxyx_normalized, ids, found.scores])  # [N, 6]
        return rows[np.newaxis].astype(np.float32)


if __name__ == "__main__":
    do_each(measuring)
