"""What is suspected, beside the metrics: for programs, and for whoever corrects the annotations.

In the artifact ``evaluation``: ``label_review.jsonl``, one suspicion a line, the strongest first; and in
``label_review/`` the images under suspicion, the strongest first, for the tools that people correct them with. What is
proposed there: missing objects added, other classes and boxes in place. Nothing is taken away, since nobody sees what
is gone: duplicates and what is not there are as they were. The fields ``suspicion``, ``suspicion_score`` and, where
something was put in its place, ``annotated_bbox`` and ``annotated_category`` say of each box in COCO's file what is
what. **It is to be corrected before anything is learnt from it.** The image files are where they were: file names are
those of the data folder.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import tensorflow as tf

from components.atomic_files import write_atomically
from components.evaluator.label_review.suspicion import Suspicion
from components.evaluator.matched_images import MatchedImages
from components.labelling_files import LabelledBox, LabelledImage, coco_document, label_studio_tasks

REVIEW_FILE: Final = "label_review.jsonl"
REVIEW_FOLDER: Final = "label_review"
COCO_FILE: Final = "annotations.json"
LABEL_STUDIO_FILE: Final = "label_studio.json"


def write_review(evaluation_uri: str, images: MatchedImages, suspicions: Sequence[Suspicion]) -> None:
    """Writes the three files.

    Args:
      evaluation_uri: folder of the artifact.
      images: that were reviewed.
      suspicions: what is suspected in them, the strongest first.
    """
    labelled = _labelled_images(images, suspicions)
    folder = posixpath.join(evaluation_uri, REVIEW_FOLDER)
    tf.io.gfile.makedirs(folder)
    lines = "".join(f"{suspicion.to_json()}\n" for suspicion in suspicions)
    write_atomically(posixpath.join(evaluation_uri, REVIEW_FILE), lines.encode())
    contents: dict[str, Any] = {
        COCO_FILE: coco_document(labelled, images.class_names),
        LABEL_STUDIO_FILE: label_studio_tasks(labelled, "label review"),
    }
    for name, content in contents.items():
        write_atomically(posixpath.join(folder, name), f"{json.dumps(content)}\n".encode())


def read_review(path: str) -> list[Suspicion]:
    """Reads ``label_review.jsonl``.

    Raises:
      ValueError: a line is no suspicion.
    """
    with tf.io.gfile.GFile(path) as file:
        lines = file.read().split("\n")
    return [Suspicion.from_json(line) for line in lines if line]


def _labelled_images(images: MatchedImages, suspicions: Sequence[Suspicion]) -> list[LabelledImage]:
    """The images under suspicion, in the order of the strongest one in each."""
    by_image: dict[str, list[Suspicion]] = {}
    for suspicion in suspicions:
        by_image.setdefault(suspicion.image_id, []).append(suspicion)
    place_of = {image.image_id: place for place, image in enumerate(images.images)}
    return [_labelled_image(images, place_of[image_id], about) for image_id, about in by_image.items()]


def _labelled_image(images: MatchedImages, image: int, about: Sequence[Suspicion]) -> LabelledImage:
    truths, facts = images.truths, images.images[image]
    annotated = []
    for row in np.flatnonzero(truths.images == image).tolist():
        ymin, xmin, ymax, xmax = truths.boxes_yxyx_pixels[row].tolist()
        annotated.append(
            LabelledBox(
                (xmin, ymin, xmax, ymax),
                images.class_names[int(truths.classes[row])],
                area_pixels=float(truths.areas_pixels[row]),
                is_crowd=bool(truths.is_crowd[row]),
                # COCO knows no such thing; whoever reads the file otherwise may.
                notes={"difficult": 1} if truths.is_ignored[row] else {},
            )
        )
    proposed = list(annotated)
    for suspicion in about:
        notes: dict[str, Any] = {"suspicion": suspicion.kind, "suspicion_score": suspicion.score}
        if suspicion.place is None:
            box, class_name = _suggested(suspicion)
            proposed.append(LabelledBox(box, class_name, suspicion.found_score, notes=notes))
        elif suspicion.suggested_class is None:
            before = annotated[suspicion.place]
            proposed[suspicion.place] = LabelledBox(
                before.box_xyxy_pixels, before.class_name, area_pixels=before.area_pixels, notes=notes
            )
        else:
            box, class_name = _suggested(suspicion)
            before = annotated[suspicion.place]
            if suspicion.kind == "wrong class":
                box = before.box_xyxy_pixels
            xmin, ymin, xmax, ymax = before.box_xyxy_pixels
            notes["annotated_category"] = before.class_name
            notes["annotated_bbox"] = [round(value, 2) for value in (xmin, ymin, xmax - xmin, ymax - ymin)]
            area = before.area_pixels if suspicion.kind == "wrong class" else None
            proposed[suspicion.place] = LabelledBox(box, class_name, suspicion.found_score, area, notes=notes)
    return LabelledImage(
        facts.file, facts.width_pixels, facts.height_pixels, tuple(proposed), annotated=tuple(annotated)
    )


def _suggested(suspicion: Suspicion) -> tuple[tuple[float, float, float, float], str]:
    box, class_name = suspicion.suggested_box_xyxy_pixels, suspicion.suggested_class
    if box is None or class_name is None:
        raise ValueError(f"a suspicion of the kind {suspicion.kind!r} without a suggested box and class")
    return box, class_name
