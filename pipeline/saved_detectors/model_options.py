"""The options that say which saved detector a verb uses, and what they lead to; before any heavy import."""

from __future__ import annotations

import argparse
import pathlib

from pipeline.saved_detectors.location import SavedModelError, locate_saved_model
from schema.label_map import LabelMap, LabelMapError, read_label_map


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Adds ``--model`` and ``--labels``."""
    parser.add_argument(
        "--model",
        type=pathlib.Path,
        required=True,
        metavar="DIR",
        help="SavedModel, folder of a served model (the newest version), artifact `model` of a run, or zoo folder",
    )
    parser.add_argument(
        "--labels", type=pathlib.Path, metavar="FILE", help="label map of a zoo model that is not of COCO's 90 classes"
    )


def chosen_model(arguments: argparse.Namespace) -> tuple[pathlib.Path, LabelMap | None]:
    """The SavedModel's folder, and the label map where one was named.

    Raises:
      SavedModelError: there is no such model, or the label map cannot be read.
    """
    folder = locate_saved_model(arguments.model)
    try:
        return folder, None if arguments.labels is None else read_label_map(arguments.labels)
    except LabelMapError as error:
        raise SavedModelError(f"--labels: {error}") from error
