"""Mutual TLS and a token for a test's server, and the flags that let a command in."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import trustme

from serving.wire.tls import read_tls
from serving.wire.token import Tokens

TOKEN = "0123456789abcdef"


@dataclasses.dataclass(frozen=True)
class Guard:
    """Certificates and a token in a folder: `ca.pem`, `client.pem`, `client.key`, `tokens`."""

    folder: pathlib.Path

    @property
    def settings(self) -> dict[str, Any]:
        """Of the server."""
        return {"tls": read_tls(self.folder / "ssl.config"), "tokens": Tokens(self.folder / "tokens")}

    @property
    def flags(self) -> list[str]:
        """Of a command that is let in."""
        return [*self.flags_without_token, "--token_file", str(self.folder / "tokens")]

    @property
    def flags_without_token(self) -> list[str]:
        """Of a command that is encrypted and stays outside all the same."""
        files = {"--ca": "ca.pem", "--certificate": "client.pem", "--key": "client.key"}
        return [text for flag, name in files.items() for text in (flag, str(self.folder / name))]


def make_guard(folder: pathlib.Path) -> Guard:
    """Writes new certificates, and a file of tokens as a server's may be."""
    folder.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    own, issued = authority.issue_cert("client"), authority.issue_cert("localhost")
    own.private_key_pem.write_to_path(folder / "client.key")
    own.cert_chain_pems[0].write_to_path(folder / "client.pem")
    fields = {
        "server_key": issued.private_key_pem.bytes().decode(),
        "server_cert": issued.cert_chain_pems[0].bytes().decode(),
        "custom_ca": authority.cert_pem.bytes().decode(),
        "client_verify": True,
    }
    # JSON's escapes of text are those of text protos.
    (folder / "ssl.config").write_text("\n".join(f"{name}: {json.dumps(value)}" for name, value in fields.items()))
    (folder / "tokens").write_text(f"# of the cameras\n{TOKEN}\n")
    return Guard(folder)
