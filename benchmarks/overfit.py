"""Every detector, in a tiny configuration, learns eight pictures by heart: AP50 on those pictures.

    python -m benchmarks.overfit [CASE ...]

Whatever is wrong in anchors, targets, losses, box coding or post-processing keeps a detector from this. All weights
start at random; the pictures are glyphs (`demo.glyphs`). Exit status 1 when one stays below 0.9.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.tensorflow_environment import prepare_tensorflow

PICTURES: Final = 8
LEAST_AP50: Final = 0.9
_EVALUATE_EVERY: Final = 50


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table."""

    detector: str
    options: Mapping[str, Any]
    optimizer: Mapping[str, Any] = dataclasses.field(default_factory=lambda: {"learning_rate": 4e-3})
    side_pixels: int = 128
    most_steps: int = 400


# Regions are proposed on a grid of 16 pixels: larger pictures than for the others, and anchors as small as the glyphs.
_TWO_STAGES: Final = {"optimizer": {"learning_rate": 0.08}, "side_pixels": 256}
_TINY_FASTER_RCNN: Final = {
    "width": 0.25,
    "smallest_anchor_pixels": 16.0,
    "proposal_depth": 64,
    "max_proposals": 64,
    "proposals_per_step": 32,
    "batch_norm_momentum": 0.9,
}
CASES: Final = (
    Case("ssd_mobilenet_v2", {"alpha": 0.35, "batch_norm_momentum": 0.9}),
    Case("ssd_mobilenet_v2_fpnlite", {"alpha": 0.35, "fpn_depth": 32, "anchor_scale": 2.0, "batch_norm_momentum": 0.9}),
    Case("efficientdet_d0", {"batch_norm_momentum": 0.9, "drop_connect_rate": 0.0}),
    Case("faster_rcnn_resnet50", {**_TINY_FASTER_RCNN, "blocks": (1, 1, 1, 1)}, **_TWO_STAGES),
    Case("faster_rcnn_resnet101", {**_TINY_FASTER_RCNN, "blocks": (1, 1, 2, 1)}, **_TWO_STAGES),
    Case("faster_rcnn_resnet152", {**_TINY_FASTER_RCNN, "blocks": (1, 2, 2, 1)}, **_TWO_STAGES),
    Case("faster_rcnn_inception_resnet_v2", {**_TINY_FASTER_RCNN, "blocks": (1, 1, 1)}, **_TWO_STAGES),
    Case(
        "dfine_nano",
        {"width": 0.25, "hidden_dim": 64, "num_queries": 60, "denoising_queries": 20, "batch_norm_momentum": 0.9},
        {"learning_rate": 1e-3},
    ),
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How far it came."""

    steps: int
    ap: float
    ap50: float
    parameters: int
    seconds: float


def overfit(case: Case, *, seed: int = 0) -> Outcome:
    """Trains on the pictures until they are known, or the steps are used up."""
    import keras

    from components.detector.registry import build_detector
    from components.trainer.evaluation import Evaluation
    from components.trainer.optimizer import make_optimizer
    from components.trainer.settings import OptimizerSettings, TrainSettings
    from components.trainer.strategies.supervised import detection_losses
    from components.trainer.train_step import TrainStep
    from demo.glyph_batches import evaluation_batches, training_batches
    from demo.glyphs import GLYPH_CLASSES, render_glyphs

    pictures = [render_glyphs(index, side_pixels=case.side_pixels, seed=seed) for index in range(PICTURES)]
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed + 1)
    detector = build_detector(
        case.detector, num_classes=len(GLYPH_CLASSES), image_size=(case.side_pixels, case.side_pixels), **case.options
    )
    settings = TrainSettings(
        steps=case.most_steps, batch_size=PICTURES, optimizer=OptimizerSettings.model_validate(case.optimizer)
    )
    batches = training_batches(pictures, PICTURES, seed, mirror=False)
    variables = detector.trainable_variables
    optimizer = make_optimizer(
        settings.optimizer, variables, steps=settings.steps, default_name=detector.default_optimizer
    )
    step = TrainStep(detection_losses(detector), variables, optimizer, batches.element_spec)
    evaluate = Evaluation(detector, lambda: evaluation_batches(pictures, PICTURES), GLYPH_CLASSES)
    started = time.monotonic()
    steps_taken, metrics = 0, {"AP": 0.0, "AP50": 0.0}
    for steps_taken, batch in enumerate(batches.take(case.most_steps), start=1):
        step(batch)
        if steps_taken % _EVALUATE_EVERY == 0:
            metrics = evaluate()
            print(
                f"{case.detector} step {steps_taken}: {step.mean_losses()}, AP50 {metrics['AP50']:.3f}", file=sys.stderr
            )
            if metrics["AP50"] >= LEAST_AP50:
                break
    return Outcome(steps_taken, metrics["AP"], metrics["AP50"], detector.count_params(), time.monotonic() - started)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overfit", description=__doc__.splitlines()[0])
    known = [case.detector for case in CASES]
    parser.add_argument("names", nargs="*", metavar="CASE", help=f"which ones (default: all): {', '.join(known)}")
    names = parser.parse_args(argv).names or known
    if unknown := set(names) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    prepare_tensorflow()
    print("| detector | parameters | steps | seconds | AP | AP50 |")
    print("|---|---:|---:|---:|---:|---:|")
    all_learnt = True
    for case in (case for case in CASES if case.detector in names):
        outcome = overfit(case)
        all_learnt &= outcome.ap50 >= LEAST_AP50
        print(
            f"| `{case.detector}` | {outcome.parameters / 1e6:.2f} M | {outcome.steps} | {outcome.seconds:.0f} "
            f"| {outcome.ap:.3f} | {outcome.ap50:.3f} |",
            flush=True,
        )
    return 0 if all_learnt else 1


if __name__ == "__main__":
    raise SystemExit(main())
