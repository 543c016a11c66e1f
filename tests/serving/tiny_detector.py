"""A tiny model with the signatures of a real export, and requests for it."""

from __future__ import annotations

import io
import struct
import zlib

import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import predict_pb2

NAMES = ("stop", "yield")


class TinyDetector(tf.Module):
    """Finds one object in every image: its box is fixed, its score is the image's mean brightness.

    The class is 1 for a version of an odd number, 2 for an even one, so that answers tell versions apart. With
    thresholds, of class 1 and class 2, it answers those, too.
    """

    def __init__(self, version: int, thresholds: tuple[float, float] | None = None) -> None:
        super().__init__()
        self._thresholds = thresholds
        self.class_id = tf.Variable(2 - version % 2, dtype=tf.int64)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serve(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        def brightness(encoded: tf.Tensor) -> tf.Tensor:
            image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
            return tf.reduce_mean(tf.cast(image, tf.float32)) / 255.0

        scores = tf.map_fn(brightness, image_bytes, fn_output_signature=tf.float32)  # [B]
        batch = tf.shape(scores)[0]
        classes = tf.fill([batch, 2], self.class_id)
        further = {}
        if self._thresholds is not None:
            further["detection_thresholds"] = tf.gather(tf.constant(self._thresholds), classes - 1)
        return further | {
            "detection_boxes": tf.tile([[[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.0, 0.0]]], [batch, 1, 1]),
            "detection_scores": tf.stack([scores, tf.zeros_like(scores)], axis=1),
            "detection_classes": classes,
            "detection_class_names": tf.gather(tf.constant(NAMES), classes - 1),
            "num_detections": tf.ones([batch], tf.int64),
        }


def jpeg(value: int = 200, width: int = 40, height: int = 20) -> bytes:
    """A grey JPEG file."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (value, value, value)).save(buffer, "JPEG")
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG file that says it is so large; its pixels are missing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def predict_request(*images: bytes, model_name: str = "detector") -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model_name
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(list(images), tf.string, shape=[len(images)]))
    return request
