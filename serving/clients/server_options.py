"""The options of a command line that say which server is asked, and how; whatever asks one takes the same.

The client is imported when it is made, so that --help and a wrong option do not wait for it.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from schema.exported_model import MODEL_NAME
from serving.clients.connection import ClientTls, Connection

if TYPE_CHECKING:
    from serving.clients.detector_client import DetectorClient

_PEM_OPTIONS: Final = ("ca", "certificate", "key")
_CONNECTION_OPTIONS: Final = ("tls", *_PEM_OPTIONS, "token_file")
_PEM: Final = b"-----BEGIN "
# TF Serving's own ports.
_GRPC_SERVER: Final = "localhost:8500"
_REST_SERVER: Final = "localhost:8501"


class ServerOptionsError(Exception):
    """A file that an option names is of no use; the message says which and why."""


def add_server_options(parser: argparse.ArgumentParser, *, has_default: bool = True) -> None:
    """Adds those of a client of one model, in a group of their own; without a default somebody else may be asked."""
    server = parser.add_argument_group("who is asked")
    server.add_argument(
        "--server",
        metavar="ADDRESS",
        help="HOST:PORT is asked over gRPC, a URL (http:// or https://) by TF Serving's REST API"
        + (f"; default: {_GRPC_SERVER}, with --rest {_REST_SERVER}" if has_default else ""),
    )
    server.add_argument("--rest", action="store_true", help="ask HOST:PORT by the REST API, too")
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
    add_connection_options(server)


def add_connection_options(container: argparse._ActionsContainer) -> None:
    """Adds those of TLS and token to a parser or to a group of one."""
    container.add_argument("--tls", action="store_true", help="encrypted, with the certificates that the system trusts")
    container.add_argument("--ca", type=pathlib.Path, metavar="FILE", help="encrypted, with these certificates (PEM)")
    container.add_argument("--certificate", type=pathlib.Path, metavar="FILE", help="the client's own (PEM)")
    container.add_argument("--key", type=pathlib.Path, metavar="FILE", help="key of the client's certificate (PEM)")
    container.add_argument("--token_file", type=pathlib.Path, metavar="FILE", help="file with the token that lets in")


def check_server_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Ends the program when one of `add_server_options` has a value that means nothing.

    What `--rest` says is in `options.server` then, which is a URL or for gRPC.
    """
    if options.timeout_seconds <= 0:
        parser.error(f"argument --timeout_seconds: must be positive, found {options.timeout_seconds}")
    server = options.server or (_REST_SERVER if options.rest else _GRPC_SERVER)
    if options.rest and "://" not in server:
        server = f"{'https' if _needs_tls(options) else 'http'}://{server}"
    options.server = server
    check_connection_options(parser, options, [server], takes_grpc=not options.rest, takes_rest=True)


def check_connection_options(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    servers: Sequence[str],
    *,
    takes_grpc: bool = True,
    takes_rest: bool = False,
) -> None:
    """Ends the program when an address is none, or one of `add_connection_options` means nothing.

    Args:
      parser: whose usage is shown.
      options: what was parsed.
      servers: what was given for ``--server``.
      takes_grpc: HOST:PORT is an address.
      takes_rest: a URL is one.
    """
    expected = " or ".join(["be HOST:PORT"] * takes_grpc + ["begin with http:// or https://"] * takes_rest)
    for server in servers:
        try:
            is_url = Connection(server, tls=ClientTls() if _needs_tls(options) else None).rest is not None
        except ValueError as error:
            parser.error(f"argument --server: {error}")
        host, _, port = server.rpartition(":")
        is_address = takes_rest if is_url else takes_grpc and host and port.isdecimal()
        if not is_address:
            parser.error(f"argument --server: must {expected}, found {server!r}")
    given = [name for name in _CONNECTION_OPTIONS if getattr(options, name)]
    if given and not servers:
        parser.error(f"argument --{given[0]}: means nothing without --server")
    if (options.certificate is None) != (options.key is None):
        parser.error("arguments --certificate and --key: give both or none")


def connection_to(server: str, options: argparse.Namespace, **settings: Any) -> Connection:
    """How a command reaches a server.

    Args:
      server: HOST:PORT or a URL.
      options: with those of `add_connection_options`.
      settings: of `Connection`, beside what they say.

    Raises:
      ServerOptionsError: a file for TLS or the token is of no use.
    """
    for name in _PEM_OPTIONS:
        path = getattr(options, name)
        if path is not None and _PEM not in _read(name, path):
            raise ServerOptionsError(f"--{name}: {path} holds no {_PEM.decode()!r}, expected a file in PEM")
    tls = ClientTls(options.ca, options.certificate, options.key) if _needs_tls(options) else None
    token = _read_token(options.token_file) if options.token_file else None
    return Connection(server, tls=tls, token=token, **settings)


def make_client(options: argparse.Namespace) -> DetectorClient:
    """A client of the server that `add_server_options` name; it connects on first use.

    Raises:
      ServerOptionsError: a file for TLS or the token is of no use.
    """
    # Here and not at the top: a wrong flag should not wait for grpc.
    from serving.clients.detector_client import DetectorClient

    connection = connection_to(options.server, options, timeout_seconds=options.timeout_seconds)
    try:
        return DetectorClient(connection, options.model_name, options.model_version, options.label)
    except OSError as error:
        raise ServerOptionsError(str(error)) from error


def _needs_tls(options: argparse.Namespace) -> bool:
    return bool(options.tls or options.ca or options.certificate)


def _read(name: str, path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ServerOptionsError(f"--{name}: {path} cannot be read: {error.strerror}") from error


def _read_token(path: pathlib.Path) -> str:
    """The first token of a file, which may be a server's with comments and several of them."""
    lines = [line.strip() for line in _read("token_file", path).splitlines()]
    tokens = [line for line in lines if line and not line.startswith(b"#")]
    if not tokens:
        raise ServerOptionsError(f"--token_file: {path} holds no token; its first line is to be one")
    if not tokens[0].isascii() or len(tokens[0].split()) != 1:
        raise ServerOptionsError(
            f"--token_file: {path}: the first line is no token; expected ASCII characters without spaces"
        )
    return tokens[0].decode()
