"""Sends the same images to two versions and says where they differ.

    python -m serving.compare --versions 6 7 'eval/*.jpg' --server localhost:8500 --output build/comparison

Without a server, ``--model_base_path DIR`` loads both in this process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from schema.exported_model import MODEL_NAME
from schema.installation import everything_for
from serving.clients.server_options import (
    ServerOptionsError,
    add_connection_options,
    check_connection_options,
    connection_to,
)

if TYPE_CHECKING:
    from serving.clients.connection import Connection
    from serving.comparison.matching import Difference, Tolerance
    from serving.comparison.versions import Ask

_DIFFERENT, _FAILED = 1, 2
_LARGEST_ANSWER_MIB = 256


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.compare",
        description="Sends the same images to two versions of a model, and says where they differ.",
        epilog="Exit status: 0 they agree, 1 they differ, 2 one of them could not be asked, or no image could be read.",
    )
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image file, or a quoted pattern such as 'a/**/*.jpg'"
    )
    parser.add_argument("--versions", nargs=2, type=int, required=True, metavar=("A", "B"), help="numbers of the two")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--server", metavar="ADDRESS", help="a server that has both in memory: HOST:PORT for gRPC, or a URL for REST"
    )
    where.add_argument("--model_base_path", type=pathlib.Path, help="folder of numbered versions, loaded here")
    parser.add_argument("--model_name", default=MODEL_NAME, help="on the server (default: %(default)s)")
    add_connection_options(parser.add_argument_group("how the server is reached"))
    parser.add_argument(
        "--score_threshold", type=float, default=0.5, help="what scores below is no detection (default: %(default)s)"
    )
    parser.add_argument("--min_iou", type=float, default=0.5, help="overlap of one object (default: %(default)s)")
    parser.add_argument(
        "--max_score_shift", type=float, default=0.1, help="a larger difference counts (default: %(default)s)"
    )
    parser.add_argument("--timeout_seconds", type=float, default=30.0, help="for each image (default: %(default)s)")
    parser.add_argument(
        "--output", type=pathlib.Path, metavar="DIR", help="write comparison.json and a picture of each that differs"
    )
    return parser


@everything_for("python -m serving.compare")
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 the versions agree, 1 they differ, 2 they could not be compared."""
    parser = _arguments()
    options = parser.parse_args(arguments)
    for name in ("score_threshold", "min_iou", "max_score_shift"):
        if not 0 <= getattr(options, name) <= 1:
            parser.error(f"argument --{name}: must be 0 to 1, found {getattr(options, name)}")
    if options.timeout_seconds <= 0:
        parser.error(f"argument --timeout_seconds: must be positive, found {options.timeout_seconds}")
    if options.versions[0] == options.versions[1]:
        parser.error("argument --versions: must be two, found the same one twice")
    servers = [options.server] if options.server is not None else []
    check_connection_options(parser, options, servers, takes_rest=True)
    return _compare(options)


def _compare(options: argparse.Namespace) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Here and not at the top: TensorFlow takes seconds, which --help and a wrong flag should not.
    from serving.clients import image_files
    from serving.comparison import matching, tally, versions

    tolerance = matching.Tolerance(options.min_iou, options.score_threshold, options.max_score_shift)
    numbers = (options.versions[0], options.versions[1])
    try:
        paths = image_files.find(options.images)
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            asks: list[Ask] = [
                stack.enter_context(
                    versions.on_server(_connection(options), options.model_name, number)
                    if options.server
                    else versions.in_process(options.model_base_path, number)
                )
                for number in numbers
            ]
            differences, failed = _ask_all(paths, (asks[0], asks[1]), numbers, tolerance, options.output)
    except (image_files.ImageFileError, versions.VersionError, ServerOptionsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return _FAILED
    if not differences:
        print("error: no image could be compared", file=sys.stderr)
        return _FAILED
    differing = [file for file, difference in differences.items() if difference.is_beyond(tolerance)]
    print(tally.table(tally.tally(differences), numbers))
    print(f"{len(differing)} of {len(differences)} images differ" + (f", {len(failed)} failed" if failed else ""))
    if options.output:
        report = tally.to_json(differences, failed, numbers, tolerance)
        (options.output / "comparison.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
        print(f"comparison.json and {len(differing)} pictures in {options.output}", file=sys.stderr)
    return _DIFFERENT if differing else 0


def _connection(options: argparse.Namespace) -> Connection:
    return connection_to(
        options.server, options, timeout_seconds=options.timeout_seconds, max_message_mib=_LARGEST_ANSWER_MIB
    )


def _ask_all(
    paths: Sequence[pathlib.Path],
    asks: tuple[Ask, Ask],
    numbers: tuple[int, int],
    tolerance: Tolerance,
    output: pathlib.Path | None,
) -> tuple[dict[str, Difference], dict[str, str]]:
    """Differences, and reasons why there is none, by file; draws those that differ."""
    from serving.clients import image_files
    from serving.comparison import matching, pictures, versions

    differences: dict[str, Difference] = {}
    failed: dict[str, str] = {}
    for number, path in enumerate(paths):
        try:
            image = image_files.read(path)
            found = [ask(image.encoded) for ask in asks]
        except (image_files.ImageFileError, versions.ImageRefusedError) as error:
            print(f"error: {error}", file=sys.stderr)
            failed[str(path)] = str(error)
            continue
        difference = differences[str(path)] = matching.match(found[0], found[1], tolerance)
        if output and difference.is_beyond(tolerance):
            drawn = pictures.side_by_side(image.upright, difference, numbers, tolerance)
            # Two folders may hold files of one name.
            drawn.save(output / f"{number:05d}_{path.stem}.jpg", quality=92)
    return differences, failed


if __name__ == "__main__":
    raise SystemExit(main())
