"""Connections against a server that says what a test wants said."""

from __future__ import annotations

import http.client
import pathlib
import time

import pytest

from serving.clients.connection import ClientTls, RestAddress
from serving.clients.http_connections import HttpAnswer, HttpConnections, TooLargeError
from serving.clients.proxy import HttpProxy
from tests.serving.clients.scripted_server import ScriptedServer, answer, scripted


def _connections(server: ScriptedServer, largest_bytes: int = 100) -> HttpConnections:
    return HttpConnections(RestAddress(False, "localhost", server.port, "/a"), None, None, largest_bytes)


def _get(connections: HttpConnections, seconds: float = 60) -> HttpAnswer:
    return connections.request("GET", "/x", {"Accept": "text/plain"}, None, time.monotonic() + seconds)


def test_a_connection_is_used_again_and_replaced_when_the_server_has_closed_it() -> None:
    with scripted([answer(b"1"), answer(b"2")], [answer(b"3")]) as server:
        connections = _connections(server)
        assert [_get(connections).body for _ in range(3)] == [b"1", b"2", b"3"]
        connections.close()
    assert [len(came) for came in server.requests] == [2, 1]
    assert server.requests[0][0].startswith(b"GET /a/x HTTP/1.1\r\nHost: localhost")


def test_bodies_by_length_by_chunk_and_to_the_end() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    until_closed = b"HTTP/1.0 404 Not There\r\nContent-Type: text/html\r\n\r\n<html>"
    moved = answer(b"", "301 Moved", more="Location: https://x\r\n")
    with scripted([chunked, moved, until_closed], [answer(b"z", more="Connection: close\r\n")]) as server:
        connections = _connections(server)
        assert _get(connections).body == b"abcde"
        assert _get(connections).location == "https://x"
        assert _get(connections) == HttpAnswer(404, "Not There", "text/html", "", b"<html>")
        assert _get(connections).body == b"z"


def test_a_new_connection_that_breaks_is_not_tried_again() -> None:
    with scripted([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"], [b"\0\0\x04no http\r\n"]) as server:
        connections = _connections(server)
        with pytest.raises(http.client.IncompleteRead) as caught:
            _get(connections)
        assert caught.value.partial == b"abc"
        with pytest.raises(http.client.BadStatusLine):
            _get(connections)
    with pytest.raises(ConnectionError):
        _get(connections)


def test_who_says_nothing_or_breaks_off_in_the_middle_is_late() -> None:
    with scripted([b""], [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", b""]) as server:
        connections = _connections(server)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                _get(connections, 0.2)
        with pytest.raises(TimeoutError):
            _get(connections, -1)


def test_too_much_is_not_taken() -> None:
    with scripted([answer(b"x" * 101)]) as server, pytest.raises(TooLargeError, match="more than 100 bytes"):
        _get(_connections(server))


def test_a_proxy_is_told_the_whole_address() -> None:
    with scripted([answer(b"1")], [answer(b"", "403 Forbidden")]) as server:
        proxy = HttpProxy("localhost", server.port, "Basic abc", "")
        plain = HttpConnections(RestAddress(False, "::1", 81, "/a"), proxy, None, 100)
        assert _get(plain).body == b"1"
        tunnelled = HttpConnections(RestAddress(True, "models.example", 443, "/a"), proxy, None, 100)
        with pytest.raises(OSError, match="403 Forbidden"):
            _get(tunnelled)
    (plain_head,), (tunnel_head,) = server.requests
    assert plain_head.startswith(b"GET http://[::1]:81/a/x HTTP/1.1\r\n")
    assert tunnel_head.startswith(b"CONNECT models.example:443 HTTP/1.")
    assert all(b"Proxy-Authorization: Basic abc" in head for head in (plain_head, tunnel_head))


def test_a_wrong_file_of_tls_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.pem").write_text("nonsense")
    address = RestAddress(True, "h", 1, "")
    with pytest.raises(OSError, match=r"a\.pem: cannot be used as certificates in PEM of who may vouch"):
        HttpConnections(address, None, ClientTls(ca_file=tmp_path / "a.pem"), 1)
    tls = ClientTls(certificate_file=tmp_path / "a.pem", key_file=tmp_path / "none.pem")
    with pytest.raises(OSError, match=r"a\.pem: cannot be used as a certificate in PEM with the key .*none\.pem"):
        HttpConnections(address, None, tls, 1)
