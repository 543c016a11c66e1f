from __future__ import annotations

import pytest

from serving.clients.connection import ClientTls, Connection, RestAddress


@pytest.mark.parametrize("target", ["localhost:8500", "[::1]:8500", "dns:///pods:8500", "unix:/tmp/s", "httpd:80"])
def test_what_is_no_url_is_for_grpc(target: str) -> None:
    assert Connection(target).rest is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8501", RestAddress(False, "localhost", 8501, "")),
        ("HTTP://host", RestAddress(False, "host", 80, "")),
        ("https://host/", RestAddress(True, "host", 443, "")),
        ("https://host/models/here/", RestAddress(True, "host", 443, "/models/here")),
        ("http://[::1]:1", RestAddress(False, "::1", 1, "")),
    ],
)
def test_urls(url: str, expected: RestAddress) -> None:
    assert Connection(url).rest == expected


@pytest.mark.parametrize(
    "url", ["http://", "http://:80", "http://h:x", "http://h:99999", "http://h?a=b", "http://[::1", "http://u:secret@h"]
)
def test_a_wrong_url_is_refused_and_no_password_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="must be a URL") as caught:
        Connection(url)
    assert "secret" not in str(caught.value)


def test_what_is_not_encrypted_is_not_taken_for_it() -> None:
    Connection("https://h", tls=ClientTls())
    with pytest.raises(ValueError, match=r"http://h is not encrypted, and TLS is asked for; write https://"):
        Connection("http://h", tls=ClientTls())
    assert "secret" not in repr(Connection("h:1", token="secret"))
