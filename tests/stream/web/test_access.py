"""Who may see the page."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from stream.web.access import PageAccess, check_token, make_token

TOKEN = "a-good-long-token"


@pytest.mark.parametrize(
    "token", ["", "short", "fifteen-letters", "with spaces in the token", "naïve-token-of-letters"]
)
def test_weak_tokens_are_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(InputError, match="16 or more") as caught:
        check_token(token)
    assert not token or token not in str(caught.value)


def test_tokens_that_are_made_pass_and_differ() -> None:
    first, second = make_token(), make_token()
    check_token(first)
    check_token(None)
    assert first != second


@pytest.mark.parametrize(
    ("hosts", "known"),
    [
        (["127.0.0.1:8000"], True),
        (["127.0.0.1:9000"], True),  # another port: the near end of a tunnel
        (["localhost:8000"], True),
        (["LOCALHOST"], True),
        (["[::1]:8000"], True),
        (["192.0.2.7:8000"], True),  # a plain address is never rebound
        ([f"{socket.gethostname()}:8000"], True),
        (["tower:8000"], True),
        (["attacker.example:8000"], False),
        (["tower.attacker.example:8000"], False),
        (["localhost.attacker.example"], False),
        ([""], False),
        ([], False),
        (["127.0.0.1:8000", "attacker.example"], False),
    ],
)
def test_names_of_other_sites_are_refused(hosts: list[str], known: bool) -> None:
    assert PageAccess(None, host="tower", port=8000).knows_host(hosts) is known


@pytest.mark.parametrize(
    ("origins", "same"),
    [
        ([], True),  # a program, not a browser
        (["http://127.0.0.1:8000"], True),
        (["https://127.0.0.1:8000"], True),  # behind a proxy that adds TLS
        (["http://127.0.0.1:8001"], False),
        (["http://127.0.0.1"], False),
        (["http://attacker.example"], False),
        (["http://attacker.example/127.0.0.1:8000"], False),
        (["null"], False),
        (["http://127.0.0.1:8000", "http://attacker.example"], False),
    ],
)
def test_pages_of_other_sites_are_refused(origins: list[str], same: bool) -> None:
    assert PageAccess.same_origin(origins, "127.0.0.1:8000") is same


def test_the_right_token_is_changed_for_a_cookie_that_does_not_hold_it() -> None:
    access = PageAccess(TOKEN, host="0.0.0.0", port=8000)
    assert access.fits(TOKEN)
    cookie, *attributes = access.set_cookie.split("; ")
    assert access.admits([f"other=1; {cookie}; more=x"])
    assert TOKEN not in cookie
    assert {"HttpOnly", "SameSite=Strict", f"Path={access.home}"} == set(attributes)
    assert access.home.startswith("/") and access.home.endswith("/") and TOKEN not in access.home


_ACCESS = PageAccess(TOKEN, host="0.0.0.0", port=8000)


@given(st.text())
def test_other_tokens_and_cookies_are_refused(text: str) -> None:
    access = _ACCESS
    assert access.fits(text) == (text == TOKEN)
    assert not access.admits([text, f"polypstream_8000={text}"])
    assert not access.admits([])


def test_cookies_of_another_port_or_token_do_not_count() -> None:
    access = PageAccess(TOKEN, host="0.0.0.0", port=8000)
    for other in (PageAccess(TOKEN, host="0.0.0.0", port=8001), PageAccess(make_token(), host="0.0.0.0", port=8000)):
        assert not access.admits([other.set_cookie.partition(";")[0]])


def test_without_a_token_every_browser_is_admitted_and_no_token_fits() -> None:
    access = PageAccess(None, host="127.0.0.1", port=8000)
    assert access.admits([])
    assert not access.fits("")
    assert access.home == "/"
