"""TLS and mutual TLS on both ports, with certificates made for the test."""

from __future__ import annotations

import json
import pathlib
import ssl
import urllib.error

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving.wire.text_config import TextConfigError
from serving.wire.tls import read_tls
from tests.serving.wire.door import http, open_door


def _pem(blobs: list[trustme.Blob]) -> str:
    return "".join(blob.bytes().decode() for blob in blobs)


def _written(path: pathlib.Path, **fields: str | bool) -> pathlib.Path:
    # JSON's escapes of text are those of text protos.
    path.write_text("\n".join(f"{name}: {json.dumps(value)}" for name, value in fields.items()))
    return path


def test_only_clients_of_our_authority_come_in(tmp_path: pathlib.Path) -> None:
    authority = trustme.CA()
    certificate, own = authority.issue_cert("localhost"), authority.issue_cert("client")
    key, chain, ca = certificate.private_key_pem.bytes().decode(), _pem(certificate.cert_chain_pems), authority.cert_pem
    config = _written(
        tmp_path / "ssl.config",
        server_key=key,
        server_cert=chain,
        custom_ca=ca.bytes().decode(),
        client_verify=True,
    )
    stranger = ssl.create_default_context(cadata=ca.bytes().decode())
    client = ssl.create_default_context(cadata=ca.bytes().decode())
    own.configure_cert(client)
    with open_door(tmp_path, tls=read_tls(config)) as running:
        assert http(running, "/metrics", tls=client)[0] == 200
        with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
            http(running, "/metrics", tls=stranger)
        address = f"localhost:{running.port}"
        request = health_pb2.HealthCheckRequest()
        credentials = grpc.ssl_channel_credentials(
            ca.bytes(), own.private_key_pem.bytes(), _pem(own.cert_chain_pems).encode()
        )
        with grpc.secure_channel(address, credentials) as channel:
            health_pb2_grpc.HealthStub(channel).Check(request, timeout=30)
        for other in (
            grpc.insecure_channel(address),
            grpc.secure_channel(address, grpc.ssl_channel_credentials(ca.bytes())),
        ):
            with other as channel, pytest.raises(grpc.RpcError) as caught:
                health_pb2_grpc.HealthStub(channel).Check(request, timeout=30)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"server_key": ""}, "server_key is empty"),
        ({"server_cert": "nonsense"}, "server_key and server_cert are not a key"),
        ({"custom_ca": "nonsense"}, "custom_ca is no certificate"),
        ({"client_verify": True}, "client_verify needs custom_ca"),
        ({"sever_key": "typo"}, "expected SSLConfig in text format"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(
    tmp_path: pathlib.Path, change: dict[str, str | bool], expected: str
) -> None:
    certificate = trustme.CA().issue_cert("localhost")
    fields = {
        "server_key": certificate.private_key_pem.bytes().decode(),
        "server_cert": _pem(certificate.cert_chain_pems),
        **change,
    }
    path = _written(tmp_path / "ssl.config", **fields)
    with pytest.raises(TextConfigError) as caught:
        read_tls(path)
    message = str(caught.value)
    assert expected in message and str(path) in message and "\n" not in message and "PRIVATE" not in message


def test_a_key_of_another_certificate_is_refused(tmp_path: pathlib.Path) -> None:
    authority = trustme.CA()
    one, other = authority.issue_cert("localhost"), authority.issue_cert("localhost")
    path = _written(
        tmp_path / "ssl.config",
        server_key=one.private_key_pem.bytes().decode(),
        server_cert=_pem(other.cert_chain_pems),
    )
    with pytest.raises(TextConfigError, match="are not a key"):
        read_tls(path)
