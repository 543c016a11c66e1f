"""Detects objects in a great many images, on Beam: on this machine, or on any of Beam's runners.

    python -m serving.bulk --model DIR --images 'photos/**/*.jpg' --output out
    python -m serving.bulk --server HOST:PORT --records 'data/*.tfrecord.gz' --output out --runner=FlinkRunner

What this command does not know is Beam's, and so is all behind `--`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from schema.installation import everything_for
from serving.bulk_inference import beam_options
from serving.clients import server_options

_NOT_ALL, _FAILED, _INTERRUPTED = 1, 2, 130
_FORMATS = ("coco", "jsonl")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.bulk",
        description="Detects objects in a great many images. Further options are Beam's, such as --runner, or "
        "--direct_running_mode=multi_processing --direct_num_workers=4; what stands behind -- goes to it unseen.",
        epilog="Exit status: 0, all images were answered; 1, results are there, but some images failed (those stand in "
        "failures.jsonl); 2, wrong arguments, or the run broke off (--resume goes on); 130, interrupted.",
        allow_abbrev=False,
    )
    images = parser.add_argument_group("images").add_mutually_exclusive_group(required=True)
    images.add_argument("--images", nargs="+", metavar="IMAGE", help="image files, folders, or quoted patterns")
    images.add_argument(
        "--records",
        nargs="+",
        metavar="FILE",
        help="TFRecords of tf.Example, with GZIP or without: files, folders, patterns",
    )
    parser.add_argument(
        "--model",
        metavar="DIR",
        help="a SavedModel, or the folder that it is pushed to, whose newest version is taken; or --server",
    )
    server_options.add_server_options(parser, has_default=False)
    results = parser.add_argument_group("results")
    results.add_argument(
        "--output", required=True, metavar="DIR", help="folder of the results, here or in an object store"
    )
    results.add_argument("--format", choices=_FORMATS, default="coco", help="default: %(default)s")
    results.add_argument(
        "--score_threshold", type=float, default=0.05, help="leave out what is less certain (default: %(default)s)"
    )
    results.add_argument(
        "--annotations",
        metavar="FILE",
        help="COCO annotations whose ids of images (by file name) and categories (by name) the results are to have",
    )
    work = parser.add_argument_group("how")
    work.add_argument("--batch", type=int, default=8, help="images that are asked about at once (default: %(default)s)")
    work.add_argument(
        "--max_image_pixels", type=int, default=64_000_000, help="larger images fail (default: %(default)s)"
    )
    work.add_argument("--resume", action="store_true", help="go on with an unfinished run, if there is one")
    return parser


@everything_for("python -m serving.bulk")
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point. Exit status as the help says."""
    parser = _arguments()
    options, others, verbatim = beam_options.parse(parser, sys.argv[1:] if arguments is None else arguments)
    if (options.model is None) == (options.server is None):
        parser.error("arguments --model and --server: give one of them")
    if options.server is not None:
        server_options.check_server_options(parser, options)
    else:
        server_options.check_connection_options(parser, options, [])
        for name in ("rest", "model_version", "label"):
            if getattr(options, name):
                parser.error(f"argument --{name}: means nothing without --server")
    if not 0 <= options.score_threshold <= 1:
        parser.error(f"argument --score_threshold: must be 0 to 1, found {options.score_threshold}")
    for name in ("batch", "max_image_pixels"):
        if getattr(options, name) <= 0:
            parser.error(f"argument --{name}: must be positive, found {getattr(options, name)}")
    try:
        return _run(options, others, verbatim)
    except KeyboardInterrupt:
        print(f"interrupted; with --resume it goes on with what is done in {options.output}", file=sys.stderr)
        return _INTERRUPTED


def _run(options: argparse.Namespace, others: Sequence[str], verbatim: Sequence[str]) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Here and not at the top: Beam and TensorFlow take seconds, which --help and a wrong flag should not.
    from serving.bulk_inference import quiet_log, results
    from serving.bulk_inference.detectors import ServerSource
    from serving.bulk_inference.errors import BulkError
    from serving.bulk_inference.plan import Settings
    from serving.bulk_inference.run import Run

    version = options.model_version or options.label
    settings = Settings(
        kind="images" if options.images else "records",
        patterns=tuple(options.images or options.records),
        asked=options.model or f"{options.server}/{options.model_name}" + (f"@{version}" if version else ""),
        score_threshold=options.score_threshold,
        max_image_pixels=options.max_image_pixels,
    )
    try:
        beam = beam_options.pipeline_options(others, verbatim)
        quiet_log.quieten()
        tally = Run(
            settings,
            options.output,
            options.format,
            options.batch,
            options.annotations,
            ServerSource(options) if options.server else None,
            options.resume,
            beam,
        ).run()
    except BulkError as error:
        print(f"error: {error}", file=sys.stderr)
        return _FAILED
    if tally is None:
        print(f"{options.output}: was finished before", file=sys.stderr)
        return _NOT_ALL if results.count_failures(options.output) else 0
    where = f"{results.FORMATS[options.format]} and {results.IMAGES_FILE} in {options.output}"
    print(f"{tally.detections} detections in {tally.images} images; {where}", file=sys.stderr)
    if tally.failures:
        failed = f"{tally.failures} images failed; {results.FAILURES_FILE} says which and why"
        print(f"error: {failed}", file=sys.stderr)
        return _NOT_ALL
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
