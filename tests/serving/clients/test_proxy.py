from __future__ import annotations

import base64

import pytest

from serving.clients.connection import RestAddress
from serving.clients.proxy import http_proxy, proxy_advice


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "all_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("variable", ["grpc_proxy", "https_proxy", "http_proxy"])
def test_the_variable_that_grpc_takes_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_advice("localhost:8500") == ""
    monkeypatch.setenv(variable, "http://proxy.example:3128")
    assert f"the proxy proxy.example:3128, which the environment variable {variable}" in proxy_advice("localhost:8500")
    assert proxy_advice("localhost:8500").endswith("set no_proxy=localhost")


def test_hosts_that_are_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "localhost, .intranet,::1")
    assert not proxy_advice("localhost:8500")
    assert not proxy_advice("[::1]:8500")
    assert not proxy_advice("models.intranet:8500")
    assert proxy_advice("models.example:8500").endswith("set no_proxy=localhost, .intranet,::1,models.example")


def test_rest_goes_through_the_proxy_of_its_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, encrypted = (RestAddress(kind, "models.example", 8501, "") for kind in (False, True))
    assert http_proxy(plain) is http_proxy(encrypted) is None
    monkeypatch.setenv("http_proxy", "http://user:p%40ss@proxy.example:3128")
    assert http_proxy(encrypted) is None
    proxy = http_proxy(plain)
    assert proxy is not None and (proxy.host, proxy.port) == ("proxy.example", 3128)
    assert proxy.authorization == "Basic " + base64.b64encode(b"user:p@ss").decode()
    assert "the proxy proxy.example:3128, which the environment variable http_proxy names" in proxy.advice
    assert "set no_proxy=models.example" in proxy.advice
    monkeypatch.setenv("no_proxy", "localhost,.example")
    assert http_proxy(plain) is None
    monkeypatch.setenv("https_proxy", "socks5://me:secret@proxy.example:1")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(OSError, match=r"https_proxy must name a proxy as http://HOST:PORT, found 'proxy\.example:1'"):
        http_proxy(encrypted)
