"""An export without a network that keeps the whole contract, or breaks it in one way."""

from __future__ import annotations

import pathlib
import shutil
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2

from components.image_decoding import decode_upright, decode_upright_if_readable
from schema import exported_model, features
from schema.label_map import LabelMap
from serving.contract.probe_images import as_png
from tests.made_operating_points import made_operating_points

NAMES: Final = ("stop", "yield")
POINTS: Final = made_operating_points(LabelMap.of_names(NAMES))
_SIDE: Final = 16
_CANVAS: Final = (tf.TensorSpec((_SIDE, _SIDE, 3), tf.float32), tf.TensorSpec((), tf.bool))


class TinyExport(tf.Module):  # type: ignore[misc]
    """Finds two objects in every image: where, what and how surely depends on its mean colour.

    Args:
      broken: what of the contract it breaks; empty: nothing.
    """

    def __init__(self, labels_file: str, broken: str) -> None:
        super().__init__()
        self.labels = tf.saved_model.Asset(labels_file)
        self._broken = broken
        layer = keras.layers.Layer()
        self._scale = layer.add_weight(shape=(), initializer=keras.initializers.Constant(0.9))
        if broken == "two handles":
            # Found under the layer's Keras variable, a variable is saved with two handles, which Python's loader alone
            # restores both.
            self._layer = layer
        else:
            self._variable = self._scale.value

    def signatures(self) -> dict[str, Any]:
        found = {
            exported_model.SERVING_SIGNATURE: self._of_strings(self._serve, exported_model.IMAGE_BYTES),
            exported_model.TENSOR_SIGNATURE: tf.function(
                lambda images: self._named(self._resized(images)),
                input_signature=[
                    tf.TensorSpec(
                        [1 if self._broken == "fixed batch" else None, None, None, 3],
                        tf.uint8,
                        name=exported_model.IMAGES,
                    )
                ],
                autograph=False,
            ),
            exported_model.TOLERANT_SIGNATURE: self._of_strings(self._serve_tolerant, exported_model.IMAGE_BYTES),
            exported_model.EVALUATE_SIGNATURE: self._of_strings(self._evaluate, exported_model.EXAMPLES),
        }
        if self._broken == "no signature":
            del found[exported_model.TOLERANT_SIGNATURE]
        return found

    @staticmethod
    def _of_strings(function: Any, alias: str) -> Any:
        return tf.function(function, input_signature=[tf.TensorSpec([None], tf.string, name=alias)], autograph=False)

    def _resized(self, images: tf.Tensor) -> tf.Tensor:
        return tf.image.resize(tf.cast(images, tf.float32), (_SIDE, _SIDE), antialias=True)

    def _decoded(self, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def decode(one: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            if self._broken == "unnamed damage":
                return self._resized(decode_upright(one)), tf.constant(True)
            image, is_readable = decode_upright_if_readable(one)
            return self._resized(image), is_readable

        return tf.map_fn(decode, encoded, fn_output_signature=_CANVAS)  # [B, H, W, 3], [B]

    def _readable(self, encoded: tf.Tensor) -> tf.Tensor:
        canvases, are_readable = self._decoded(encoded)
        unreadable = tf.where(~are_readable)[:, 0]
        if self._broken == "wrong index":
            unreadable += 1
        message = [f"{exported_model.UNREADABLE_IMAGE} at index", unreadable]
        checked = [tf.debugging.Assert(tf.reduce_all(are_readable), message)]
        if self._broken == "no empty batch":
            checked.append(tf.debugging.assert_positive(tf.size(encoded)))
        with tf.control_dependencies(checked):
            return tf.identity(canvases)

    def _detect(self, canvases: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Boxes [B, 3, 4], scores [B, 3] and 1-based classes [B, 3]; the last row is padding."""
        colours = tf.reduce_mean(canvases, axis=(1, 2)) / 255.0  # [B, 3]
        if self._broken == "batch statistics":
            colours -= 0.5 * tf.reduce_mean(colours, axis=0)
        best = 0.1 + self._scale * colours[:, 0]  # [B]
        scores = tf.stack([best, best / 2], axis=1)
        corners = colours[:, 1:] / 2  # [B, 2]
        boxes = tf.concat([corners, corners + 0.25], axis=1)  # [B, 4]
        classes = tf.ones_like(scores, tf.int64) * [1, 2]
        found = (tf.stack([boxes, 1.0 - tf.reverse(boxes, [1])], axis=1), scores, classes)
        boxes, scores, classes = (tf.concat([part, tf.zeros_like(part[:, :1])], axis=1) for part in found)
        return boxes, scores, classes

    def _named(self, canvases: tf.Tensor) -> dict[str, tf.Tensor]:
        boxes, scores, classes = self._detect(canvases)
        if self._broken == "rows for an empty batch":
            extra = tf.cast(tf.equal(tf.shape(scores)[0], 0), tf.int32)
            scores = tf.pad(scores, [[0, extra], [0, 0]])
        names = tf.constant(["", *(reversed(NAMES) if self._broken == "wrong names" else NAMES)])
        thresholds = tf.gather(tf.constant([1.0, *(point.threshold for point in POINTS.classes)]), classes)
        if self._broken == "thresholds of padding":
            thresholds = tf.where(classes > 0, thresholds, 0.0)
        further = {} if self._broken == "no thresholds" else {exported_model.THRESHOLDS: thresholds}
        return further | {
            exported_model.BOXES: boxes,
            exported_model.SCORES: scores,
            exported_model.CLASSES: tf.cast(classes, tf.int32) if self._broken == "wrong type" else classes,
            exported_model.CLASS_NAMES: tf.gather(names, classes),
            exported_model.COUNTS: tf.fill([tf.shape(boxes)[0]], tf.constant(2, tf.int64)),
        }

    def _serve(self, encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._named(self._readable(encoded))

    def _serve_tolerant(self, encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        canvases, are_readable = self._decoded(encoded)
        outputs = self._named(canvases)
        if self._broken == "thresholds in some signatures":
            del outputs[exported_model.THRESHOLDS]
        if self._broken != "detections in damaged images":
            outputs[exported_model.COUNTS] *= tf.cast(are_readable, tf.int64)
        if self._broken == "no error":
            are_readable = tf.ones_like(are_readable)
        return {**outputs, exported_model.IMAGE_ERRORS: tf.where(are_readable, "", exported_model.UNREADABLE_IMAGE)}

    def _evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        specification = {features.IMAGE_ENCODED: tf.io.FixedLenFeature([], tf.string)}
        canvases = self._readable(tf.io.parse_example(examples, specification)[features.IMAGE_ENCODED])
        if self._broken == "evaluate sees other pixels":
            canvases *= 0.9
        boxes, scores, classes = self._detect(canvases)
        rows = [boxes, tf.cast(classes, tf.float32)[..., tf.newaxis], scores[..., tf.newaxis]]
        return {exported_model.DETECTIONS: tf.concat(rows, axis=-1)}


def write_export(folder: pathlib.Path, broken: str = "") -> pathlib.Path:
    """Saves one with labels and warm-up and returns its folder."""
    labels_file = folder / "labels.txt"
    labels_file.write_text("\n".join(NAMES) + "\n")
    module, model = TinyExport(str(labels_file), broken), folder / "1"
    tf.saved_model.save(module, str(model), signatures=module.signatures())
    if broken == "incomplete copy":
        shutil.rmtree(model / "variables")
    extra = (model / exported_model.WARMUP_FILE).parent
    extra.mkdir()
    if broken not in ("no thresholds", "no operating points"):
        ids = (2, 3) if broken == "thresholds of other classes" else (1, 2)
        text = made_operating_points(LabelMap(ids, NAMES)).to_json()
        text = text[: 20 if broken == "torn operating points" else None]
        (model / exported_model.OPERATING_POINTS_FILE).write_text(text)
    if broken != "no warm-up":
        image = b"damaged" if broken == "damaged warm-up" else as_png(np.full((8, 8, 3), 99, np.uint8))
        with tf.io.TFRecordWriter(str(model / exported_model.WARMUP_FILE)) as writer:
            for batch_size in (1, 2):
                log = prediction_log_pb2.PredictionLog()
                request = log.predict_log.request
                request.model_spec.signature_name = exported_model.SERVING_SIGNATURE
                request.inputs[exported_model.IMAGE_BYTES].CopyFrom(tf.make_tensor_proto([image] * batch_size))
                writer.write(log.SerializeToString())
    return model


def write_photos(folder: pathlib.Path, count: int) -> list[pathlib.Path]:
    """Files of one colour each."""
    files = [folder / f"{number}.png" for number in range(count)]
    for number, file in enumerate(files):
        Image.new("RGB", (90 - number, 60), (200 - 20 * number, 40 + 30 * number, 90)).save(file)
    return files
