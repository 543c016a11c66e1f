"""A generated data set as a folder of JPEG files and COCO JSON, written by several processes, all of it or nothing.

OUTPUT/dataset.manifest                      what was asked for; written last, so that it marks a complete folder
OUTPUT/train/_annotations.coco.json      images, annotations, categories
OUTPUT/train/00000.jpg ...
OUTPUT/eval/...
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import json
import multiprocessing
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from PIL import Image

SPLITS: Final = ("train", "eval")
ANNOTATIONS: Final = "_annotations.coco.json"
_MANIFEST: Final = "dataset.manifest"
_GENERATOR_VERSION: Final = 2
"""Raised when the same seed no longer gives the same bytes, so that older folders are made again."""


class OutputError(ValueError):
    """The output folder cannot be used; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class AnnotatedObject:
    """One object: class name, visible extent (xmin, ymin, xmax, ymax) in pixels, visible area in square pixels."""

    name: str
    box_xyxy_pixels: tuple[float, float, float, float]
    area_pixels: float


@dataclasses.dataclass(frozen=True)
class AnnotatedImage:
    """One picture with its objects and further per-image fields."""

    image: Image.Image
    objects: tuple[AnnotatedObject, ...]
    metadata: Mapping[str, str]


Render = Callable[[str, int, int], AnnotatedImage]
"""(split, index, seed) -> picture; a module-level function, because other processes call it."""


def write(
    output: pathlib.Path,
    classes: Sequence[str],
    counts: Mapping[str, int],
    render: Render,
    seed: int,
    workers: int | None = None,
) -> bool:
    """Writes a data set under a temporary name and renames it when it is complete.

    Args:
      output: folder to make. One that holds the same data set is left alone; one that holds another data set made by
        this function is replaced.
      classes: class names; category ids are 1, 2, 3, ... in this order.
      counts: images by split.
      render: draws one picture.
      seed: handed to `render`.
      workers: processes, one a core when None.

    Returns:
      Whether anything was written.

    Raises:
      OutputError: `output` is a file, or a folder that was not made by this function.
    """
    manifest = {
        "generator": f"{render.__module__}.{render.__qualname__}",
        "version": _GENERATOR_VERSION,
        "seed": seed,
        "images": dict(counts),
        "classes": list(classes),
    }
    if _found(output) == manifest:
        return False
    output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = output.with_name(f".{output.name}.unfinished-{os.getpid()}")
    try:
        for split in counts:
            (unfinished / split).mkdir(parents=True)
        jobs = [(split, index) for split, count in counts.items() for index in range(count)]
        draw = functools.partial(_draw, unfinished, render, seed)
        # Processes are spawned: a fork of a process that runs TensorFlow's threads may hang.
        processes = min(workers or os.cpu_count() or 1, len(jobs))
        if processes == 1:
            drawn = [draw(job) for job in jobs]
        else:
            context = multiprocessing.get_context("spawn")
            with concurrent.futures.ProcessPoolExecutor(processes, mp_context=context) as pool:
                drawn = list(pool.map(draw, jobs, chunksize=16))
        for split in counts:
            entries = [entry for (job_split, _), entry in zip(jobs, drawn, strict=True) if job_split == split]
            text = json.dumps(_coco(entries, classes), indent=1)
            (unfinished / split / ANNOTATIONS).write_text(text, encoding="utf-8")
        (unfinished / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        if output.exists():
            shutil.rmtree(output)
        unfinished.rename(output)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return True


def _found(output: pathlib.Path) -> Any:
    """The manifest of what `output` holds, None when it is missing or an empty folder."""
    if not output.exists():
        return None
    if not output.is_dir():
        raise OutputError(f"{output}: is a file; expected a folder to write generated images into")
    if not any(output.iterdir()):
        return None
    try:
        manifest = json.loads((output / _MANIFEST).read_text(encoding="utf-8"))
        made_here = isinstance(manifest, dict) and "generator" in manifest
    except (OSError, ValueError):
        made_here = False
    if not made_here:
        raise OutputError(
            f"{output}: holds files that were not generated here; choose another folder or empty this one"
        )
    return manifest


def _draw(folder: pathlib.Path, render: Render, seed: int, job: tuple[str, int]) -> dict[str, Any]:
    """Draws and saves one picture, and returns its COCO fields with the objects under `objects`."""
    split, index = job
    picture = render(split, index, seed)
    name = f"{index:05d}.jpg"
    picture.image.save(folder / split / name, quality=88)
    return {
        "file_name": name,
        "width": picture.image.width,
        "height": picture.image.height,
        **picture.metadata,
        "objects": picture.objects,
    }


def _coco(entries: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, entry in enumerate(entries, start=1):
        images.append({"id": image_id, **{key: value for key, value in entry.items() if key != "objects"}})
        for item in entry["objects"]:
            xmin, ymin, xmax, ymax = item.box_xyxy_pixels
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": classes.index(item.name) + 1,
                    "bbox": [float(xmin), float(ymin), float(xmax - xmin), float(ymax - ymin)],
                    "area": float(item.area_pixels),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}
