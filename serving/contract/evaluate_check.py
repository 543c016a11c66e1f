"""Agreement with the Evaluator: what was judged is what is served."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from schema import exported_model as names
from schema.contract_report import Check
from schema.label_map import LabelMap, LabelMapError, parse_labels_txt
from serving.contract.answers import Answer, compared_detections, difference
from serving.contract.loaders import Array, Loader
from serving.contract.probe_images import Files, as_png, pixels_of, records_of
from serving.contract.problems import Problems


def check_agreement(loaders: Sequence[Loader], evaluator: Loader, images: Files, model: pathlib.Path) -> Check:
    """Does every signature, in every loader, find what `evaluate` says in the loader that the Evaluator uses.

    Args:
      loaders: all of them.
      evaluator: the loader of the Evaluator.
      images: encoded.
      model: folder with the names of the classes, by which the Evaluator reads ids.
    """
    problems, detections = Problems(), 0
    with problems.of(evaluator, names.EVALUATE_SIGNATURE):
        judged = _evaluate(evaluator, images)
        # Decoders differ by a grey level in JPEG files: pixels are judged as the lossless file of the same.
        pixels = pixels_of(images[0])
        judged_pixels = _evaluate(evaluator, np.array([as_png(pixels)], object))
        detections = sum(compared_detections(answer) for answer in judged)
        asked: dict[str, tuple[Mapping[str, Array], list[Answer]]] = {
            names.SERVING_SIGNATURE: ({names.IMAGE_BYTES: images}, judged),
            names.TOLERANT_SIGNATURE: ({names.IMAGE_BYTES: images}, judged),
            names.TENSOR_SIGNATURE: ({names.IMAGES: pixels[np.newaxis]}, judged_pixels),
            names.EVALUATE_SIGNATURE: ({names.EXAMPLES: records_of(images)}, judged),
        }
        for loader in loaders:
            for signature, (inputs, expected) in asked.items():
                if signature not in loader.signature_defs:
                    continue
                with problems.of(loader, signature):
                    outputs = loader.run(signature, inputs)
                    problems.note(difference(Answer.all_of(outputs), expected))
                    if names.CLASS_NAMES in outputs:
                        problems.note(_wrong_name(outputs, model))
    return Check(
        "agreement with evaluate",
        not problems,
        str(problems) or f"every signature finds the same {detections} detections in {len(images)} images",
        f"what `{names.EVALUATE_SIGNATURE}` says in the {evaluator.name}, under the names of {names.LABELS_FILE}: by "
        "that the model was judged",
        "where one loader alone differs, look for variables that are saved twice; where one signature does, for "
        "another way of decoding or resizing; where a server does, whether it has loaded this version",
    )


def _evaluate(loader: Loader, images: Files) -> list[Answer]:
    return Answer.all_of(loader.run(names.EVALUATE_SIGNATURE, {names.EXAMPLES: records_of(images)}))


def _wrong_name(outputs: Mapping[str, Array], model: pathlib.Path) -> str:
    """The first class name that is not the one of its id; empty when there is none."""
    try:
        label_map: LabelMap = parse_labels_txt((model / names.LABELS_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, LabelMapError) as error:
        return f"{names.LABELS_FILE} cannot be read: {error}"
    known = {class_id: name.encode() for class_id, name in label_map}
    for image, count in enumerate(np.asarray(outputs[names.COUNTS], np.int64)):
        for row in range(count):
            class_id, name = int(np.asarray(outputs[names.CLASSES])[image, row]), outputs[names.CLASS_NAMES][image, row]
            if known.get(class_id) != name:
                return f"class {class_id} is called {name!r}, in {names.LABELS_FILE} {known.get(class_id)!r}"
    return ""
