"""TLS and mutual TLS of both doors, by TF Serving's `--ssl_config_file`."""

from __future__ import annotations

import dataclasses
import pathlib
import ssl
import tempfile

import grpc

from serving.wire.text_config import TextConfigError, read_ssl_config


@dataclasses.dataclass(frozen=True)
class Tls:
    """What the doors listen with.

    Attributes:
      credentials: of gRPC.
      context: of HTTP.
    """

    credentials: grpc.ServerCredentials
    context: ssl.SSLContext


def read_tls(path: pathlib.Path) -> Tls:
    """Reads an `SSLConfig`; the PEM texts stand in the file itself, as TF Serving has it.

    With `client_verify` only clients whose certificate `custom_ca` has signed are let in.

    Raises:
      TextConfigError: it cannot be read, lacks a field, or key and certificate do not belong together.
    """
    config = read_ssl_config(path)
    for field in ("server_key", "server_cert"):
        if not getattr(config, field):
            raise TextConfigError(f"{path}: {field} is empty; expected PEM text (not the name of a file)")
    if config.client_verify and not config.custom_ca:
        raise TextConfigError(f"{path}: client_verify needs custom_ca, the certificate that signed those of clients")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Python's ssl takes the two as files only; the folder is the owner's alone and gone at once.
        with tempfile.TemporaryDirectory() as folder:
            key, certificate = pathlib.Path(folder, "key.pem"), pathlib.Path(folder, "certificate.pem")
            key.write_text(config.server_key)
            certificate.write_text(config.server_cert)
            # A password prompt of OpenSSL's would wait for a person.
            context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise TextConfigError(
            f"{path}: server_key and server_cert are not a key (without a password) and its certificate in PEM "
            f"({_one_line(error)})"
        ) from error
    if config.custom_ca:
        try:
            context.load_verify_locations(cadata=config.custom_ca)
        except (ssl.SSLError, ValueError) as error:
            raise TextConfigError(f"{path}: custom_ca is no certificate in PEM ({_one_line(error)})") from error
    if config.client_verify:
        context.verify_mode = ssl.CERT_REQUIRED
    credentials = grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )
    return Tls(credentials, context)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
