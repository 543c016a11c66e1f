"""Batches of any size: the same boxes alone and together, and an answer to no image at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from schema import exported_model as names
from schema.contract_report import Check
from serving.contract.answers import Answer, compared_detections, difference
from serving.contract.loaders import Array, Loader
from serving.contract.options import BATCH
from serving.contract.probe_images import Files
from serving.contract.problems import Problems


def check_alone_and_together(loaders: Sequence[Loader], images: Files) -> Check:
    """Does an image get the same boxes alone as among images of other sizes."""
    problems, detections = Problems(), 0
    for loader in loaders:
        detections = 0
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            with problems.of(loader, names.SERVING_SIGNATURE):
                together = Answer.all_of(loader.run(names.SERVING_SIGNATURE, {names.IMAGE_BYTES: batch}))
                alone = [
                    Answer.all_of(loader.run(names.SERVING_SIGNATURE, {names.IMAGE_BYTES: batch[[index]]}))[0]
                    for index in range(len(batch))
                ]
                problems.note(difference(together, alone))
                detections += sum(compared_detections(answer) for answer in alone)
    return Check(
        "alone and in a batch",
        not problems,
        str(problems) or f"the same {detections} detections in {len(images)} images of mixed sizes",
        f"the same boxes whether an image is asked about alone or in a batch of {BATCH}",
        "look for what mixes the images of a batch (batch statistics, a shape taken from the first image), or what "
        "depends on its size",
    )


def check_empty_batch(loaders: Sequence[Loader]) -> Check:
    """Does every signature answer no images with empty outputs."""
    problems, signatures = Problems(), 0
    for loader in loaders:
        for name, empty in _EMPTY_INPUTS.items():
            if name not in loader.signature_defs:
                continue
            with problems.of(loader, name):
                for alias, array in loader.run(name, empty).items():
                    expected = tf.as_dtype(loader.signature_defs[name].outputs[alias].dtype)
                    if array.shape[:1] != (0,) or tf.as_dtype(array.dtype) != expected:
                        problems.note(f"{alias} {array.dtype} of shape {list(array.shape)}")
                signatures += 1
    return Check(
        "empty batch",
        not problems and signatures > 0,
        str(problems) or f"{signatures} answers with empty outputs",
        "outputs with 0 rows and the declared types for 0 images: clients and batching servers send them",
        "pad an empty batch with a blank image inside the graph, as components/export does",
    )


_EMPTY_INPUTS: dict[str, dict[str, Array]] = {
    names.SERVING_SIGNATURE: {names.IMAGE_BYTES: np.array([], object)},
    names.TOLERANT_SIGNATURE: {names.IMAGE_BYTES: np.array([], object)},
    names.TENSOR_SIGNATURE: {names.IMAGES: np.zeros((0, 64, 64, 3), np.uint8)},
    names.EVALUATE_SIGNATURE: {names.EXAMPLES: np.array([], object)},
}
