"""Makes TF Serving's ``--ssl_config_file``, which holds keys and certificates themselves and not where they are.

    python -m serving.tf_serving.ssl_config --key server.key --certificate server.crt --output ssl.config

The message is SSLConfig of tensorflow_serving/config/ssl_config.proto. The file holds the private key: it is readable
by its owner alone, and belongs into a Secret and not into a repository.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from collections.abc import Sequence

from google.protobuf import text_encoding

_KEY_MARK = "PRIVATE KEY-----"
_CERTIFICATE_MARK = "-----BEGIN CERTIFICATE-----"


class PemError(Exception):
    """A file is not what it was given as; the message names it."""


def ssl_config(key_pem: str, certificate_pem: str, client_ca_pem: str | None = None) -> str:
    """The text proto. With a CA for clients a client must show a certificate that it signed (mutual TLS)."""
    fields = {"server_key": key_pem, "server_cert": certificate_pem, "custom_ca": client_ca_pem}
    lines = [f'{name}: "{text_encoding.CEscape(pem, as_utf8=True)}"' for name, pem in fields.items() if pem]
    return "\n".join([*lines, f"client_verify: {'true' if client_ca_pem else 'false'}"]) + "\n"


def _pem(path: pathlib.Path, mark: str) -> str:
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise PemError(f"{path}: cannot be read as a PEM file ({error})") from error
    if mark not in text:
        raise PemError(f"{path}: holds no line with {mark!r}; expected a PEM file, not encrypted")
    if "ENCRYPTED" in text:
        raise PemError(f"{path}: the key is encrypted, and TF Serving asks nobody for a password; decrypt it first")
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 written, 2 a file is not what it should be."""
    parser = argparse.ArgumentParser(
        prog="python -m serving.tf_serving.ssl_config",
        description="Makes TF Serving's --ssl_config_file of PEM files.",
    )
    parser.add_argument("--key", type=pathlib.Path, required=True, help="private key of the server")
    parser.add_argument("--certificate", type=pathlib.Path, required=True, help="its certificate, then the chain")
    parser.add_argument("--client_ca", type=pathlib.Path, help="only clients whose certificate this CA signed (mTLS)")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="file to write, mode 0600")
    options = parser.parse_args(argv)
    try:
        text = ssl_config(
            _pem(options.key, _KEY_MARK),
            _pem(options.certificate, _CERTIFICATE_MARK),
            None if options.client_ca is None else _pem(options.client_ca, _CERTIFICATE_MARK),
        )
        options.output.unlink(missing_ok=True)
        with os.fdopen(os.open(options.output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
    except (PemError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
