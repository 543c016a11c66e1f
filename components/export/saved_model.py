"""The trained detector as a SavedModel: the contract between this pipeline and everything that serves it.

``schema.exported_model`` has its signatures, all with a free batch dimension, and the files beside them: among these is
the detector itself, so that a pushed model can be what the next one starts from. An image that does not decode fails
its whole request, with an error that names its index (InvalidArgument); a caller who must not lose its neighbours asks
for the signature ``serving_tolerant``, in which it fails alone.
"""

from __future__ import annotations

import json
import pathlib
import posixpath
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from components.atomic_files import write_folder_atomically
from components.detector.detector import Detector, FinishedDetector, ImageDetector
from components.detector.registry import as_float32
from components.detector.structures import Detections, Preprocessed
from components.detector.tiled_detector import tiled
from components.detector.tiling_settings import TilingSettings
from components.export.frozen_detector import FrozenDetector
from components.image_decoding import decode_upright_if_readable
from schema import exported_model, features
from schema.label_map import LabelMap
from schema.operating_points import OperatingPoints

_INDICES_TOLD = 32
"""Of images that do not decode; those behind are an ellipsis in the error."""


class ServingModule(tf.Module):
    """A detector with the signatures of the export.

    Args:
      detector: trained.
      label_map: the class with index i has id i + 1.
      labels_file: path of a file with these names, which becomes the asset of its name.
      operating_points: of these classes; None: the outputs have no thresholds.
    """

    def __init__(
        self,
        detector: ImageDetector,
        label_map: LabelMap,
        labels_file: str,
        operating_points: OperatingPoints | None = None,
    ) -> None:
        super().__init__(name="detector_export")
        # The plain variables and not the detector, which as an attribute would be tracked with all its layers: each of
        # its variables would be found under a Keras variable, too, and saved with two handles, of which the loader of
        # TF Serving restores one. Its methods are not tracked.
        self._weights = [variable.value for variable in detector.weights]
        self._preprocess, self._resize, self._normalize = detector.preprocess, detector.resize, detector.normalize
        self._canvas = tf.TensorSpec((*detector.image_size, 3), tf.float32)
        self._share = tf.TensorSpec((2,), tf.float32)

        def detect(frame: Preprocessed) -> Detections:
            # TensorFlow's oneDNN convolution gives a wrong shape for no images: they go in as one blank image.
            batch = tf.shape(frame.images)[0]
            blanks = tf.cast(tf.equal(batch, 0), tf.int32)
            images = tf.pad(frame.images, [[0, blanks], [0, 0], [0, 0], [0, 0]])
            shares = tf.pad(frame.valid_height_width, [[0, blanks], [0, 0]], constant_values=1.0)
            images.set_shape(frame.images.shape)
            found = detector.detect(Preprocessed(images, shares))
            return Detections(*(part[:batch] for part in found))

        # A function of its own, so that the signatures share one copy of the network, and a traced one: the first
        # caller of another has a trace, and so a copy, for itself. (Nothing in this module is Python control flow
        # over tensors: AutoGraph would only cost seconds.)
        frame = Preprocessed(*(tf.TensorSpec((None, *one.shape), one.dtype) for one in (self._canvas, self._share)))
        self._detect = tf.function(detect, input_signature=[frame], autograph=False).get_concrete_function()
        self.labels = tf.saved_model.Asset(labels_file)
        # Row 0 is for padding.
        self._thresholds_by_id = None if operating_points is None else [1.0, *operating_points.by_index(label_map)]
        self._names_by_id = ["", *label_map.name_by_index]

    def signatures(self) -> dict[str, Any]:
        """Concrete functions by signature name."""
        return {
            exported_model.SERVING_SIGNATURE: self.serving_default.get_concrete_function(),
            exported_model.TENSOR_SIGNATURE: self.serving_tensor.get_concrete_function(),
            exported_model.TOLERANT_SIGNATURE: self.serving_tolerant.get_concrete_function(),
            exported_model.EVALUATE_SIGNATURE: self.evaluate.get_concrete_function(),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=exported_model.IMAGE_BYTES)], autograph=False)
    def serving_default(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded images of any sizes -> named outputs."""
        return self._named(self._detect_readable(image_bytes))

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name=exported_model.IMAGES)], autograph=False
    )
    def serving_tensor(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Images of one size -> named outputs."""
        return self._named(self._detect(self._preprocess(images)))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=exported_model.IMAGE_BYTES)], autograph=False)
    def serving_tolerant(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded images of any sizes -> named outputs, and what is wrong with which image."""
        frame, is_readable = self._decode(image_bytes)
        detections = self._detect(frame)
        row = is_readable[:, tf.newaxis]  # [B, 1]
        kept = Detections(
            tf.where(row[..., tf.newaxis], detections.boxes_yxyx_normalized, 0.0),
            tf.where(row, detections.scores, 0.0),
            tf.where(row, detections.classes, -1),
            tf.where(is_readable, detections.counts, 0),
        )
        errors = tf.where(is_readable, "", exported_model.UNREADABLE_IMAGE)
        return {**self._named(kept), exported_model.IMAGE_ERRORS: errors}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=exported_model.EXAMPLES)], autograph=False)
    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialised records -> one array."""
        specification = {features.IMAGE_ENCODED: tf.io.FixedLenFeature([], tf.string)}
        detections = self._detect_readable(tf.io.parse_example(examples, specification)[features.IMAGE_ENCODED])
        rows = tf.concat(
            [
                detections.boxes_yxyx_normalized,
                tf.cast(detections.classes + 1, tf.float32)[..., tf.newaxis],
                detections.scores[..., tf.newaxis],
            ],
            axis=-1,
        )  # [B, N, 6]
        return {exported_model.DETECTIONS: tf.where(detections.classes[..., tf.newaxis] >= 0, rows, -1.0)}

    def _decode(self, encoded: tf.Tensor) -> tuple[Preprocessed, tf.Tensor]:
        """String [B] -> the network's input and bool [B]: is it an image? The images may differ in size."""

        def decode(one: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            image, is_readable = decode_upright_if_readable(one)
            return *self._resize(image), is_readable

        specification = (self._canvas, self._share, tf.TensorSpec((), tf.bool))
        canvases, shares, are_readable = tf.map_fn(decode, encoded, fn_output_signature=specification)
        return Preprocessed(self._normalize(canvases), shares), are_readable

    def _detect_readable(self, encoded: tf.Tensor) -> Detections:
        """String [B] -> detections, or InvalidArgument with the indices of what does not decode."""
        frame, are_readable = self._decode(encoded)
        unreadable = tf.where(~are_readable)[:, 0]
        message = [f"{exported_model.UNREADABLE_IMAGE} at index", unreadable, "of a batch of", tf.size(are_readable)]
        checked = tf.debugging.Assert(tf.reduce_all(are_readable), message, summarize=_INDICES_TOLD)
        with tf.control_dependencies([checked]):
            detections: Detections = self._detect(tf.nest.map_structure(tf.identity, frame))
        return detections

    def _named(self, detections: Detections) -> dict[str, tf.Tensor]:
        ids = tf.cast(detections.classes + 1, tf.int64)  # [B, N]
        outputs = {
            exported_model.BOXES: detections.boxes_yxyx_normalized,
            exported_model.SCORES: detections.scores,
            exported_model.CLASSES: ids,
            exported_model.CLASS_NAMES: tf.gather(tf.constant(self._names_by_id), ids),
            exported_model.COUNTS: tf.cast(detections.counts, tf.int64),
        }
        if self._thresholds_by_id is not None:
            outputs[exported_model.THRESHOLDS] = tf.gather(tf.constant(self._thresholds_by_id, tf.float32), ids)
        return outputs


def export(
    folder: str,
    detector: FinishedDetector,
    label_map: LabelMap,
    *,
    serving_batch_size: int,
    tiling: TilingSettings | None = None,
    operating_points: OperatingPoints | None = None,
) -> None:
    """Writes the SavedModel; ``folder`` appears complete or not at all. It computes in float32.

    Args:
      folder: of the SavedModel (``fn_args.serving_model_dir``), replaced when it exists.
      detector: trained, in whatever precision.
      label_map: names of the classes.
      serving_batch_size: largest batch to warm up with.
      tiling: cut images into tiles for the detector. None: it sees them whole.
      operating_points: the score thresholds of all classes. None: the export has none.

    Raises:
      ValueError: a class has no operating point.
    """
    if isinstance(detector, Detector):
        detector = as_float32(detector)
    served = tiled(FrozenDetector(detector), tiling)
    with tempfile.TemporaryDirectory() as local:
        labels_file = pathlib.Path(local) / posixpath.basename(exported_model.LABELS_FILE)
        labels_file.write_text(label_map.to_labels_txt(), encoding="utf-8")
        module = ServingModule(served, label_map, str(labels_file), operating_points)
        weights_file = pathlib.Path(local) / posixpath.basename(exported_model.WEIGHTS_FILE)
        detector.save_weights(weights_file)

        def fill(partial: str) -> None:
            tf.saved_model.save(module, partial, signatures=module.signatures())
            tf.io.gfile.makedirs(f"{partial}/{posixpath.dirname(exported_model.WEIGHTS_FILE)}")
            tf.io.gfile.copy(str(weights_file), f"{partial}/{exported_model.WEIGHTS_FILE}")
            with tf.io.gfile.GFile(f"{partial}/{exported_model.DESCRIPTION_FILE}", "w") as file:
                file.write(json.dumps(description(detector, label_map, tiling), indent=2) + "\n")
            if operating_points is not None:
                with tf.io.gfile.GFile(f"{partial}/{exported_model.OPERATING_POINTS_FILE}", "w") as file:
                    file.write(operating_points.to_json())
            with tf.io.TFRecordWriter(f"{partial}/{exported_model.WARMUP_FILE}") as writer:
                for batch_size in sorted({1, serving_batch_size}):
                    writer.write(_warmup_request(served.image_size, batch_size).SerializeToString())

        write_folder_atomically(folder, fill)


def description(
    detector: FinishedDetector, label_map: LabelMap, tiling: TilingSettings | None = None
) -> dict[str, Any]:
    """What ``DESCRIPTION_FILE`` says: all that is needed to build the detector again."""
    options = dict(detector.recipe)
    return {
        "detector": options.pop("name"),
        "image_size": options.pop("image_size"),
        "num_classes": options.pop("num_classes"),
        "options": options,
        "tiling": None if tiling is None else tiling.model_dump(mode="json"),
        "label_map": [[class_id, name] for class_id, name in label_map],
        # For whoever reads it: the weights beside are those of the detector alone.
        **({"classifier": detector.classifier} if detector.classifier else {}),
    }


def _warmup_request(height_width: tuple[int, int], batch_size: int) -> prediction_log_pb2.PredictionLog:
    """A predict request with noise, in which there is something to suppress."""
    noise = np.random.default_rng(0).integers(0, 256, (*height_width, 3), dtype=np.uint8)
    encoded = tf.io.encode_jpeg(noise).numpy()
    request = predict_pb2.PredictRequest()
    # Servers replay it whatever the model is called there.
    request.model_spec.name = exported_model.MODEL_NAME
    request.model_spec.signature_name = exported_model.SERVING_SIGNATURE
    request.inputs[exported_model.IMAGE_BYTES].CopyFrom(tf.make_tensor_proto([encoded] * batch_size))
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
