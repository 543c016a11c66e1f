"""Which served images are most worth a label, and a folder of them for whoever labels and, afterwards, ExampleGen."""

from __future__ import annotations

import io
import json
import pathlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

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
    ids = {name: number for number, name in enumerate(class_names, start=1)}
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    tasks = []
    for number, image in enumerate(images, start=1):
        encoded, suffix, (width, height) = _upright(image.encoded)
        name = f"{number:05d}.{suffix}"
        (place / name).write_bytes(encoded)
        entries.append({"id": number, "file_name": name, "width": width, "height": height})
        results = []
        for box, label, score in zip(
            image.found.boxes_yxyx_normalized, image.found.class_names, image.found.scores, strict=True
        ):
            ymin, xmin, ymax, xmax = np.clip(box, 0, 1).tolist()
            if score < min_score or label not in ids or ymax <= ymin or xmax <= xmin:
                continue
            bbox = [xmin * width, ymin * height, (xmax - xmin) * width, (ymax - ymin) * height]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": ids[label],
                    "bbox": [round(value, 2) for value in bbox],
                    "area": round(bbox[2] * bbox[3], 2),
                    "iscrowd": 0,
                    "score": round(float(score), 4),
                }
            )
            results.append(_label_studio_box(len(annotations), (xmin, ymin, xmax, ymax), label, (width, height)))
        url = f"/data/local-files/?d={span}/{name}"
        tasks.append({"data": {"image": url}, "predictions": [{"model_version": "served", "result": results}]})
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    coco = {"images": entries, "annotations": annotations, "categories": categories}
    (place / COCO_FILE).write_text(json.dumps(coco, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / LABEL_STUDIO_FILE).write_text(json.dumps(tasks, ensure_ascii=False) + "\n", encoding="utf-8")


def _label_studio_box(
    number: int, box_xyxy_normalized: tuple[float, float, float, float], label: str, size: tuple[int, int]
) -> dict[str, Any]:
    """A box as Label Studio has it: in per cent."""
    xmin, ymin, xmax, ymax = (100 * value for value in box_xyxy_normalized)
    return {
        "id": str(number),
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": size[0],
        "original_height": size[1],
        "value": {
            "x": xmin,
            "y": ymin,
            "width": xmax - xmin,
            "height": ymax - ymin,
            "rotation": 0,
            "rectanglelabels": [label],
        },
    }


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
