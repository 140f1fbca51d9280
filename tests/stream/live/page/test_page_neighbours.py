"""Real browsers that have the page open, and meet the pages of others: of this machine, and of the network.

The attacker serves its pages on another port of 127.0.0.1, as another user of the machine can. Browsers take that for
the same site, so `SameSite` does not help. Or it has a name that leads to 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("websockets", reason="the page needs the extra `serve`")

from stream.live.page.page import LivePage
from tests.kit.browser_tab import BrowserTab
from tests.kit.chromium import chromium_program, open_chromium
from tests.kit.firefox import firefox_program, open_firefox
from tests.kit.live_views import live_view

pytestmark = pytest.mark.slow

TOKEN = "a-token-for-the-tests"
EVIL = "evil.test"
OPEN = "document.body?.dataset.state !== undefined"
ASKS = "document.querySelector('input[name=token]') !== null"


@contextmanager
def _chromium() -> Iterator[BrowserTab]:
    with open_chromium(f"--host-resolver-rules=MAP {EVIL} 127.0.0.1") as browser:
        yield browser.new_tab()


@contextmanager
def _firefox() -> Iterator[BrowserTab]:
    with open_firefox(network_dns_localDomains=EVIL) as tab:
        yield tab


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            _chromium,
            id="chromium",
            marks=pytest.mark.skipif(
                chromium_program() is None, reason="no Chromium here (set POLYPSTREAM_CHROMIUM to its program)"
            ),
        ),
        pytest.param(
            _firefox,
            id="firefox",
            marks=pytest.mark.skipif(
                firefox_program() is None, reason="no Firefox here (set POLYPSTREAM_FIREFOX to its program)"
            ),
        ),
    ],
)
def tab(request: pytest.FixtureRequest) -> Iterator[BrowserTab]:
    with request.param() as tab:
        yield tab


class Recorder:
    """A stand-in for the recorder of a live run."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start_recording(self) -> bool:
        self.calls.append("start")
        return True

    def stop_recording(self) -> bool:
        self.calls.append("stop")
        return False


@dataclass
class Attacker:
    """A server of somebody else's on this machine, which notes what browsers tell it."""

    port: int
    cookies: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/"


@pytest.fixture
def attacker() -> Iterator[Attacker]:
    noted = Attacker(0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            noted.paths.append(self.path)
            noted.cookies.append(self.headers["Cookie"])
            body = b"<!doctype html><title>attacker</title><body>attacker"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    noted.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="attacker")
    thread.start()
    yield noted
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def page(recorder: Recorder) -> Iterator[LivePage]:
    with LivePage(port=0, token=TOKEN, controls=recorder) as page:
        page.show(live_view(1))
        yield page


@pytest.fixture
def home(page: LivePage, tab: BrowserTab) -> str:
    """The address of the page after the browser was let in."""
    tab.open(page.url)
    tab.wait_for(OPEN)
    return str(tab.evaluate("location.href"))


def _visit(tab: BrowserTab, url: str) -> None:
    tab.open(url)
    tab.wait_for("document.title === 'attacker' && document.readyState === 'complete'")


def test_who_was_let_in_finds_the_page_again(page: LivePage, home: str, tab: BrowserTab) -> None:
    assert TOKEN not in home and tab.evaluate("document.cookie") == ""
    tab.open(f"http://{page.address}/")
    tab.wait_for(f"{OPEN} && location.href === '{home}'")
    assert tab.evaluate("performance.getEntriesByType('navigation')[0].name") == home


def test_the_next_run_asks_for_the_token_again(page: LivePage, home: str, tab: BrowserTab) -> None:
    page.close()
    tab.wait_for("document.body.dataset.state === 'ended'")
    with LivePage(port=page.address.port, token=TOKEN) as next_page:
        # The open page finds out by itself, and leaves the path of the old run.
        tab.wait_for(f"location.pathname === '/' && {ASKS}")
        tab.open(next_page.url)
        tab.wait_for(OPEN)
        assert tab.evaluate("location.href") != home


def test_a_neighbours_server_is_sent_no_cookie(home: str, tab: BrowserTab, attacker: Attacker) -> None:
    _visit(tab, attacker.url())
    for path in ("live", "thumbnail/1.jpg", "index.html"):
        tab.evaluate(f"fetch('/{path}', {{credentials: 'include'}}).then((answer) => answer.status)")
    assert {"/", "/live", "/thumbnail/1.jpg"} <= set(attacker.paths)
    assert not any("polypstream" in (cookie or "") for cookie in attacker.cookies)
    assert tab.evaluate("localStorage.length") == 0  # where the path of the page is kept: of another origin


@pytest.mark.parametrize("host", ["127.0.0.1", EVIL])
def test_another_page_cannot_put_the_page_in_a_frame(
    page: LivePage, home: str, tab: BrowserTab, attacker: Attacker, host: str
) -> None:
    """Whose buttons a person would press without seeing them."""
    clients = page._server._clients
    _wait(lambda: len(clients) == 1)  # the page itself, which is open
    _visit(tab, attacker.url(host))
    _wait(lambda: not clients)
    tab.evaluate(
        f"""new Promise((resolve) => {{
            const frame = document.createElement('iframe');
            frame.onload = frame.onerror = () => setTimeout(() => resolve(true), 700);
            frame.src = '{home}';
            document.body.append(frame);
        }})"""
    )
    assert not clients


@pytest.mark.parametrize("host", ["127.0.0.1", EVIL])
def test_another_page_can_neither_read_nor_ask(
    page: LivePage, home: str, tab: BrowserTab, attacker: Attacker, recorder: Recorder, host: str
) -> None:
    """Even if it has learned the path of the page."""
    _visit(tab, attacker.url(host))
    live = home.replace("http", "ws", 1) + "live"
    socket = f"""new Promise((resolve) => {{
        const socket = new WebSocket('{live}');
        socket.onopen = () => {{ socket.send('{{"command": "start_recording"}}'); resolve('opened'); }};
        socket.onerror = () => resolve('refused');
    }})"""
    assert tab.evaluate(socket) == "refused"
    for url in (home, f"http://{page.address}/page.js"):
        assert (
            tab.evaluate(f"fetch('{url}', {{credentials: 'include'}}).then(() => 'read', () => 'refused')") == "refused"
        )
    for path in ("icon.svg", "thumbnail/1.jpg"):
        image = f"""new Promise((resolve) => {{
            const image = new Image();
            image.onload = () => resolve('shown');
            image.onerror = () => resolve('refused');
            image.src = '{home}{path}';
        }})"""
        assert tab.evaluate(image) == "refused"
    posted = f"fetch('{home}', {{method: 'POST', mode: 'no-cors', credentials: 'include'}}).then(() => 1, () => 1)"
    assert tab.evaluate(posted) == 1
    assert recorder.calls == []


def test_a_name_that_leads_to_this_machine_is_refused(page: LivePage, home: str, tab: BrowserTab) -> None:
    path = home.split("/", 3)[3]
    tab.open(f"http://{EVIL}:{page.address.port}/{path}")
    tab.wait_for(f"location.hostname === '{EVIL}' && document.body?.innerText.includes('not served under this name')")
    for asked in ("/", f"/{path}", f"/?token={TOKEN}", f"/{path}thumbnail/1.jpg"):
        assert tab.evaluate(f"fetch('{asked}').then((answer) => answer.status, () => 403)") == 403
    socket = f"""new Promise((resolve) => {{
        const socket = new WebSocket('ws://{EVIL}:{page.address.port}/{path}live');
        socket.onopen = () => resolve('opened');
        socket.onerror = () => resolve('refused');
    }})"""
    assert tab.evaluate(socket) == "refused"


def _wait(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
