"""Street scenes with traffic signs, drawn from a seed: the demo's data set.

    python -m demo.scenes --output DIR --images 700 --seed 0

writes COCO JSON and JPEG files, one folder a split (see `demo.coco_folder`). Each image has `time_of_day`,
`weather` and `sequence` (pictures of one place; a sequence never falls on both sides of a split).
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from demo import coco_folder
from demo.canvas import SUPERSAMPLING, Canvas
from demo.signs import SIGN_CLASSES, draw_sign
from demo.street import Street, distance_of, draw_leaves, draw_street, plan_street
from demo.weather import expose

WIDTH_PIXELS, HEIGHT_PIXELS = 320, 240
PICTURES_PER_SEQUENCE = 4
_SMALLEST, _LARGEST = 0.055, 0.40
"""Diameter of a sign as a share of the image's width; small ones are more frequent, as on the road."""
_LEAST_VISIBLE = 0.55
"""Share of a sign that something in front of it must leave visible; scenes that hide more are drawn again."""
_CONDITIONS = (
    *[("day", "clear")] * 5,
    *[("day", "fog")] * 3,
    *[("day", "rain")] * 3,
    *[("night", "clear")] * 4,
    *[("night", "fog")] * 2,
    *[("night", "rain")] * 3,
)
"""Time of day and weather of successive sequences, shuffled by the seed: every split holds every combination."""


@dataclasses.dataclass(frozen=True)
class _Placed:
    """A sign as placed: its class, and what is needed to draw it. Lengths in canvas pixels."""

    name: str
    x: float
    y: float
    diameter: float
    nearness: float
    ground: float


def render_scene(
    split: str,
    index: int,
    seed: int,
    classes: Sequence[str] = SIGN_CLASSES,
    weather: str | None = None,
    time_of_day: str | None = None,
) -> coco_folder.AnnotatedImage:
    """Draws picture `index` of a split with signs of some classes; the same arguments give the same bytes.

    Another `weather` or `time_of_day` than that of the sequence leaves the scene, its objects and the other of the two
    as they are.
    """
    split_number = coco_folder.SPLITS.index(split)
    sequence = index // PICTURES_PER_SEQUENCE
    order = np.random.default_rng([seed, split_number]).permutation(len(_CONDITIONS))
    usual_time_of_day, usual_weather = _CONDITIONS[order[sequence % len(_CONDITIONS)]]
    time_of_day, weather = time_of_day or usual_time_of_day, weather or usual_weather
    attempt = 0
    while True:
        place = np.random.default_rng([seed, split_number, sequence])
        shot = np.random.default_rng([seed, split_number, sequence, index, attempt])
        canvas = Canvas(WIDTH_PIXELS, HEIGHT_PIXELS)
        street = plan_street(canvas, place, shot)
        draw_street(canvas, street, place, shot)
        objects = _draw_signs(canvas, street, shot, classes)
        if objects is not None:
            break
        attempt += 1
    image = expose(canvas, street.horizon / canvas.height, time_of_day, weather, shot)
    metadata = {"time_of_day": time_of_day, "weather": weather, "sequence": f"{split}-{sequence:03d}"}
    return coco_folder.AnnotatedImage(image, objects, metadata)


def _draw_signs(
    canvas: Canvas, street: Street, shot: np.random.Generator, classes: Sequence[str]
) -> tuple[coco_folder.AnnotatedObject, ...] | None:
    """Draws signs and what stands before them; None when too little of one is left to see."""
    # Far signs first, so that near ones cover them and not the other way round.
    placed = sorted(_place_signs(canvas, street, shot, classes), key=lambda sign: sign.nearness)
    whole_pixels = []
    for number, sign in enumerate(placed, start=1):
        distance = distance_of(sign.nearness)
        grey = int(shot.integers(96, 150))
        canvas.line(
            [(sign.x, sign.y), (sign.x, sign.ground)], (grey, grey, grey + 4), max(2, sign.diameter * 0.08), distance
        )
        turn = float(np.clip(shot.normal(0, 6), -20, 20))
        picture = draw_sign(sign.name, sign.diameter, turn, float(shot.uniform(0.72, 1.0)), shot)
        left, top = round(sign.x - picture.width / 2), round(sign.y - picture.height / 2)
        whole_pixels.append(canvas.paste(picture, left, top, number, distance))
        if shot.random() < 0.3:
            _occlude(canvas, sign, distance, shot)
    objects = []
    for number, (sign, whole) in enumerate(zip(placed, whole_pixels, strict=True), start=1):
        seen = canvas.visible(number)
        if seen is None or seen.area_pixels < _LEAST_VISIBLE * whole:
            return None
        area = seen.area_pixels / SUPERSAMPLING**2
        objects.append(coco_folder.AnnotatedObject(sign.name, seen.box_xyxy_pixels, area))
    return tuple(objects)


def _place_signs(canvas: Canvas, street: Street, shot: np.random.Generator, classes: Sequence[str]) -> list[_Placed]:
    """Chooses signs along the road so that they hardly overlap; three pictures in a hundred have none."""
    if shot.random() < 0.03:
        return []
    placed: list[_Placed] = []
    for _ in range(int(shot.choice([1, 2, 3, 4], p=[0.35, 0.35, 0.2, 0.1]))):
        for _ in range(12):
            sign = _propose_sign(canvas, street, shot, classes)
            apart = [
                max(abs(sign.x - other.x), abs(sign.y - other.y)) > 0.52 * (sign.diameter + other.diameter)
                for other in placed
            ]
            if all(apart):
                placed.append(sign)
                break
    return placed


def _propose_sign(canvas: Canvas, street: Street, shot: np.random.Generator, classes: Sequence[str]) -> _Placed:
    share = _SMALLEST * (_LARGEST / _SMALLEST) ** float(shot.beta(1.7, 1.1))
    diameter = share * canvas.width
    nearness = float(np.clip(share / _LARGEST * shot.uniform(1.0, 1.5), 0.1, 1.3))
    side = -1 if shot.random() < 0.4 else 1
    x = street.edge_x(side, min(nearness, 0.9), float(shot.uniform(0.1, 1.1)))
    ground = street.ground_y(nearness, canvas.height)
    y = ground - diameter * shot.uniform(1.8, 3.4)
    # Inside the picture, save that one in eight is cut by its edge a little.
    margin = diameter * (0.3 if shot.random() < 0.125 else 0.55)
    if not margin < x < canvas.width - margin:
        x = shot.uniform(margin, canvas.width - margin)
    y = float(np.clip(y, margin, canvas.height - margin))
    name = str(shot.choice(classes))
    return _Placed(name, float(x), y, diameter, nearness, max(ground, y + diameter))


def _occlude(canvas: Canvas, sign: _Placed, distance: float, shot: np.random.Generator) -> None:
    """Puts a post or a branch with leaves before a sign."""
    if shot.random() < 0.45:
        x = sign.x + sign.diameter * shot.uniform(-0.4, 0.4)
        grey = int(shot.integers(50, 110))
        canvas.line(
            [(x, 0), (x, canvas.height)], (grey, grey, grey), sign.diameter * shot.uniform(0.06, 0.16), distance
        )
        return
    angle = shot.uniform(0, 2 * np.pi)
    x = sign.x + sign.diameter * 0.55 * np.cos(angle)
    y = sign.y + sign.diameter * 0.55 * np.sin(angle)
    twig = [(x, y), (x + sign.diameter * 1.2 * np.cos(angle), y + sign.diameter * 0.8 * np.sin(angle))]
    canvas.line(twig, (82, 62, 46), max(1.0, sign.diameter * 0.04), distance)
    draw_leaves(canvas, x, y, sign.diameter * shot.uniform(0.25, 0.42), distance, 22, shot)


def write_scenes(output: pathlib.Path, images: int, seed: int, workers: int | None = None) -> bool:
    """Writes the data set; one image in seven is for evaluation.

    Args:
      output: folder to make; see `coco_folder.write` for when it may exist.
      images: how many in all, at least 2.
      seed: chooses everything.
      workers: processes, one a core when None.

    Returns:
      Whether anything was written: False when the folder already holds exactly this data set.

    Raises:
      coco_folder.OutputError: the folder holds something else.
    """
    evaluation = max(1, round(images / 7))
    counts = {"train": images - evaluation, "eval": evaluation}
    return coco_folder.write(output, SIGN_CLASSES, counts, render_scene, seed, workers)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.scenes", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder to write")
    parser.add_argument("--images", type=int, default=700, help="how many in all, one in seven for evaluation")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes")
    parser.add_argument("--workers", type=int, default=None, help="processes; one a core when not given")
    options = parser.parse_args(arguments)
    if options.images < 2:
        parser.error(f"argument --images: must be at least 2 (one to train, one to evaluate), found {options.images}")
    try:
        written = write_scenes(options.output, options.images, options.seed, options.workers)
    except coco_folder.OutputError as error:
        raise SystemExit(f"error: {error}") from error
    print(f"{options.output}: {options.images} street scenes {'written' if written else 'are there already'}")


if __name__ == "__main__":
    main()
