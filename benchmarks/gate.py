"""Whether the gate is as sure as it says: by simulation, with detectors whose true AP is known.

    python -m benchmarks.gate [--trials 1000]

Detectors are made up: what is hard in an image and in an object is hard for both models; each misses objects, draws
boxes beside them, and takes ground for objects, by its quality. AP on 20 000 such images is taken for the true one.
Each trial draws images from those, lets ``judge`` compare two models on them, and looks whether what it says is true.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence

import numpy as np

from components.evaluator.bootstrap import Quantity, Resamples, SliceResamples, interval
from components.evaluator.check import Status
from components.evaluator.coco_matching import ImageResult
from components.evaluator.judge import judge
from components.evaluator.matched_images import ImageFacts, MatchedImages, join_images, match_image
from components.evaluator.settings import EvalSettings

POPULATION = 20_000
SIZES = (50, 100, 200, 500, 1000)
CLASS_NAMES = ("bus", "car", "sign")
CLASS_SHARES = (0.3, 0.6, 0.1)
RESAMPLES = 500
"""Fewer than the gate draws by itself: the trials are many."""
TRUE_DROP = 0.03
ALLOWED_DROPS = (0.0, 0.02)
_OBJECTS_PER_IMAGE = 5.0
_ALARMS_PER_IMAGE = 4.0


@dataclasses.dataclass(frozen=True)
class Scene:
    """What an image has, before any model looks: objects, and how hard they are."""

    boxes_yxyx: np.ndarray  # [G, 4]
    classes: np.ndarray  # [G]
    hard_image: float
    hard_objects: np.ndarray  # [G]


def made_scene(random: np.random.Generator) -> Scene:
    """A random scene of 550 x 550 pixels."""
    count = int(random.poisson(_OBJECTS_PER_IMAGE))
    corner, size = random.uniform(0, 400, (count, 2)), random.uniform(20, 150, (count, 2))
    classes = random.choice(len(CLASS_NAMES), count, p=CLASS_SHARES)
    return Scene(np.concatenate([corner, corner + size], axis=1), classes, random.normal(), random.normal(size=count))


def looked_at(scene: Scene, quality: float, random: np.random.Generator) -> ImageResult:
    """What a model of a quality (0 is ordinary, negative is worse) finds in a scene."""
    hard = 0.7 * scene.hard_image + 0.9 * scene.hard_objects + random.normal(0, 0.5, len(scene.classes))  # [G]
    is_found = random.random(len(scene.classes)) > 1 / (1 + np.exp(1.6 + 8 * quality - hard))
    sides = np.tile(scene.boxes_yxyx[:, 2:] - scene.boxes_yxyx[:, :2], 2)  # [G, 4]
    spread = 0.045 * np.exp(0.3 * scene.hard_image + 0.3 * scene.hard_objects - 2 * quality)  # [G]
    found = (scene.boxes_yxyx + random.normal(size=sides.shape) * spread[:, None] * sides)[is_found]
    alarms = int(random.poisson(_ALARMS_PER_IMAGE * np.exp(0.4 * scene.hard_image)))
    corner = random.uniform(0, 400, (alarms, 2))
    ground = np.concatenate([corner, corner + random.uniform(20, 150, (alarms, 2))], axis=1)
    noise = random.normal(0, 0.8, len(scene.classes))
    sure = 1 / (1 + np.exp(-(1.5 - 0.8 * scene.hard_image - 0.8 * scene.hard_objects + noise)))
    return ImageResult.from_normalized(
        height_pixels=1,
        width_pixels=1,
        detection_boxes_yxyx_normalized=np.concatenate([found, ground]),
        detection_scores=np.concatenate([sure[is_found], random.beta(1, 3, alarms)]),
        detection_classes=np.concatenate(
            [scene.classes[is_found], random.choice(len(CLASS_NAMES), alarms, p=CLASS_SHARES)]
        ),
        truth_boxes_yxyx_normalized=scene.boxes_yxyx,
        truth_classes=scene.classes,
    )


def made_population(count: int, quality: float, seed: int = 0) -> MatchedImages:
    """Images that a candidate of the given quality and an ordinary baseline looked at."""
    random = np.random.default_rng(seed)
    images = []
    for number in range(count):
        scene = made_scene(random)
        results = {"candidate": looked_at(scene, quality, random), "baseline": looked_at(scene, 0.0, random)}
        name = f"{number:06}"
        images.append(match_image(ImageFacts(name, name, 550, 550, {}, name), CLASS_NAMES, results))
    return join_images(images, "candidate", "baseline", CLASS_NAMES)


def metrics_of(images: MatchedImages) -> tuple[dict[str, float], dict[str, float]]:
    """Candidate's and baseline's."""
    assert images.baseline is not None
    return images.metrics(images.candidate, ()), images.metrics(images.baseline, ())


def quality_that_loses(drop: float) -> float:
    """The quality whose AP is that much below an ordinary model's, by bisection."""
    low, high = -0.2, 0.0
    for _ in range(6):
        middle = (low + high) / 2
        candidate, baseline = metrics_of(made_population(3000, middle, seed=1))
        low, high = (middle, high) if baseline["AP"] - candidate["AP"] > drop else (low, middle)
    return (low + high) / 2


def _share(flags: Sequence[bool]) -> str:
    return f"{np.mean(flags):.3f}"


def coverage_row(population: MatchedImages, size: int, trials: int, random: np.random.Generator) -> str:
    """How often the interval holds the true value."""
    every = tuple(range(len(CLASS_NAMES)))
    quantities = [Quantity("AP", every), Quantity("AP50", every)]
    candidate, baseline = metrics_of(population)
    truths = [candidate["AP"], candidate["AP50"], baseline["AP"] - candidate["AP"]]
    held: list[list[bool]] = [[], [], []]
    for _ in range(trials):
        sample = population.select(_drawn(size, random))
        resamples = Resamples(sample, RESAMPLES)
        ours, theirs = resamples.values(quantities)
        for truth, values, flags in zip(truths, (ours[0], ours[1], theirs[0] - ours[0]), held, strict=True):
            low, high = interval(values, resamples.num_clusters, 0.95) or (-1.0, 1.0)
            flags.append(low <= truth <= high)
    return f"| {size} | {' | '.join(_share(flags) for flags in held)} |"


def answer_row(name: str, population: MatchedImages, size: int, trials: int, random: np.random.Generator) -> str:
    """What the gate says of a candidate when nothing may be lost, and when two points may."""
    candidate, baseline = metrics_of(population)
    answers: list[list[Status]] = [[] for _ in ALLOWED_DROPS]
    for _ in range(trials):
        drawn = SliceResamples(population.select(_drawn(size, random)), RESAMPLES)
        for allowed, said in zip(ALLOWED_DROPS, answers, strict=True):
            gates = {"minimum": {}, "max_drop": {"AP": {"absolute": allowed}}, "resamples": RESAMPLES}
            settings = EvalSettings.model_validate({"slices": [], "gates": gates})
            said.append(judge(drawn.images, settings, drawn=drawn).checks[0].status)
    every: tuple[Status, ...] = ("met", "cannot tell", "not met")
    cells = [_share([answer == status for answer in said]) for said in answers for status in every]
    return f"| {name} ({baseline['AP'] - candidate['AP']:.3f}) | {size} | {' | '.join(cells)} |"


def _drawn(size: int, random: np.random.Generator) -> np.ndarray:
    chosen = np.zeros(POPULATION, np.bool_)
    chosen[random.choice(POPULATION, size, replace=False)] = True
    return chosen


def cost_row(num_images: int, num_classes: int) -> str:
    """CPU seconds of one verdict on AP with the 2000 resamples that the gate draws by itself."""
    from benchmarks.metric import make_results

    names = tuple(f"{index:02}" for index in range(num_classes))
    matched = []
    for number, result in enumerate(make_results(num_images, num_classes)):
        facts = ImageFacts(f"{number:06}", "", 640, 640, {}, f"{number:06}")
        matched.append(match_image(facts, names, dict.fromkeys(("candidate", "baseline"), result)))
    images = join_images(matched, "candidate", "baseline", names)
    settings = EvalSettings.model_validate({"gates": {"minimum": {"AP": 0.5}, "max_drop": {"AP": {"absolute": 0.02}}}})
    start = time.process_time()
    judge(images, settings)
    return f"| {num_images} | {num_classes} | {time.process_time() - start:.2f} |"


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000, help="sets of images that are drawn for each row")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="images in a set")
    arguments = parser.parse_args()
    random = np.random.default_rng(7)
    alike = made_population(POPULATION, 0.0)
    worse = made_population(POPULATION, quality_that_loses(TRUE_DROP))
    print(f"Share of {arguments.trials} sets of images whose 95 % interval holds the true value:\n", flush=True)
    print("| images | AP | AP50 | difference of AP |\n| ---: | ---: | ---: | ---: |")
    for size in arguments.sizes:
        print(coverage_row(alike, size, arguments.trials, random), flush=True)
    print(
        "\nAnswers about the AP of a candidate (true drop in brackets) beside the baseline's, as shares of the sets:\n"
    )
    print(
        "| candidate | images | none allowed: met | cannot tell | not met | 0.02 allowed: met | cannot tell | not met |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, population in (("as good", alike), ("worse", worse)):
        for size in arguments.sizes:
            print(answer_row(name, population, size, arguments.trials, random), flush=True)
    print("\nCPU seconds of a verdict (a floor and a drop of AP, two models, 2000 resamples):\n")
    print("| images | classes | CPU seconds |\n| ---: | ---: | ---: |")
    for num_images, num_classes in ((200, 3), (1000, 3), (1000, 20), (1000, 80), (5000, 80)):
        print(cost_row(num_images, num_classes), flush=True)


if __name__ == "__main__":
    main()
