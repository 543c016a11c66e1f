"""``python -m pipeline evaluate --model DIR --data DIR_OR_CONFIG``: a detector that there is, on annotated images."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence

from components.user_error import UserError
from pipeline.config_errors import ConfigError
from pipeline.counted_progress import CountedProgress
from pipeline.doctor.layout import FORMATS
from pipeline.evaluation.annotated_images import SPLITS, AnnotatedImagesError, Tally, find_annotated_images
from pipeline.saved_detectors.model_options import add_model_options, chosen_model
from pipeline.tensorflow_environment import start_tensorflow_alone, without_notices


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0, 1 when model or data cannot be used, 2 when the config is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline evaluate",
        description="COCO's twelve numbers of a SavedModel, overall and by class, without a training: of an export of "
        "this pipeline or of a model of the TF2 Detection Zoo, on annotated images in any format that a run reads.",
    )
    add_model_options(parser)
    parser.add_argument(
        "--data",
        type=pathlib.Path,
        required=True,
        metavar="DIR_OR_CONFIG",
        help="folder of annotated images, or a pipeline's YAML file",
    )
    parser.add_argument(
        "--split",
        choices=SPLITS,
        help="which images (default: what a run would judge on, test or eval; all where a folder names no splits)",
    )
    parser.add_argument("--format", choices=FORMATS, help="take this one of several formats of the folder")
    parser.add_argument("--batch_size", type=int, default=8, help="images at once (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the tables")
    arguments = parser.parse_args(argv)
    if arguments.batch_size < 1:
        parser.error(f"--batch_size: found {arguments.batch_size}, expected at least 1")
    try:
        return _evaluate(arguments)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except UserError as error:
        print(error, file=sys.stderr)
        return 1


def _evaluate(arguments: argparse.Namespace) -> int:
    folder, labels = chosen_model(arguments)
    images = find_annotated_images(arguments.data, wanted_format=arguments.format, split=arguments.split)
    # Behind the checks: it imports TensorFlow and TFMA.
    start_tensorflow_alone()
    with without_notices():
        from components.evaluator.exported_model import matches_of_detector
        from pipeline.evaluation.evaluation_result import EvaluationResult
        from pipeline.saved_detectors.saved_detector import load_saved_detector

        detector = load_saved_detector(folder, labels)
    tally = Tally()
    progress = CountedProgress("images", len(images.pictures))
    matched = matches_of_detector(detector, images.records(tally, progress), arguments.batch_size)
    if not tally.images:
        raise AnnotatedImagesError(f"{arguments.data}: none of {len(images.pictures)} images can be decoded")
    result = EvaluationResult(
        model=str(folder),
        model_kind=detector.kind,
        data=images.described,
        split=images.split,
        tally=tally,
        metrics=matched.metrics(matched.candidate),
        model_classes=detector.label_map.names,
        nameless=detector.nameless,
    )
    print(json.dumps(result.to_json(), indent=2, ensure_ascii=False) if arguments.json else "\n".join(result.lines()))
    return 0
