"""Options that say which server is asked: refused where they mean nothing, and files that are of no use are named."""

from __future__ import annotations

import argparse
import pathlib

import pytest

from serving.clients.server_options import (
    ServerOptionsError,
    add_server_options,
    check_server_options,
    make_client,
)


def _options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_server_options(parser)
    options = parser.parse_args(arguments)
    check_server_options(parser, options)
    return options


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--server", "8500"], "argument --server: must be HOST:PORT, found '8500'"),
        (["--timeout_seconds", "0"], "argument --timeout_seconds: must be positive, found 0.0"),
        (["--certificate", "mine.pem"], "arguments --certificate and --key: give both or none"),
        (["--label", "stable", "--model_version", "3"], "not allowed with argument"),
    ],
)
def test_what_means_nothing_is_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _options(*arguments)
    assert said in capsys.readouterr().err


def test_the_client_is_what_they_say(tmp_path: pathlib.Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef\nolder\n")
    arguments = ["--server", "there:1", "--model_name", "signs", "--timeout_seconds", "2"]
    with make_client(_options(*arguments, "--token_file", str(tmp_path / "token"))) as client:
        connection = client.connection
        assert (connection.server, connection.timeout_seconds, connection.token) == ("there:1", 2, "0123456789abcdef")
        assert client.model_name == "signs"


@pytest.mark.parametrize(("content", "said"), [(b"", "is empty"), (b"\xff\xfe", "cannot be read")])
def test_a_token_file_of_no_use_is_named(tmp_path: pathlib.Path, content: bytes, said: str) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ServerOptionsError, match=f"--token_file: {path} {said}"):
        make_client(_options("--token_file", str(path)))


@pytest.mark.parametrize("option", ["--token_file", "--ca"])
def test_a_missing_file_is_named(tmp_path: pathlib.Path, option: str) -> None:
    with pytest.raises(ServerOptionsError, match=r"none\.pem"):
        make_client(_options(option, str(tmp_path / "none.pem")))
