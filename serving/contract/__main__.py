"""The contract check by hand, and as the pipeline runs it before a push:

    python -m serving.contract DIR [--images FILE ...] [--server HOST:PORT] [--json FILE]

One line for each thing that servers and clients count on. Exit status 0: all is as it should be; 1: something is not;
2: the command itself is wrong.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from schema.exported_model import MODEL_NAME, SAVED_MODEL_FILE
from schema.installation import everything_for
from serving.clients.server_options import (
    ServerOptionsError,
    add_connection_options,
    check_connection_options,
    connection_to,
)
from serving.contract.options import ContractOptions

if TYPE_CHECKING:
    from serving.clients.connection import Connection

_ANSWER_SECONDS = 300.0


@everything_for("python -m serving.contract")
def main(argv: Sequence[str] | None = None) -> int:
    """Checks a model and returns the exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if not (arguments.model / SAVED_MODEL_FILE).is_file():
        parser.error(
            f"{arguments.model}: found no {SAVED_MODEL_FILE}, expected the folder of a version; give, for example, "
            "build/pipelines/demo/served/detector/1700000000"
        )
    check_connection_options(parser, arguments, [arguments.server] if arguments.server is not None else [])
    missing = [file for file in arguments.images if not file.is_file()]
    if missing:
        parser.error(f"--images: {missing[0]} is no file; give JPEG or PNG files, as in --images photos/*.jpg")
    options = ContractOptions(
        images=tuple(arguments.images),
        sides_pixels=tuple(arguments.sides),
        latency_runs=arguments.latency_runs,
        latency_batch_sizes=tuple(arguments.latency_batch_sizes),
        max_reply_bytes=arguments.max_reply_bytes,
        server=None if arguments.server is None else _connection(parser, arguments),
        model_name=arguments.model_name,
    )
    # Here and not at the top: TensorFlow takes seconds, which --help and a wrong flag should not.
    from serving.contract.contract_check import check_contract

    report = check_contract(arguments.model, options)
    for check in report.checks:
        print(f"{'ok  ' if check.passed else 'FAIL'}  {check.line}")
    for latency in report.latencies:
        print(f"      latency: {latency.line}")
    print(f"{arguments.model}: {len(report.failures)} of {len(report.checks)} checks failed")
    if arguments.json is not None:
        arguments.json.write_text(report.to_json(), encoding="utf-8")
    return 0 if report.passed else 1


def _connection(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Connection:
    """Takes answers of any size, since a check says what is too large; what a server refuses is not asked again."""
    try:
        return connection_to(
            arguments.server, arguments, timeout_seconds=_ANSWER_SECONDS, max_message_mib=None, retries=False
        )
    except ServerOptionsError as error:
        parser.error(str(error))


def _parser() -> argparse.ArgumentParser:
    defaults = ContractOptions()
    parser = argparse.ArgumentParser(
        prog="python -m serving.contract",
        description="Checks what servers and clients count on in an exported model, in Python's and in C++'s loader.",
    )
    parser.add_argument("model", metavar="DIR", type=pathlib.Path, help="folder of the version, with saved_model.pb")
    parser.add_argument(
        "--images",
        metavar="FILE",
        nargs="+",
        type=pathlib.Path,
        default=(),
        help="images in which the model finds something; default: drawn ones, in which it may find nothing",
    )
    parser.add_argument("--server", metavar="HOST:PORT", help="a server of the same version, which is asked the same")
    parser.add_argument(
        "--model_name", default=MODEL_NAME, help="what the server calls the model (default: %(default)s)"
    )
    add_connection_options(parser.add_argument_group("how the server is reached"))
    parser.add_argument(
        "--sides",
        metavar="PIXELS",
        nargs="+",
        type=_positive,
        default=defaults.sides_pixels,
        help="longer sides that images are brought to, in turn (default: %(default)s)",
    )
    parser.add_argument(
        "--latency_runs",
        metavar="N",
        type=int,
        default=defaults.latency_runs,
        help="requests of each size that are timed; 0: none (default: %(default)s)",
    )
    parser.add_argument(
        "--latency_batch_sizes",
        metavar="N",
        nargs="+",
        type=_positive,
        default=defaults.latency_batch_sizes,
        help="images in a timed request (default: %(default)s)",
    )
    parser.add_argument(
        "--max_reply_bytes",
        metavar="N",
        type=_positive,
        default=defaults.max_reply_bytes,
        help="largest answer that clients take (default: %(default)s, gRPC's own limit)",
    )
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="where the result is written, too")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {text}, expected 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
