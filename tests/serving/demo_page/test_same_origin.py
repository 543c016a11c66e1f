"""Who may use the page's server."""

from __future__ import annotations

import ipaddress
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.demo_page.same_origin import host_refusal, origin_refusal


def _headers(*pairs: tuple[str, str]) -> Message:
    headers = Message()
    for name, value in pairs:
        headers.add_header(name, value)
    return headers


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8600", "[::1]:8600", "[::1]", "box.lan:1"])
def test_the_page_is_reached_by_its_own_names(host: str) -> None:
    assert host_refusal(_headers(("Host", host)), {"box.lan"}) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8600",
        "localhost.evil.example",
        "evil.example@127.0.0.1",
        "127.0.0.1.evil.example",
        "127.0.0.1:80:80",
        "",
        "[::1",
        "127.0.0.1/",
        "2130706433x",
    ],
)
def test_a_name_that_was_made_to_resolve_here_is_refused(host: str) -> None:
    assert host_refusal(_headers(("Host", host)), {"box.lan"})


def test_a_request_has_one_host() -> None:
    assert host_refusal(_headers(), ())
    assert host_refusal(_headers(("Host", "localhost"), ("Host", "evil.example")), ())


def test_who_is_refused_is_told_the_option() -> None:
    assert "--allowed_host box.lan" in str(host_refusal(_headers(("Host", "Box.lan:80")), ()))


@given(st.ip_addresses(), st.integers(0, 65535))
def test_an_address_is_no_name_that_could_be_made_to_resolve(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    host = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    assert host_refusal(_headers(("Host", host)), ()) is None


@given(st.from_regex(r"[a-z0-9-]{1,9}(\.[a-z0-9-]{1,9}){0,3}", fullmatch=True))
def test_any_other_name_is_refused(name: str) -> None:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        assert (host_refusal(_headers(("Host", name)), ()) is None) == (name == "localhost")


@pytest.mark.parametrize(
    "sent",
    [
        (),
        (("Origin", "http://localhost:8600"), ("Sec-Fetch-Site", "same-origin")),
        (("Origin", "https://localhost:8600"),),
        (("Sec-Fetch-Site", "none"),),
    ],
)
def test_the_page_itself_and_programs_may_ask(sent: tuple[tuple[str, str], ...]) -> None:
    assert origin_refusal(_headers(("Host", "localhost:8600"), *sent)) is None


@pytest.mark.parametrize(
    "sent",
    [
        ("Origin", "http://evil.example"),
        ("Origin", "http://localhost:8601"),
        ("Origin", "http://localhost"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ],
)
def test_pages_of_others_may_not_ask(sent: tuple[str, str]) -> None:
    assert origin_refusal(_headers(("Host", "localhost:8600"), sent))
