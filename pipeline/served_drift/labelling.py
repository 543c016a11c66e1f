"""Which served images are most worth a label, and a folder of them for whoever labels and, afterwards, ExampleGen."""

from __future__ import annotations

import io
import json
import pathlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from components.labelling_files import LabelledBox, LabelledImage, coco_document, label_studio_tasks
from components.user_error import UserError
from pipeline.served_drift.estimated_ap import Calibration, agreement
from pipeline.served_drift.seen_images import Found, SeenImage

Floats = npt.NDArray[np.float64]
COCO_FILE: Final = "annotations.json"
LABEL_STUDIO_FILE: Final = "label_studio.json"
_DRAWN_FROM: Final = 4
"""The most uncertain so many times as are wanted, of which the most different ones are taken."""
_THUMBNAIL: Final = 8


def choose(
    images: Sequence[SeenImage],
    calibration: Calibration,
    embeddings: Floats | None,
    previous: Sequence[Found] | None,
    most: int,
) -> list[int]:
    """Positions of the images most worth a label, the best first.

    Uncertain ones first: how many detections are as likely right as wrong (entropy of their calibrated scores), and
    where the version before sees something else. Of those the ones that differ most from each other: farthest-first
    traversal (Gonzalez 1985; as core sets, Sener and Savarese 2018), on embeddings or, without, on thumbnails.
    """
    entropies = [_entropy(calibration.probabilities(image.found.scores)) for image in images]
    ranks = _ranks(entropies)
    if previous is not None:
        apart = [1 - np.nan_to_num(agreement([a.found], [b]), nan=1.0) for a, b in zip(images, previous, strict=True)]
        ranks = ranks + _ranks(apart)
    candidates = np.argsort(-ranks, kind="stable")[: _DRAWN_FROM * most]
    places = (
        np.stack([_thumbnail(images[i].encoded) for i in candidates]) if embeddings is None else embeddings[candidates]
    )
    chosen = [0]
    nearest = np.linalg.norm(places - places[0], axis=-1)  # [candidates]
    while len(chosen) < min(most, len(candidates)):
        # What is as it is twice gets no second label.
        farthest = int(nearest.argmax())
        if nearest[farthest] == 0:
            break
        chosen.append(farthest)
        nearest = np.minimum(nearest, np.linalg.norm(places - places[farthest], axis=-1))
    return [int(candidates[i]) for i in chosen]


def write(
    folder: pathlib.Path, images: Sequence[SeenImage], class_names: Sequence[str], min_score: float, span: str
) -> None:
    """Writes images and what the model found in them, to be corrected.

    `FOLDER/SPAN/` holds the images and ``annotations.json``, COCO: a data folder that ExampleGen reads as it is.
    `FOLDER/label_studio.json` is to be imported into Label Studio, which serves the images from `FOLDER/SPAN`
    (LOCAL_FILES_DOCUMENT_ROOT is FOLDER). Category ids are those of ``class_names``, from 1.

    Raises:
      UserError: `FOLDER/SPAN` is there already: somebody may have corrected what is in it.
    """
    place = folder / span
    if place.exists():
        raise UserError(f"{place}: is there already, and perhaps corrected by hand; give another --span or --output")
    place.mkdir(parents=True)
    labelled = []
    for number, image in enumerate(images, start=1):
        encoded, suffix, (width, height) = _upright(image.encoded)
        name = f"{number:05d}.{suffix}"
        (place / name).write_bytes(encoded)
        boxes = []
        for box, label, score in zip(
            image.found.boxes_yxyx_normalized, image.found.class_names, image.found.scores, strict=True
        ):
            ymin, xmin, ymax, xmax = np.clip(box, 0, 1).tolist()
            if score < min_score or label not in class_names or ymax <= ymin or xmax <= xmin:
                continue
            pixels = (xmin * width, ymin * height, xmax * width, ymax * height)
            boxes.append(LabelledBox(pixels, label, float(score)))
        labelled.append(LabelledImage(name, width, height, tuple(boxes)))
    for path, content in (
        (place / COCO_FILE, coco_document(labelled, class_names)),
        (folder / LABEL_STUDIO_FILE, label_studio_tasks(labelled, "served", span)),
    ):
        path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


def _upright(encoded: bytes) -> tuple[bytes, str, tuple[int, int]]:
    """A JPEG or PNG file whose pixels are upright, what it is, and its (width, height): tools differ about EXIF."""
    with Image.open(io.BytesIO(encoded)) as image:
        turned = ImageOps.exif_transpose(image)
        if image.format in ("JPEG", "PNG") and turned.size == image.size and image.getexif().get(0x0112, 1) == 1:
            return encoded, {"JPEG": "jpg", "PNG": "png"}[image.format], image.size
        buffer = io.BytesIO()
        turned.convert("RGB").save(buffer, "PNG")
    return buffer.getvalue(), "png", turned.size


def _entropy(probabilities: Floats) -> float:
    """Sum of the binary entropies, in bits."""
    inside = np.clip(probabilities, 1e-9, 1 - 1e-9)
    return float(-(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside)).sum())


def _ranks(values: Sequence[float]) -> Floats:
    """Place of each, 0..1, the largest 1; equals share one."""
    _, places = np.unique(values, return_inverse=True)
    return np.asarray(places, np.float64) / max(1, places.max(initial=0))


def _thumbnail(encoded: bytes) -> Floats:
    with Image.open(io.BytesIO(encoded)) as image:
        small = ImageOps.exif_transpose(image).convert("L").resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small, np.float64).ravel()
