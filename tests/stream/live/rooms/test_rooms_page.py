"""The page of several rooms: a tile for each in a real Chromium, each in full, and rooms that come and go."""

from __future__ import annotations

import http.client
import json
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO
from urllib.parse import quote, urlsplit

import pytest

pytest.importorskip("websockets", reason="the page needs the extra `serve`")

from engine.processes.channel import Channel
from stream.live.page.content import PageContent
from stream.live.page.page import PageControls, PageFeed
from stream.live.rooms.audience import ChannelAudience
from stream.live.rooms.page import RoomsPage
from stream.live.states.view import LiveState
from stream.web.address import PageAddress
from tests.kit.chromium import Chromium, Tab, chromium_program, open_chromium
from tests.kit.live_views import live_view

needs_chromium = pytest.mark.skipif(
    chromium_program() is None, reason="no Chromium here (set POLYPSTREAM_CHROMIUM to its program)"
)
NAMES = ("OR-1", "OR_2", "Süd")
_DEADLINE_S = 60.0
#: The number that a canvas carries (`tests.kit.media.numbered_picture`).
NUMBER = """((canvas) => {
    const {width, height} = canvas;
    let number = 0;
    for (let bit = 0; bit < 8; bit++) {
        const [red] = canvas.getContext('2d').getImageData((2 * bit + 1) * width / 16, height / 8, 1, 1).data;
        if (red > 128) number += 1 << bit;
    }
    return number;
})"""


def _pipe() -> tuple[BinaryIO, BinaryIO]:
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb"), os.fdopen(writing, "wb")


class RoomSide:
    """What a room's process has of the page, joined to the page by real pipes."""

    def __init__(self, page: RoomsPage, name: str, controls: PageControls | None = None) -> None:
        (there_in, here_out), (here_in, there_out) = _pipe(), _pipe()
        self._here, self._there = Channel(here_in, here_out), Channel(there_in, there_out)
        self._writing = here_out, there_out
        self._room = page.rooms[name]
        self._room.join(self._there.send)
        self._threads = [threading.Thread(target=self._to_page), threading.Thread(target=self._to_room)]
        self._threads[0].start()
        self.feed = PageFeed(self._open, room=name, controls=controls)
        self._threads[1].start()
        self._number = self._shown = 0
        self._over = threading.Event()
        self._feeder = threading.Thread(target=self._show)

    def show(self, number: int) -> None:
        """Shows frames whose pictures carry this number from now on, so that the room is live."""
        self._number = number
        if self._feeder.ident is None:
            self._feeder.start()

    def die(self) -> None:
        """Ends without a word, as a killed process does."""
        self._over.set()
        if self._feeder.ident is not None:
            self._feeder.join()
        self.feed.close()
        for pipe in self._writing:
            pipe.close()
        for thread in self._threads:
            thread.join(_DEADLINE_S)
        self._here.close()
        self._there.close()

    def _show(self) -> None:
        while not self._over.wait(0.1):
            self._shown += 1
            self.feed.show(live_view(self._number + 256 * self._shown))

    def _open(self, content: PageContent) -> ChannelAudience:
        self._audience = ChannelAudience(self._here, content)
        return self._audience

    def _to_page(self) -> None:
        while (message := self._there.receive()) is not None:
            self._room.take(message)

    def _to_room(self) -> None:
        while (message := self._here.receive()) is not None:
            self._audience.take(message)


@pytest.fixture
def page() -> Iterator[RoomsPage]:
    with RoomsPage(PageAddress(port=0), NAMES, without_token=True) as page:
        yield page


@pytest.fixture
def sides(page: RoomsPage) -> Iterator[dict[str, RoomSide]]:
    """A process's side of each room; the pictures of the rooms carry the numbers 11, 12 and 13."""
    with ExitStack() as opened:
        made = {}
        for number, name in enumerate(NAMES, 11):
            made[name] = RoomSide(page, name, Recorder())
            opened.callback(made[name].die)
            made[name].show(number)
        yield made


class Recorder:
    """What browsers may do to a room; says what it was asked for."""

    def __init__(self) -> None:
        self.started = threading.Event()

    def start_recording(self) -> bool:
        self.started.set()
        return True

    def stop_recording(self) -> bool:
        return False


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def tab(chromium: Chromium) -> Tab:
    made = chromium.new_tab()
    made.resize(1200, 800)
    return made


def tile(number: int) -> str:
    """JavaScript: the tile of this number, from 0."""
    return f"document.querySelectorAll('.tile')[{number}]"


def shows(number: int, picture: int) -> str:
    """JavaScript: whether a tile is live and shows the picture with a number."""
    return (
        f"{tile(number)}?.dataset.state === 'running' && "
        f"{NUMBER}({tile(number)}.querySelector('.picture')) === {picture}"
    )


@needs_chromium
def test_a_tile_for_each_room_and_each_in_full(page: RoomsPage, sides: dict[str, RoomSide], tab: Tab) -> None:
    tab.open(page.url)
    for number in range(3):
        tab.wait_for(shows(number, 11 + number))
    assert tab.evaluate("[...document.querySelectorAll('.tile-name')].map((name) => name.textContent)") == list(NAMES)
    assert tab.evaluate(f"{tile(0)}.hasAttribute('data-found')")  # it shows a box
    tab.wait_for(f"{tile(2)}.querySelector('[data-part=count]').textContent === '1 detection'")
    tab.evaluate(f"{tile(2)}.click()")
    tab.wait_for(f"document.body.dataset.state === 'running' && {NUMBER}(document.getElementById('picture')) === 13")
    assert tab.evaluate("document.getElementById('room-name').textContent") == "Süd"
    assert tab.evaluate("document.title").startswith("Süd")
    tab.wait_for("document.querySelector('.entries img')?.naturalWidth > 0")  # the small picture of the polyp
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.evaluate("document.getElementById('room').click()")
    tab.wait_for(shows(0, 11))
    assert tab.console == []


@needs_chromium
def test_a_room_that_dies_does_so_alone_and_comes_back(page: RoomsPage, sides: dict[str, RoomSide], tab: Tab) -> None:
    tab.open(page.url)
    for number in range(3):
        tab.wait_for(shows(number, 11 + number))
    sides["OR_2"].die()
    page.rooms["OR_2"].leave(LiveState.RECONNECTING, "its process was ended by SIGKILL; it is started again in 0.5 s")
    tab.wait_for(f"{tile(1)}.dataset.state === 'reconnecting' && {tile(1)}.innerText.includes('SIGKILL')")
    tab.wait_for(f"{shows(0, 11)} && {shows(2, 13)}")
    again = RoomSide(page, "OR_2")
    again.show(14)
    tab.wait_for(shows(1, 14))
    again.die()
    page.rooms["OR_2"].leave(LiveState.ENDED, "exam.mp4 ended")
    tab.wait_for(f"{tile(1)}.dataset.state === 'ended' && {tile(1)}.innerText.includes('exam.mp4 ended')")
    assert tab.console == []


@needs_chromium
def test_what_is_asked_for_reaches_its_room_alone(page: RoomsPage, tab: Tab) -> None:
    recorders = {name: Recorder() for name in NAMES}
    with ExitStack() as opened:
        for name in NAMES:
            side = RoomSide(page, name, recorders[name])
            opened.callback(side.die)
            side.show(20)
        tab.open(f"{page.url}OR_2/")
        tab.wait_for("document.body.dataset.state === 'running' && !document.getElementById('record').hidden")
        tab.evaluate("document.getElementById('record').click()")
        assert recorders["OR_2"].started.wait(_DEADLINE_S)
        tab.wait_for("document.getElementById('toast').textContent === 'Recording.'")
    assert not recorders["OR-1"].started.is_set() and not recorders["Süd"].started.is_set()


@needs_chromium
@pytest.mark.parametrize("rooms", [2, 4])
def test_tiles_fit_wide_and_narrow_screens(rooms: int, tab: Tab) -> None:
    names = [f"room{number}" for number in range(rooms)]
    with RoomsPage(PageAddress(port=0), names, without_token=True) as page, ExitStack() as opened:
        for name in names:
            side = RoomSide(page, name)
            opened.callback(side.die)
            side.show(5)
        tab.open(page.url)
        for width, height, phone in ((1600, 900, False), (390, 844, True)):
            tab.resize(width, height, phone=phone)
            for number in range(rooms):
                tab.wait_for(shows(number, 5))
            boxes = tab.evaluate(
                "[...document.querySelectorAll('.frame')].map((frame) => frame.getBoundingClientRect().toJSON())"
            )
            assert all(box["left"] >= 0 and box["right"] <= width and box["width"] > 250 for box in boxes)
            rows = {round(box["top"]) for box in boxes}
            assert len(rows) == (rooms if phone else rooms // 2)
            if not phone:
                assert all(box["bottom"] <= height for box in boxes)


def _get(page: RoomsPage, path: str, *, cookie: str = "") -> tuple[int, bytes]:
    place = urlsplit(page.url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=_DEADLINE_S)
    try:
        connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_one_token_for_all_rooms_and_strangers_learn_no_name() -> None:
    with RoomsPage(PageAddress(port=0), NAMES, token="a-token-for-the-tests") as page:
        access = page._server._access
        home, cookie = access.home, access.set_cookie.partition(";")[0]
        for path in ("/", home, f"{home}OR-1/", f"{home}rooms.json", "/OR-1/", "/OR-1/page.css", f"{home}OR-1/live"):
            assert _get(page, path)[0] == 401, path
        assert [entry["name"] for entry in json.loads(_get(page, f"{home}rooms.json", cookie=cookie)[1])] == list(NAMES)
        for path, status in (
            ("", 200),
            ("OR-1/", 200),
            (f"{quote('Süd')}/", 200),
            ("OR-1/page.css", 200),
            ("OR-1/rooms.json", 404),
            ("nosuch/", 404),
            ("OR-1", 404),
            ("live", 404),
            ("OR-1/thumbnail/1.jpg", 404),
            ("%00/", 404),
        ):
            assert _get(page, home + path, cookie=cookie)[0] == status, path


def test_a_room_without_a_process_says_so(page: RoomsPage) -> None:
    from websockets.sync.client import connect

    place = urlsplit(page.url)
    with connect(f"ws://{place.netloc}/OR-1/live") as browser:
        hello, status, timeline = (json.loads(browser.recv(timeout=_DEADLINE_S)) for _ in range(3))
        assert (hello["room"], hello["controls"], timeline["entries"]) == ("OR-1", False, [])
        assert status["status"]["state"] == "connecting" and "started" in status["status"]["reason"]
        browser.send(json.dumps({"command": "start_recording"}))  # nobody there to take it
        page.close()
        assert json.loads(browser.recv(timeout=_DEADLINE_S))["status"]["state"] == "ended"
