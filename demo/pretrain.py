"""Trains the checkpoint the demo starts from, on glyphs (`demo.glyphs`), and writes it.

    python -m demo.pretrain

The file is part of the repository; run this again only to change it. It takes about a quarter of an hour on two cores.
The detector is the demo's, but for its classes; all of its weights start at random.
"""

from __future__ import annotations

import argparse
import logging
import pathlib
import time
from collections.abc import Sequence
from typing import Final

from demo.glyphs import GLYPH_CLASSES
from pipeline.tensorflow_environment import prepare_tensorflow

_LOG = logging.getLogger(__name__)
CHECKPOINT: Final = pathlib.Path(__file__).with_name("mobilenet_v2_035_fpnlite.weights.h5")
_SIDE_PIXELS: Final = 160
"""Smaller than the demo's 224, which halves the time; glyphs have the size in pixels that signs have there."""
DETECTOR_OPTIONS: Final = {"alpha": 0.35, "fpn_depth": 64, "anchor_scale": 2.0, "batch_norm_momentum": 0.95}
"""The demo's (pipeline/configs/demo.yaml)."""
_EVALUATION_IMAGES: Final = 128
_BATCH_SIZE: Final = 16


def pretrain(output: pathlib.Path, images: int, steps: int, seed: int) -> dict[str, float]:
    """Trains and writes the checkpoint.

    Args:
      output: `.weights.h5` file to write.
      images: glyph pictures to train on.
      steps: batches of 16.
      seed: of pictures, weights and order.

    Returns:
      COCO metrics on 128 further pictures.
    """
    import keras

    from components.detector.registry import build_detector
    from components.trainer.evaluation import Evaluation
    from components.trainer.optimizer import make_optimizer
    from components.trainer.settings import OptimizerSettings, TrainSettings
    from components.trainer.strategies.supervised import detection_losses
    from components.trainer.train_step import TrainStep
    from demo.glyph_batches import evaluation_batches, render_many, training_batches

    pictures = render_many(images + _EVALUATION_IMAGES, side_pixels=_SIDE_PIXELS, seed=seed)
    _LOG.info("drew %d glyph pictures", len(pictures))
    keras.utils.set_random_seed(seed)
    detector = build_detector(
        "ssd_mobilenet_v2_fpnlite",
        num_classes=len(GLYPH_CLASSES),
        image_size=(_SIDE_PIXELS, _SIDE_PIXELS),
        **DETECTOR_OPTIONS,
    )
    settings = TrainSettings(
        steps=steps, batch_size=_BATCH_SIZE, seed=seed, optimizer=OptimizerSettings(learning_rate=4e-3)
    )
    dataset = training_batches(pictures[_EVALUATION_IMAGES:], _BATCH_SIZE, seed, mirror=True)
    variables = detector.trainable_variables
    optimizer = make_optimizer(settings.optimizer, variables, steps=steps, default_name=detector.default_optimizer)
    train_step = TrainStep(detection_losses(detector), variables, optimizer, dataset.element_spec)
    started = time.monotonic()
    for step, batch in enumerate(dataset.take(steps), start=1):
        train_step(batch)
        if step % 100 == 0 or step == steps:
            parts = ", ".join(f"{name} {value:.3f}" for name, value in train_step.mean_losses().items())
            _LOG.info("step %d of %d, %.0f s: %s", step, steps, time.monotonic() - started, parts)
    evaluate = Evaluation(
        detector, lambda: evaluation_batches(pictures[:_EVALUATION_IMAGES], _BATCH_SIZE), GLYPH_CLASSES
    )
    metrics = evaluate()
    unfinished = output.with_name(f".unfinished-{output.name}")
    detector.save_weights(unfinished)
    unfinished.replace(output)
    return metrics


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.pretrain", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, default=CHECKPOINT, help="default: %(default)s")
    parser.add_argument("--images", type=int, default=6000, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=3000, help="batches of 16 (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    options = parser.parse_args(arguments)
    for name in ("images", "steps"):
        if getattr(options, name) < _BATCH_SIZE:
            parser.error(f"argument --{name}: must be at least {_BATCH_SIZE}, found {getattr(options, name)}")
    if not options.output.name.endswith(".weights.h5"):
        parser.error(f"argument --output: must end with .weights.h5, found {options.output.name}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    prepare_tensorflow()
    metrics = pretrain(options.output, options.images, options.steps, options.seed)
    size = options.output.stat().st_size
    print(f"{options.output}: {size / 1e6:.2f} MB, glyphs AP {metrics['AP']:.3f}, AP50 {metrics['AP50']:.3f}")


if __name__ == "__main__":
    main()
