"""Where the page is served."""

from __future__ import annotations

import contextlib
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from stream.web.address import PageAddress, host_of, is_loopback, open_socket, parse_page_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("8000", "127.0.0.1", 8000),
        ("0", "127.0.0.1", 0),
        ("0.0.0.0:8080", "0.0.0.0", 8080),
        ("localhost:80", "localhost", 80),
        ("tower-3.clinic.example:65535", "tower-3.clinic.example", 65535),
        ("[::1]:8000", "::1", 8000),
        ("[::]:8000", "::", 8000),
        ("[fe80::1%eth0]:8000", "fe80::1%eth0", 8000),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert parse_page_address(text) == PageAddress(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "page",
        ":8000",  # every interface, or this machine only? People differ
        "::1:8000",  # where does the address end?
        "localhost:",
        "65536",
        "-1",
        "8000 ",
        "[127.0.0.1]:8000",
        "[]:8000",
        "http://localhost:8000",
        "user@host:80",
        "٨٠٠٠",  # digits, but not those of a port
    ],
)
def test_what_is_no_address_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(InputError, match="8000") as caught:
        parse_page_address(text)
    assert repr(text) in str(caught.value)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_an_address_reads_back_as_it_is_written(host: object, port: int) -> None:
    address = PageAddress(str(host), port)
    assert parse_page_address(str(address)) == address
    assert host_of(str(address)) == str(host)


@given(st.text())
def test_reading_an_address_raises_nothing_else(text: str) -> None:
    with contextlib.suppress(InputError):
        assert 0 <= parse_page_address(text).port <= 65535


@pytest.mark.parametrize(
    ("netloc", "host"),
    [("Tower:80", "tower"), ("tower", "tower"), ("[::1]:80", "::1"), ("[::1]", "::1"), ("10.0.0.1:1", "10.0.0.1")],
)
def test_host_of(netloc: str, host: str) -> None:
    assert host_of(netloc) == host


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.9.1", True), ("localhost", True), ("0.0.0.0", False), ("192.0.2.1", False)],
)
def test_who_can_reach_an_address(host: str, loopback: bool) -> None:
    assert is_loopback(PageAddress(host, 0)) is loopback


def test_a_taken_port_is_one_clear_line() -> None:
    with open_socket(PageAddress("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with pytest.raises(InputError, match=rf"127\.0\.0\.1:{port}.*taken; choose another") as caught:
            open_socket(PageAddress("127.0.0.1", port))
    assert caught.value.exit_status == 2
    assert "\n" not in str(caught.value)


def test_the_address_of_another_machine_is_refused() -> None:
    with pytest.raises(InputError, match=r"192\.0\.2\.1:0.*no address of this machine"):  # kept for documentation
        open_socket(PageAddress("192.0.2.1", 0))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match=r"no-such-machine\.invalid:8000.*known"):
        is_loopback(PageAddress("no-such-machine.invalid", 8000))


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6 that takes IPv4 too")
def test_all_interfaces_in_the_new_way_take_the_old_one_too() -> None:
    with open_socket(PageAddress("::", 0)) as listening:
        socket.create_connection(("127.0.0.1", listening.getsockname()[1]), timeout=10).close()
