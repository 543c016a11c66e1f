"""Options that say which server is asked: refused where they mean nothing, and files that are of no use are named."""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys

import pytest

from serving.clients.connection import ClientTls
from serving.clients.grpc_channel import call_metadata
from serving.clients.server_options import (
    ServerOptionsError,
    add_connection_options,
    add_server_options,
    check_connection_options,
    check_server_options,
    connection_to,
    make_client,
)
from tests.serving.guard import TOKEN, Guard


def _options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_server_options(parser)
    options = parser.parse_args(arguments)
    check_server_options(parser, options)
    return options


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--server", "8500"], "argument --server: must be HOST:PORT or begin with http:// or https://, found '8500'"),
        (["--server", "http://h", "--tls"], "http://h is not encrypted, and TLS is asked for; write https://"),
        (["--server", "dns:///h:8500", "--rest"], "must begin with http:// or https://, found 'dns:///h:8500'"),
        (["--server", "http://h?x"], "argument --server: must be a URL of host, port and path alone"),
        (["--rest", "--server", "h:x"], "argument --server: must be a URL such as http://HOST:PORT"),
        (["--timeout_seconds", "0"], "argument --timeout_seconds: must be positive, found 0.0"),
        (["--certificate", "mine.pem"], "arguments --certificate and --key: give both or none"),
        (["--label", "stable", "--model_version", "3"], "not allowed with argument"),
    ],
)
def test_what_means_nothing_is_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _options(*arguments)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "server"),
    [
        ([], "localhost:8500"),
        (["--rest"], "http://localhost:8501"),
        (["--rest", "--tls"], "https://localhost:8501"),
        (["--rest", "--server", "h:1"], "http://h:1"),
        (["--rest", "--server", "https://h"], "https://h"),
        (["--server", "http://h:1/a"], "http://h:1/a"),
    ],
)
def test_an_address_is_for_grpc_or_a_url(arguments: list[str], server: str) -> None:
    with make_client(_options(*arguments)) as client:
        assert client.connection.server == server


def test_the_client_is_what_they_say(tmp_path: pathlib.Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef\nolder\n")
    arguments = ["--server", "there:1", "--model_name", "signs", "--timeout_seconds", "2"]
    with make_client(_options(*arguments, "--token_file", str(tmp_path / "token"))) as client:
        connection = client.connection
        assert (connection.server, connection.timeout_seconds, connection.token) == ("there:1", 2, "0123456789abcdef")
        assert client.model.name == "signs"


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("--token_file", b"", "holds no token"),
        ("--token_file", b"# of the cameras\n", "holds no token"),
        ("--token_file", b"\xff\xfe", "the first line is no token"),
        ("--token_file", b"Bearer abcdefghijklm", "the first line is no token"),
        ("--ca", b"0\x82\x03", "holds no '-----BEGIN ', expected a file in PEM"),
    ],
)
def test_a_file_of_no_use_is_named(tmp_path: pathlib.Path, option: str, content: bytes, said: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ServerOptionsError, match=f"{option}: {path}.*{said}") as caught:
        make_client(_options(option, str(path)))
    assert "abcdefghijklm" not in str(caught.value)


@pytest.mark.parametrize("option", ["--token_file", "--ca"])
def test_a_missing_file_is_named(tmp_path: pathlib.Path, option: str) -> None:
    with pytest.raises(ServerOptionsError, match=r"none\.pem"):
        make_client(_options(option, str(tmp_path / "none.pem")))


def test_tls_and_token_become_a_connection(guard: Guard) -> None:
    connection = connection_to("localhost:8500", _options(*guard.flags), timeout_seconds=7.0)
    folder = guard.folder
    assert connection.tls == ClientTls(folder / "ca.pem", folder / "client.pem", folder / "client.key")
    assert connection.timeout_seconds == 7
    assert call_metadata(connection) == (("authorization", f"Bearer {TOKEN}"),)
    assert TOKEN not in repr(connection)


def test_without_options_it_is_neither_encrypted_nor_authenticated() -> None:
    connection = connection_to("localhost:8500", _options())
    assert connection.tls is None and call_metadata(connection) == ()
    assert connection_to("localhost:8500", _options("--tls")).tls == ClientTls()


@pytest.mark.parametrize(
    ("arguments", "servers", "said"),
    [
        ((), ("localhost:1", "localhost"), "argument --server: must be HOST:PORT, found 'localhost'"),
        ((), ("http://localhost:1",), "argument --server: must be HOST:PORT, found 'http://localhost:1'"),
        (("--tls",), (), "argument --tls: means nothing without --server"),
    ],
)
def test_where_several_servers_may_be_asked_or_none(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], servers: tuple[str, ...], said: str
) -> None:
    parser = argparse.ArgumentParser()
    add_connection_options(parser)
    options = parser.parse_args(arguments)
    with pytest.raises(SystemExit, match="2"):
        check_connection_options(parser, options, servers)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("module", ["client", "compare", "promote", "rollback", "contract.__main__"])
def test_every_command_that_asks_a_server_has_the_options_and_says_so_at_once(module: str) -> None:
    script = (
        f"import sys, atexit, serving.{module} as m; atexit.register(lambda: print(sorted(sys.modules)));"
        "m.main(['--help'])"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    for option in ("--tls", "--ca FILE", "--certificate FILE", "--key FILE", "--token_file FILE"):
        assert option in printed
    assert "'grpc'" not in printed and "'tensorflow'" not in printed
