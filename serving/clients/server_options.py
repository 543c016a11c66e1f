"""The options of a command line that say which server is asked, and how; whatever asks one takes the same."""

from __future__ import annotations

import argparse
import pathlib
from typing import TYPE_CHECKING

from schema.exported_model import MODEL_NAME

if TYPE_CHECKING:
    from serving.clients.detector_client import DetectorClient


class ServerOptionsError(Exception):
    """A file that an option names is of no use; the message says which and why."""


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Adds them, in a group of their own."""
    server = parser.add_argument_group("who is asked")
    server.add_argument("--server", default="localhost:8500", metavar="HOST:PORT", help="default: %(default)s")
    server.add_argument("--model_name", default=MODEL_NAME, help="default: %(default)s")
    chosen = server.add_mutually_exclusive_group()
    chosen.add_argument("--model_version", type=int, help="insist on a version")
    chosen.add_argument("--label", default="", help="insist on the version with this label, such as stable")
    server.add_argument(
        "--timeout_seconds",
        type=float,
        default=30.0,
        help="for each request, trying again included (default: %(default)s)",
    )
    server.add_argument("--tls", action="store_true", help="encrypted, with the certificates that the system trusts")
    server.add_argument("--ca", type=pathlib.Path, metavar="FILE", help="encrypted, with these certificates (PEM)")
    server.add_argument("--certificate", type=pathlib.Path, metavar="FILE", help="the client's own (PEM)")
    server.add_argument("--key", type=pathlib.Path, metavar="FILE", help="key of the client's certificate (PEM)")
    server.add_argument("--token_file", type=pathlib.Path, metavar="FILE", help="file with the token that lets in")


def check_server_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Ends the program when one of them has a value that means nothing."""
    if options.timeout_seconds <= 0:
        parser.error(f"argument --timeout_seconds: must be positive, found {options.timeout_seconds}")
    host, _, port = options.server.rpartition(":")
    if not host or not port.isdecimal():
        parser.error(f"argument --server: must be HOST:PORT, found {options.server!r}")
    if (options.certificate is None) != (options.key is None):
        parser.error("arguments --certificate and --key: give both or none")


def make_client(options: argparse.Namespace) -> DetectorClient:
    """A client of the server that they name; it connects on first use.

    Raises:
      ServerOptionsError: a file for TLS or the token cannot be read.
    """
    # Here and not at the top: a wrong flag should not wait for grpc.
    from serving.clients.connection import ClientTls, Connection
    from serving.clients.detector_client import DetectorClient

    needs_tls = options.tls or options.ca or options.certificate
    tls = ClientTls(options.ca, options.certificate, options.key) if needs_tls else None
    token = _read_token(options.token_file) if options.token_file else None
    connection = Connection(options.server, options.timeout_seconds, tls=tls, token=token)
    try:
        return DetectorClient(connection, options.model_name, options.model_version, options.label)
    except OSError as error:
        raise ServerOptionsError(str(error)) from error


def _read_token(path: pathlib.Path) -> str:
    try:
        words = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ServerOptionsError(f"--token_file: {path} cannot be read: {error}") from error
    if not words:
        raise ServerOptionsError(f"--token_file: {path} is empty; its first line is to be the token")
    return words[0]
