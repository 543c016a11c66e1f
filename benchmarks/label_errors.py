"""Wrong annotations found again: street scenes in which one box in ten was removed, moved or renamed.

    python -m benchmarks.label_errors [--images 200] [--steps 400] [--seed 1]

The demo's detector learns from other scenes whose annotations are as bad, and then looks at the reviewed ones. A flag
is right when one of its boxes lies (IoU 0.5) on a planted error, as it was or as it is annotated. Against: annotations
and unmatched detections by their loss (-log of the score of the best detection of the class on the object, and 1 - IoU;
for a detection without an object -log of 1 - score), and annotations in any order, which finds nothing that is missing.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from pipeline.tensorflow_environment import prepare_tensorflow

if TYPE_CHECKING:
    from components.evaluator.matched_images import MatchedImages
    from demo.glyphs import GlyphImage

Floats = npt.NDArray[np.float64]
Damage = Literal["removed", "moved", "renamed"]
DAMAGES: Final[tuple[Damage, ...]] = ("removed", "moved", "renamed")
SHARE: Final = 0.1
"""Of the boxes of each set of scenes."""
FIRST: Final = 50
_TRAINED_SCENES: Final = 600
_SIDE_PIXELS: Final = 224
_BATCH: Final = 16
_MOVED_IOU: Final = (0.2, 0.6)
"""Between a box and where it is moved to."""
_HIT_IOU: Final = 0.5


@dataclasses.dataclass(frozen=True)
class PlantedError:
    """One annotation that was made wrong.

    Attributes:
      damage: what was done.
      image: its number.
      boxes_yxyx_normalized: float64 [1 or 2, 4], where the object is, and where it is annotated.
    """

    damage: Damage
    image: int
    boxes_yxyx_normalized: Floats


@dataclasses.dataclass(frozen=True)
class Flag:
    """One place that a person is sent to.

    Attributes:
      image: its number.
      boxes_yxyx_normalized: float64 [N, 4], what the person is shown.
    """

    image: int
    boxes_yxyx_normalized: Floats


def plant(
    pictures: Sequence[GlyphImage], num_classes: int, random: np.random.Generator
) -> tuple[list[GlyphImage], list[PlantedError]]:
    """Pictures with ``SHARE`` of their boxes made wrong, a third of those in each way, and what was made wrong."""
    places = [(image, box) for image, picture in enumerate(pictures) for box in range(len(picture.classes))]
    chosen = random.permutation(len(places))[: round(SHARE * len(places))]
    damages = {places[place]: DAMAGES[number % len(DAMAGES)] for number, place in enumerate(chosen.tolist())}
    damaged, errors = [], []
    for image, picture in enumerate(pictures):
        boxes, classes = picture.boxes_yxyx_normalized.copy(), picture.classes.copy()
        kept = np.ones(len(classes), np.bool_)
        for box in range(len(classes)):
            damage = damages.get((image, box))
            if damage is None:
                continue
            seen = [boxes[box].astype(np.float64)]
            if damage == "removed":
                kept[box] = False
            elif damage == "moved":
                boxes[box] = moved(boxes[box], random)
                seen.append(boxes[box].astype(np.float64))
            else:
                classes[box] = (classes[box] + random.integers(1, num_classes)) % num_classes
            errors.append(PlantedError(damage, image, np.stack(seen)))
        damaged.append(picture._replace(boxes_yxyx_normalized=boxes[kept], classes=classes[kept]))
    return damaged, errors


def moved(box_yxyx_normalized: npt.NDArray[np.float32], random: np.random.Generator) -> npt.NDArray[np.float32]:
    """A box inside the picture, of another place and size, with an IoU in ``_MOVED_IOU`` to the one given."""
    sides = box_yxyx_normalized[2:] - box_yxyx_normalized[:2]
    while True:
        middle = box_yxyx_normalized[:2] + sides / 2 + random.uniform(-0.6, 0.6, 2) * sides
        half = sides * random.uniform(0.7, 1.4, 2) / 2
        box = np.clip(np.concatenate([middle - half, middle + half]), 0, 1).astype(np.float32)
        if _MOVED_IOU[0] <= ious(box[None], box_yxyx_normalized[None])[0, 0] <= _MOVED_IOU[1]:
            return box


def ious(boxes_yxyx: npt.NDArray[np.floating], others_yxyx: npt.NDArray[np.floating]) -> Floats:
    """Float [N, 4] and [M, 4] -> float64 [N, M]."""
    one, two = boxes_yxyx[:, None].astype(np.float64), others_yxyx[None].astype(np.float64)
    sides = np.maximum(np.minimum(one[..., 2:], two[..., 2:]) - np.maximum(one[..., :2], two[..., :2]), 0)
    shared = sides.prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(axis=-1) for boxes in (one, two)]
    return np.asarray(shared / np.maximum(areas[0] + areas[1] - shared, 1e-12))


def draw(count: int, seed: int, split: str) -> list[GlyphImage]:
    """Scenes as the detector takes them: square, boxes in 0..1."""
    from PIL import Image

    from demo.glyphs import GlyphImage
    from demo.scenes import render_scene
    from demo.signs import SIGN_CLASSES

    pictures = []
    for index in range(count):
        scene = render_scene(split, index, seed)
        width, height = scene.image.size
        boxes = [
            (y0 / height, x0 / width, y1 / height, x1 / width)
            for x0, y0, x1, y1 in (item.box_xyxy_pixels for item in scene.objects)
        ]
        square = scene.image.convert("RGB").resize((_SIDE_PIXELS, _SIDE_PIXELS), Image.Resampling.BILINEAR)
        pictures.append(
            GlyphImage(
                np.asarray(square, np.uint8),
                np.array(boxes, np.float32).reshape(-1, 4),
                np.array([SIGN_CLASSES.index(item.name) for item in scene.objects], np.int32),
            )
        )
    return pictures


def detected(trained: Sequence[GlyphImage], reviewed: Sequence[GlyphImage], steps: int, seed: int) -> MatchedImages:
    """The demo's detector learns from some pictures and looks at others."""
    import keras

    from components.detector.registry import build_detector
    from components.detector.structures import Preprocessed
    from components.detector.weights import zoo
    from components.evaluator.matched_images import ImageFacts, join_images, match_image
    from components.trainer.evaluation import image_results
    from components.trainer.optimizer import make_optimizer
    from components.trainer.settings import OptimizerSettings
    from components.trainer.strategies.supervised import detection_losses
    from components.trainer.train_step import TrainStep
    from demo.glyph_batches import evaluation_batches, training_batches
    from demo.pretrain import CHECKPOINT
    from demo.signs import SIGN_CLASSES

    keras.utils.set_random_seed(seed + 1)
    detector = build_detector(
        "ssd_mobilenet_v2_fpnlite",
        num_classes=len(SIGN_CLASSES),
        image_size=(_SIDE_PIXELS, _SIDE_PIXELS),
        alpha=0.35,
        fpn_depth=64,
        anchor_scale=2.0,
    )
    zoo.restore(detector, str(CHECKPOINT))
    batches = training_batches(trained, _BATCH, seed, mirror=False)
    settings = OptimizerSettings.model_validate({"name": "adam", "learning_rate": 4e-3, "schedule": "cosine"})
    optimizer = make_optimizer(settings, detector.trainable_variables, steps=steps, default_name="adam")
    step = TrainStep(detection_losses(detector), detector.trainable_variables, optimizer, batches.element_spec)
    for number, batch in enumerate(batches.take(steps), start=1):
        step(batch)
        if number % 40 == 0:
            print(f"step {number}: {step.mean_losses()}", file=sys.stderr)
    images = []
    for batch in evaluation_batches(reviewed, _BATCH):
        found = detector.detect(Preprocessed(detector.normalize(batch.images), batch.valid_height_width))
        for result in image_results(found, batch):
            name = f"{len(images):05d}"
            facts = ImageFacts(name, f"{name}.jpg", _SIDE_PIXELS, _SIDE_PIXELS, {}, name)
            images.append(match_image(facts, SIGN_CLASSES, {"candidate": result}))
    return join_images(images, "candidate", None, None)


def suspected(images: MatchedImages) -> list[tuple[str, Flag]]:
    """What the label review flags, the strongest first, with the kind."""
    from components.evaluator.label_review.suspicions import suspicions

    flags = []
    for one in suspicions(images):
        boxes = [box for box in (one.box_xyxy_pixels, one.suggested_box_xyxy_pixels) if box is not None]
        yxyx = np.array(boxes)[:, [1, 0, 3, 2]] / _SIDE_PIXELS
        flags.append((one.kind, Flag(int(one.image_id), yxyx)))
    return flags


def by_loss(images: MatchedImages) -> list[Flag]:
    """Annotations and detections that nothing is annotated for, the highest loss first."""
    truths, found = images.truths, images.candidate
    scored = []
    for image in range(len(images.images)):
        there, seen = np.flatnonzero(truths.images == image), np.flatnonzero(found.images == image)
        overlap = ious(truths.boxes_yxyx_pixels[there], found.boxes_yxyx_pixels[seen])  # [G, N]
        same = truths.classes[there][:, None] == found.classes[seen][None]
        fits = np.where(same & (overlap >= _HIT_IOU), found.scores[seen][None], 0.0)  # [G, N]
        for row, truth in enumerate(there.tolist()):
            best = int(fits[row].argmax()) if len(seen) else -1
            score, iou = (float(fits[row, best]), float(overlap[row, best])) if len(seen) else (0.0, 0.0)
            loss = -np.log(max(score, 1e-3)) + 1 - (iou if score else 0.0)
            scored.append((loss, Flag(image, truths.boxes_yxyx_pixels[truth][None] / _SIDE_PIXELS)))
        for column, row in enumerate(seen.tolist()):
            if not (same & (overlap >= _HIT_IOU))[:, column].any():
                loss = -np.log(max(1 - found.scores[row], 1e-3))
                scored.append((loss, Flag(image, found.boxes_yxyx_pixels[row][None] / _SIDE_PIXELS)))
    return [flag for _, flag in sorted(scored, key=lambda one: -one[0])]


def in_any_order(images: MatchedImages, random: np.random.Generator) -> list[Flag]:
    """Annotations, shuffled."""
    truths = images.truths
    return [
        Flag(int(truths.images[row]), truths.boxes_yxyx_pixels[row][None] / _SIDE_PIXELS)
        for row in random.permutation(len(truths.images))
    ]


def hits(flags: Sequence[Flag], errors: Sequence[PlantedError]) -> list[set[int]]:
    """Which planted errors each flag points at."""
    by_image: dict[int, list[int]] = {}
    for number, error in enumerate(errors):
        by_image.setdefault(error.image, []).append(number)
    return [
        {
            number
            for number in by_image.get(flag.image, ())
            if (ious(flag.boxes_yxyx_normalized, errors[number].boxes_yxyx_normalized) >= _HIT_IOU).any()
        }
        for flag in flags
    ]


def row(name: str, flags: Sequence[Flag], errors: Sequence[PlantedError]) -> str:
    """One line of the table: precision of the first flags, recall of every damage within as many as were planted."""
    pointed = hits(flags, errors)
    first = pointed[:FIRST]
    found = set().union(*pointed[: len(errors)])
    precision = sum(bool(one) for one in first) / max(len(first), 1)
    recalls = []
    for damages in (DAMAGES, *((damage,) for damage in DAMAGES)):
        planted = {number for number, error in enumerate(errors) if error.damage in damages}
        recalls.append(len(planted & found) / max(len(planted), 1))
    return f"| {name} | {precision:.2f} | {' | '.join(f'{recall:.2f}' for recall in recalls)} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_errors", description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200, help="reviewed (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=400, help=f"of {_BATCH} images (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="0 is the one that the rules were made with")
    options = parser.parse_args(argv)
    prepare_tensorflow()
    started = time.process_time()
    from demo.signs import SIGN_CLASSES

    random = np.random.default_rng(options.seed)
    trained, _ = plant(draw(_TRAINED_SCENES, options.seed, "train"), len(SIGN_CLASSES), random)
    reviewed, errors = plant(draw(options.images, options.seed, "eval"), len(SIGN_CLASSES), random)
    images = detected(trained, reviewed, options.steps, options.seed)
    flags = suspected(images)
    average_precision = images.metrics(images.candidate)["AP50"]
    counts = ", ".join(f"{sum(error.damage == damage for error in errors)} {damage}" for damage in DAMAGES)
    print(
        f"{options.images} scenes, {len(images.truths.images)} annotated boxes, {len(errors)} errors planted "
        f"({counts}); a detector of AP50 {average_precision:.2f} on these annotations, from {options.steps} steps of "
        f"{_BATCH} of {_TRAINED_SCENES} other scenes that are as bad; {time.process_time() - started:.0f} s of CPU. "
        f"Recall is that of the first {len(errors)}.\n"
    )
    print(f"| order | precision of the first {FIRST} | recall | {' | '.join(DAMAGES)} |")
    print("|---|---:|---:|---:|---:|---:|")
    print(row("label review", [flag for _, flag in flags], errors))
    print(row("by loss", by_loss(images), errors))
    print(row("any order of annotations", in_any_order(images, random), errors))
    pointed = hits([flag for _, flag in flags], errors)
    print("\n| what the label review says | of the first | of them right |")
    print("|---|---:|---:|")
    for kind in dict.fromkeys(kind for kind, _ in flags):
        mine = [bool(hit) for (of, _), hit in list(zip(flags, pointed, strict=True))[: len(errors)] if of == kind]
        print(f"| {kind} | {len(mine)} | {sum(mine)} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
