"""TF Serving's TLS file is the message that it reads, with the PEM files inside."""

from __future__ import annotations

import pathlib
import stat

import pytest
import trustme
from google.protobuf import text_format

from serving.tf_serving import ssl_config
from tests.serving.tf_serving.published_protos import message


@pytest.fixture
def pems(tmp_path: pathlib.Path) -> pathlib.Path:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "server.key")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "server.crt")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    return tmp_path


def _main(folder: pathlib.Path, *more: str) -> int:
    files = ["--key", str(folder / "server.key"), "--certificate", str(folder / "server.crt")]
    return ssl_config.main([*files, "--output", str(folder / "ssl.config"), *more])


def test_it_holds_the_files(pems: pathlib.Path) -> None:
    assert _main(pems) == 0
    found = text_format.Parse((pems / "ssl.config").read_text(), message("SSLConfig"))
    assert found.server_key == (pems / "server.key").read_text()
    assert found.server_cert == (pems / "server.crt").read_text()
    assert not found.client_verify
    assert stat.S_IMODE((pems / "ssl.config").stat().st_mode) == 0o600


def test_mutual_tls(pems: pathlib.Path) -> None:
    assert _main(pems, "--client_ca", str(pems / "ca.crt")) == 0
    found = text_format.Parse((pems / "ssl.config").read_text(), message("SSLConfig"))
    assert found.custom_ca == (pems / "ca.crt").read_text()
    assert found.client_verify


def test_a_key_in_place_of_a_certificate_is_refused(pems: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pems / "server.crt").write_bytes((pems / "server.key").read_bytes())
    assert _main(pems) == 2
    assert "server.crt: holds no line with '-----BEGIN CERTIFICATE-----'" in capsys.readouterr().err
    assert not (pems / "ssl.config").exists()
