"""What strangers and bad browsers can take of the machine: little, and never the places of those who are known."""

from __future__ import annotations

import dataclasses
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("websockets", reason="the page needs the extra `serve`")

from websockets.exceptions import InvalidStatus

from engine.errors import InputError
from stream.live.page.page import LivePage, PageSettings
from stream.web.limits import PageLimits, Places, RefusalLog, network_of
from tests.kit.live_views import live_view
from tests.stream.live.page.test_page import TOKEN, ask, enter, viewer

PATIENCE_S = 30
SMALL = PageLimits(strangers=6, strangers_of_one_address=4, known=8, browsers=2, unread_bytes=4096, request_bytes=2048)


@contextmanager
def small_page(**limits: Any) -> Iterator[LivePage]:
    settings = PageSettings(limits=dataclasses.replace(SMALL, **limits))
    with LivePage(port=0, token=TOKEN, settings=settings) as page:
        yield page


def dial(page: LivePage, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((page.address.host, page.address.port), PATIENCE_S, source_address=(source, 0))


def is_cut(connection: socket.socket, wait_s: float = 0.0) -> bool:
    """Whether the server has ended a connection; what it had to say before is left out."""
    connection.settimeout(wait_s)
    try:
        while connection.recv(65_536):
            pass
    except (TimeoutError, BlockingIOError):
        return False
    except ConnectionError:
        pass
    return True


def count_open(connections: list[socket.socket]) -> int:
    return sum(not is_cut(connection) for connection in connections)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


# the rules alone


def test_the_one_that_was_there_longest_gives_way() -> None:
    places: Places[int] = Places(PageLimits(strangers=4, strangers_of_one_address=2, known=1))
    assert [places.enter(number, "a") for number in (1, 2)] == [None, None]
    assert places.enter(3, "a") == 1  # too many of one address: its own
    assert [places.enter(number, "b") for number in (4, 5)] == [None, None]
    assert places.enter(6, "c") == 2  # too many in all: the first of all
    assert places.taken == 4
    places.leave(3)
    places.leave(3)
    assert places.enter(7, "c") is None


def test_who_is_known_gives_way_to_nobody() -> None:
    places: Places[int] = Places(PageLimits(strangers=2, strangers_of_one_address=2, known=1))
    places.enter(1, "a")
    assert places.recognise(1) and places.recognise(1)
    assert [places.enter(number, "a") for number in range(2, 6)] == [None, None, 2, 3]
    assert not places.recognise(5)  # the places for those who are known are taken
    places.leave(1)
    assert places.recognise(5)
    assert places.taken == 2


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
    ],
)
def test_what_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize("bad", [{"strangers": 0}, {"known": 0}, {"opening_s": 0.0}, {"unread_bytes": -1}])
def test_limits_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        PageLimits(**bad)


def test_what_is_refused_is_told_at_a_bounded_rate(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    log = RefusalLog(logging.getLogger("stream.test"), 10, lambda: now_s)
    for second in range(25):
        now_s = float(second)
        for _ in range(100):
            log.note("guests")
    log.note("others")
    log.flush()
    log.flush()
    said = [record.getMessage().removeprefix("the page refused ") for record in caplog.records]
    assert said == ["guests (1)", "guests (1000)", "guests (1000)", "guests (499), others (1)"]


# real connections


def test_silent_connections_take_few_places_and_keep_nobody_out(caplog: pytest.LogCaptureFixture) -> None:
    with small_page() as page, ExitStack() as stack:
        home, cookie = enter(page)
        kept = {"Cookie": cookie.partition(";")[0]}
        silent = []
        with viewer(page, home, **kept) as seen:
            for _ in range(100):
                silent.append(stack.enter_context(dial(page)))
            wait_until(lambda: count_open(silent) <= 4)
            # Who is connected goes on, and who knows the token still comes in.
            page.show(live_view(1))
            assert seen.next_frame()[0]["frame"] == 1
            assert ask(page, home, **kept)[0].status == 200
            with viewer(page, home, **kept):
                pass
    said = [record.getMessage() for record in caplog.records if record.name.startswith("stream.live.page")]
    assert 1 <= len(said) <= 3 and all("as too many were open" in line for line in said)


def test_an_address_takes_only_its_own_places() -> None:
    if sys.platform != "linux":
        pytest.skip("only on Linux the whole of 127.0.0.0/8 is this machine")
    with small_page() as page, ExitStack() as stack:
        one = [stack.enter_context(dial(page, "127.0.0.2")) for _ in range(3)]
        other = [stack.enter_context(dial(page, "127.0.0.3")) for _ in range(20)]
        wait_until(lambda: count_open(other) <= 4)
        assert count_open(one) == 2  # six places in all, four of them of the other address
        more = [stack.enter_context(dial(page, f"127.0.0.{number}")) for number in range(10, 30)]
        wait_until(lambda: count_open(more + one + other) <= 6)


def test_strangers_with_requests_cannot_take_the_places_of_browsers() -> None:
    """They ask for what needs the token, read nothing, and stay."""
    with small_page() as page, ExitStack() as stack:
        home, cookie = enter(page)
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        upgrade += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        for path in ("/live", f"{home}live", "/", "/page.js") * 10:
            stranger = stack.enter_context(dial(page))
            stranger.sendall(f"GET {path} HTTP/1.1\r\nHost: {page.address}\r\n{upgrade}\r\n".encode())
        kept = {"Cookie": cookie.partition(";")[0]}
        with viewer(page, home, **kept), viewer(page, home, **kept):
            with pytest.raises(InvalidStatus) as caught, viewer(page, home, **kept):
                pass
            assert caught.value.response.status_code == 503


def test_too_many_who_are_known_are_told_so() -> None:
    with small_page(known=1) as page:
        home, cookie = enter(page)
        kept = {"Cookie": cookie.partition(";")[0]}
        with viewer(page, home, **kept):
            assert ask(page, home, **kept)[0].status == 503
        wait_until(lambda: ask(page, home, **kept)[0].status == 200)


@pytest.mark.parametrize(
    "pieces",
    [
        [],  # silence
        [b"GET / HT"],
        [b"GET / HTTP/1.1\r\n", b"Host: 127.0.0.1\r\n", *(f"X-{n}: 1\r\n".encode() for n in range(100))],
    ],
    ids=["silence", "half a line", "a header now and then"],
)
def test_a_request_has_to_come_in_time(pieces: list[bytes]) -> None:
    with small_page(opening_s=0.3) as page, dial(page) as slow:
        started_s = time.monotonic()
        with pytest.raises(ConnectionError):  # the end, on one side or the other
            for piece in pieces:
                slow.sendall(piece)
                if is_cut(slow, 0.02):
                    raise ConnectionResetError
            while not is_cut(slow, 0.02):
                assert time.monotonic() - started_s < PATIENCE_S
            raise ConnectionResetError
        assert time.monotonic() - started_s < PATIENCE_S / 2


def test_a_request_has_a_longest_length() -> None:
    with small_page() as page, dial(page) as endless:
        endless.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(ConnectionError):
            for number in range(100):
                endless.sendall(f"X-{number}: {'x' * 1000}\r\n".encode())
                if is_cut(endless, 0.01):
                    raise ConnectionResetError


def test_who_pings_and_never_reads_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """Such a browser made the program grow by as much as it liked."""
    with small_page() as page:
        home, cookie = enter(page)
        kept = {"Cookie": cookie.partition(";")[0]}
        with viewer(page, home, **kept) as seen, dial(page) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            wanted = {
                "Host": page.address,
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Version": 13,
                "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
                **kept,
            }
            lines = [f"GET {home}live HTTP/1.1", *(f"{name}: {value}" for name, value in wanted.items()), "", ""]
            deaf.sendall("\r\n".join(lines).encode())
            assert deaf.recv(12) == b"HTTP/1.1 101"
            ping = b"\x89\xfd" + bytes(4) + b"x" * 125  # masked by zeros
            sent = 0
            with pytest.raises(ConnectionError):
                while sent < 32e6:  # the buffers of the two ends hold some megabytes
                    deaf.sendall(ping * 1000)
                    sent += 1000 * len(ping)
            assert "did not read the answers (1)" in caplog.text
            page.show(live_view(1))
            assert seen.next_frame()[0]["frame"] == 1


def test_who_pings_and_reads_stays() -> None:
    with small_page() as page:
        home, cookie = enter(page)
        with viewer(page, home, Cookie=cookie.partition(";")[0]) as seen:
            for number in range(300):  # ten times what may be left unread
                assert seen.connection.ping(str(number).ljust(120)).wait(PATIENCE_S)
            page.show(live_view(1))
            assert seen.next_frame()[0]["frame"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="its programs have no such limit")
def test_recordings_can_start_while_strangers_ask_for_every_file_descriptor() -> None:
    """The page in a process with few descriptors, the strangers in another one."""
    program = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
from stream.web.limits import PageLimits
from stream.live.page.page import LivePage, PageSettings
with LivePage(port=0, settings=PageSettings(limits=PageLimits(opening_s=600))) as page:
    print(page.address.port, flush=True)
    sys.stdin.readline()
    print(len([open(sys.executable) for _ in range(40)]), flush=True)
    sys.stdin.readline()
"""
    root = Path(__file__).resolve().parents[4]
    command = [sys.executable, "-c", program]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=root, **pipes) as process, ExitStack() as stack:
        assert process.stdin is not None and process.stdout is not None
        port = int(process.stdout.readline())
        strangers = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 60)) for _ in range(150)]
        wait_until(lambda: count_open(strangers) <= 16)
        process.stdin.write("now\n")
        process.stdin.flush()
        assert process.stdout.readline() == "40\n"
        process.stdin.write("end\n")
        process.stdin.flush()
