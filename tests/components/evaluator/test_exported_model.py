"""The COCO metric of an export, without Beam, is that of the very detections."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from components.evaluator.exported_model import metrics_of_export
from schema import features
from schema.exported_model import DETECTIONS, EVALUATE_SIGNATURE, LABELS_FILE


class _OneBox(tf.Module):  # type: ignore[misc]
    """Finds the same box of the first class in every image, with the score 0.9."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def __call__(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.constant([[[0.0, 0.0, 0.5, 0.5, 1.0, 0.9], [-1.0] * 6]])  # [1, 2, 6]
        return {DETECTIONS: tf.tile(rows, [tf.size(examples), 1, 1])}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    module = _OneBox()
    tf.saved_model.save(module, str(folder), signatures={EVALUATE_SIGNATURE: module.__call__})
    labels = folder / LABELS_FILE
    labels.parent.mkdir(exist_ok=True)
    labels.write_text("car\nbus\n")
    return str(folder)


def _record(name: str, boxes_yxyx: Sequence[Sequence[float]], classes: Sequence[str]) -> bytes:
    example = tf.train.Example()
    feature = example.features.feature
    feature[features.IMAGE_SOURCE_ID].bytes_list.value.append(name.encode())
    for key in (features.IMAGE_HEIGHT, features.IMAGE_WIDTH):
        feature[key].int64_list.value.append(200)
    for position, key in enumerate(features.BOX_KEYS_YXYX):
        feature[key].float_list.value.extend([box[position] for box in boxes_yxyx])
    feature[features.OBJECT_CLASS_TEXT].bytes_list.value.extend([text.encode() for text in classes])
    feature[features.OBJECT_AREA].float_list.value.extend([100.0] * len(classes))
    return bytes(example.SerializeToString())


def test_what_is_found_and_what_is_not(model: str, tmp_path: pathlib.Path) -> None:
    found = [[0.0, 0.0, 0.5, 0.5]]
    perfect = metrics_of_export(model, [_record(str(n), found, ["car"]) for n in range(5)], batch_size=2)
    assert perfect["AP"] == pytest.approx(1.0)
    # A class that the model does not know counts with 0, and a class that nothing shows not at all.
    half = metrics_of_export(model, [_record("a", found, ["car"]), _record("b", found, ["tram"])], batch_size=2)
    assert half["AR1"] == pytest.approx(0.5)
    nothing = metrics_of_export(model, [_record("a", [], [])], batch_size=2)
    assert np.isnan(nothing["AP"])
