"""``python -m pipeline augmentations --config FILE``: a sheet of training images as they are learnt."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence
from typing import Final

from components.user_error import UserError
from pipeline.config import load_config
from pipeline.config_errors import ConfigError
from pipeline.tensorflow_environment import prepare_tensorflow, without_notices

_FEWEST: Final = 4
"""A mosaic is made of so many."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0, 1 when the data cannot be drawn, 2 when the config is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline augmentations",
        description="Draw training images as each augmentation of a config makes them, and as all together do.",
    )
    parser.add_argument("--config", type=pathlib.Path, required=True, help="the YAML file that describes the pipeline")
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="overrides a key of the file, for example train.augmentation.mosaic=0.5 (may be repeated)",
    )
    parser.add_argument("--output", type=pathlib.Path, help="PNG to draw (default: build/augmentations/NAME.png)")
    parser.add_argument("--images", type=int, default=5, help=f"how many, at least {_FEWEST} (default: %(default)s)")
    arguments = parser.parse_args(argv)
    if arguments.images < _FEWEST:
        parser.error(f"--images: found {arguments.images}, expected at least {_FEWEST}, of which a mosaic is made")
    try:
        config = load_config(arguments.config, arguments.overrides)
        if config.train.augmentation is None:
            raise ConfigError("train.augmentation is null: the images are learnt as they are, there is nothing to draw")
        prepare_tensorflow()
        with without_notices():
            # Behind the checks: it imports TensorFlow.
            from components.detector.registry import build_detector
            from pipeline.augmentation_sheet import draw_augmentation_sheet, training_records

        records, source = training_records(config)
        # Of the detector only the canvas counts here.
        detector = build_detector(config.model.detector, num_classes=1, image_size=config.model.image_size)
        sheet = draw_augmentation_sheet(
            records,
            detector,
            config.train.augmentation,
            tiling=config.model.tiling,
            images=arguments.images,
            seed=config.train.seed,
        )
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    output = arguments.output or pathlib.Path("build", "augmentations", f"{config.name}.png")
    output.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(output)
    print(f"Sheet   {output}\nImages  {source}")
    return 0
