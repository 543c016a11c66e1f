from __future__ import annotations

import pytest

from serving.clients.proxy import proxy_advice


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


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
