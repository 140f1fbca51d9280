"""The page's server: what it sends, whom it lets in, and what slow or silent browsers do to it (nothing)."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("websockets", reason="the page needs the extra `serve`")

from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from engine.errors import InputError, WriteError
from engine.pictures.picture import Picture
from stream.live.page.page import LivePage, PageSettings
from stream.live.states.view import CountingSink, LiveSink, LiveState, LiveView, RefreshedSink
from tests.kit.live_views import RUNNING, live_view
from tests.kit.media import picture_number

TOKEN = "a-token-for-the-tests"
PATIENCE_S = 30


@pytest.fixture
def page() -> Iterator[LivePage]:
    with LivePage(port=0, without_token=True) as page:
        yield page


class Viewer:
    """What a browser does, without one."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.texts: list[dict[str, Any]] = []

    def next_frame(self) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
        """The next frame's header and picture; texts that come before it are kept."""
        while True:
            message = self.connection.recv(timeout=PATIENCE_S)
            if isinstance(message, bytes):
                return decode(message)
            self.texts.append(json.loads(message))

    def next_text(self, kind: str) -> dict[str, Any]:
        """The next text of a kind; everything else is left out."""
        while True:
            message = self.connection.recv(timeout=PATIENCE_S)
            if isinstance(message, str) and (text := json.loads(message))["type"] == kind:
                assert isinstance(text, dict)
                return text

    def wait_for_state(self, state: str) -> dict[str, Any]:
        """The first status that tells this state; everything before it is left out."""
        while (status := self.next_text("status")["status"])["state"] != state:
            pass
        assert isinstance(status, dict)
        return status

    def drawn(self, index: int) -> None:
        self.say(drawn=index)

    def say(self, **message: object) -> None:
        self.connection.send(json.dumps(message))


@contextmanager
def viewer(page: LivePage, home: str = "/", **headers: str) -> Iterator[Viewer]:
    """A connected viewer that has been greeted."""
    with connect(f"ws://{page.address}{home}live", additional_headers=headers, max_size=None) as connection:
        seen = Viewer(connection)
        seen.next_text("hello")
        yield seen


def decode(message: bytes) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    (length,) = struct.unpack_from(">I", message)
    picture = cv2.imdecode(np.frombuffer(message, np.uint8, offset=4 + length), cv2.IMREAD_COLOR)
    assert picture is not None
    return json.loads(message[4 : 4 + length]), picture


def ask(page: LivePage, path: str, **headers: str) -> tuple[HTTPResponse, bytes]:
    """The answer to a GET request; `Host` is the page's own unless given."""
    connection = HTTPConnection(page.address.host, page.address.port, timeout=PATIENCE_S)
    connection.request("GET", path, headers={key.replace("_", "-"): value for key, value in headers.items()})
    answer = connection.getresponse()
    return answer, answer.read()


def enter(page: LivePage) -> tuple[str, str]:
    """Gives the token; returns the path of the page, and the header that sets the cookie."""
    answer, body = ask(page, f"/?token={TOKEN}")
    assert TOKEN.encode() not in body
    found = re.search(rb"url=([^\"]+)", body)
    assert answer.status == 200 and found is not None
    return found[1].decode(), answer.headers["Set-Cookie"]


def show_until(page: LivePage, done: Callable[[], bool], *, first: int = 0) -> int:
    """Shows numbered views, as fast as they are made, until something is so; returns the next number."""
    deadline = time.monotonic() + PATIENCE_S
    index = first
    while not done():
        assert time.monotonic() < deadline
        page.show(live_view(index))
        index += 1
    return index


def test_a_page_is_a_sink_of_live_runs(page: LivePage) -> None:
    sinks: list[LiveSink] = [page]
    assert isinstance(sinks[0], RefreshedSink)
    assert not isinstance(sinks[0], CountingSink)


def test_a_frame_comes_with_its_own_boxes_and_status(page: LivePage) -> None:
    with viewer(page) as seen:
        for index in (7, 8, 9):
            page.show(live_view(index, tracks=(index,), score=0.75))
            header, picture = seen.next_frame()
            seen.drawn(index)
            assert header["frame"] == header["detected_on"] == picture_number(picture) == index
            assert header["source_wh"] == [320, 240]
            assert header["field_of_view_xyxy"] == [0, 0, 320, 240]
            assert header["time_s"] == pytest.approx(index / 25)
            assert header["boxes"] == [
                {"box_xyxy": [96, 96, 160, 168], "score": 0.75, "label": "polyp", "track_id": index, "kind": None}
            ]


def test_the_state_of_the_run_comes_with_the_frames(page: LivePage) -> None:
    with viewer(page) as seen:
        page.show(live_view(7, dropped={"busy": 3}))
        status = seen.wait_for_state("running")
        assert (status["captured"], status["dropped"]) == (8, {"busy": 3})
        assert status["delays"] == {"video_ms": 0.5, "annotation_ms": 40.0}


def test_a_frame_that_is_sent_late_does_not_bring_back_an_old_state(page: LivePage) -> None:
    with viewer(page) as seen:
        for index in range(2):  # none of them is said to be drawn, so the next one waits
            page.show(live_view(index))
            assert seen.next_frame()[0]["frame"] == index
        page.show(live_view(2))
        page.idle(dataclasses.replace(RUNNING, state=LiveState.STALLED))
        seen.wait_for_state("stalled")
        seen.texts.clear()
        seen.drawn(1)
        assert seen.next_frame()[0]["frame"] == 2
        page.idle(dataclasses.replace(RUNNING, state=LiveState.ENDED))
        later = [text["status"]["state"] for text in seen.texts if text["type"] == "status"]
        while (state := seen.next_text("status")["status"]["state"]) != "ended":
            later.append(state)
        assert "running" not in later


def test_large_pictures_are_scaled_down_and_boxes_are_not() -> None:
    with LivePage(port=0, without_token=True, settings=PageSettings(max_width=400)) as page, viewer(page) as seen:
        page.show(live_view(3, size_wh=(1000, 600)))
        header, picture = seen.next_frame()
        assert picture.shape == (240, 400, 3)
        assert header["source_wh"] == [1000, 600]
        assert header["boxes"][0]["box_xyxy"] == [300, 240, 500, 420]


@pytest.mark.parametrize("bad", [{"quality": 0}, {"quality": 101}, {"max_width": 2}])
def test_settings_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=str(next(iter(bad.values())))):
        PageSettings(**bad)


def test_who_joins_a_stalled_run_sees_the_newest_picture_and_that_it_is_stalled(page: LivePage) -> None:
    with viewer(page) as first:
        page.show(live_view(4))
        first.next_frame()
        page.show(live_view(5))
        assert first.next_frame()[0]["frame"] == 5
        page.idle(dataclasses.replace(RUNNING, state=LiveState.STALLED, reason="no frame for 2 s"))
        assert first.wait_for_state("stalled")["reason"] == "no frame for 2 s"
        with connect(f"ws://{page.address}/live") as connection:
            second = Viewer(connection)
            header, picture = second.next_frame()
            assert header["frame"] == picture_number(picture) == 5
            [greeting] = [text for text in second.texts if text["type"] == "status"]
            assert greeting["status"]["state"] == "stalled"


def test_newer_marks_follow_the_frame_that_they_belong_to(page: LivePage) -> None:
    with viewer(page) as seen:
        plain, marked = live_view(1, tracks=()), live_view(1, tracks=(3,))
        page.show(plain)
        header, _ = seen.next_frame()
        assert header["boxes"] == [] and header["detected_on"] is None
        page.refresh(dataclasses.replace(marked, frame=plain.frame))
        marks = seen.next_text("marks")
        assert (marks["frame"], marks["detected_on"]) == (1, 1)
        assert [box["track_id"] for box in marks["boxes"]] == [3]


def test_newer_marks_go_with_a_frame_that_was_not_sent_yet(page: LivePage) -> None:
    page.show(live_view(1, tracks=()))
    page.refresh(live_view(1, tracks=(3,)))
    page.refresh(live_view(0, tracks=(4,)))  # of an older frame: too late
    with viewer(page) as seen:
        header, _ = seen.next_frame()
        assert [box["track_id"] for box in header["boxes"]] == [3]


def test_a_browser_that_draws_slowly_gets_new_frames_only(page: LivePage) -> None:
    with viewer(page) as seen:
        page.show(live_view(0))
        assert seen.next_frame()[0]["frame"] == 0
        page.show(live_view(1))
        assert seen.next_frame()[0]["frame"] == 1
        # Two are unanswered: nothing more is sent, however many come.
        for index in range(2, 60):
            page.show(live_view(index))
        seen.drawn(1)
        assert seen.next_frame()[0]["frame"] == 59


def test_a_hidden_page_gets_no_frames_until_it_is_seen_again(page: LivePage) -> None:
    with viewer(page) as hidden, viewer(page) as other:
        hidden.say(watch=False)
        for index in range(20):
            page.show(live_view(index))
            assert other.next_frame()[0]["frame"] == index
            other.drawn(index)
        hidden.say(watch=True)
        frames = [hidden.next_frame()[0]["frame"]]
        while frames[-1] < 19:
            hidden.drawn(frames[-1])
            frames.append(hidden.next_frame()[0]["frame"])
        assert len(frames) <= 3  # at most two had left before the server heard that the page was hidden


def test_a_browser_that_stops_reading_holds_up_nobody(page: LivePage) -> None:
    view = live_view(0, size_wh=(640, 480))
    with viewer(page) as reading, connect(f"ws://{page.address}/live", max_size=None, max_queue=1, close_timeout=0.1):
        for index in range(50):
            page.show(dataclasses.replace(view, frame=dataclasses.replace(view.frame, index=index)))
            assert reading.next_frame()[0]["frame"] == index
            reading.drawn(index)


def test_what_is_sent_to_a_browser_that_stops_reading_is_bounded() -> None:
    """The messages of a whole run, held for one browser, would be told by the memory that pictures take."""
    program = """
import dataclasses, resource, socket, sys
from websockets.sync.client import connect
from stream.live.page.page import LivePage
from tests.kit.live_views import live_view

def peak_mb(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

view = live_view(0, size_wh=(1280, 960))
with (
    LivePage(port=0, without_token=True) as page,
    connect(f"ws://{page.address}/live", max_size=None, max_queue=1, close_timeout=0.1) as silent,
):
    def show(first, last):
        for index in range(first, last):
            page.show(dataclasses.replace(view, frame=dataclasses.replace(view.frame, index=index)))
            page.idle(view.status)
    show(0, 500)
    before = peak_mb()
    show(500, 5000)
    print(peak_mb() - before)
"""
    pytest.importorskip("resource", reason="needs a system that tells a program's memory")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[4], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 20  # 4,500 pictures of 60 kB would be 270 MB


def test_two_browsers_at_once_each_at_its_own_pace(page: LivePage) -> None:
    with viewer(page) as quick, viewer(page) as slow:
        page.show(live_view(0))
        assert slow.next_frame()[0]["frame"] == 0
        for index in range(30):
            assert quick.next_frame()[0]["frame"] == index
            quick.drawn(index)
            page.show(live_view(index + 1))
        assert quick.next_frame()[0]["frame"] == 30
        assert slow.next_frame()[0]["frame"] == 1
        slow.drawn(1)
        assert slow.next_frame()[0]["frame"] == 30


def test_showing_goes_on_when_browsers_come_and_go(page: LivePage) -> None:
    stop = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            index = 0
            while not stop.is_set():
                page.show(live_view(index))
                index += 1
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for number in range(12):
            with connect(f"ws://{page.address}/live") as connection:
                Viewer(connection).next_frame()
                if number % 2:
                    connection.socket.shutdown(socket.SHUT_RDWR)  # gone without a word
    finally:
        stop.set()
        thread.join()
    assert not failed


def test_nothing_is_encoded_while_nobody_looks(page: LivePage, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    real = LivePage._offer

    def noted(self: LivePage, view: LiveView) -> None:
        encoded.append(view.frame.index)
        real(self, view)

    monkeypatch.setattr(LivePage, "_offer", noted)
    for index in range(50):
        page.show(live_view(index))
    with viewer(page) as seen:
        assert seen.next_frame()[0]["frame"] == 49
    assert encoded[0] == 49


def test_nonsense_from_a_browser_is_left_alone(page: LivePage) -> None:
    with viewer(page) as seen:
        for nonsense in (
            "",
            "{",
            "[]",
            "null",
            '{"drawn": "x"}',
            '{"drawn": null, "watch": 3, "command": 4}',
            b"\xff\x00",
            "[" * 1000,
        ):
            seen.connection.send(nonsense)
        page.show(live_view(1))
        assert seen.next_frame()[0]["frame"] == 1


def test_too_long_messages_end_only_that_connection(page: LivePage) -> None:
    with viewer(page) as good:
        with viewer(page) as bad:
            bad.connection.send("x" * 100_000)
            with pytest.raises(Exception, match="1009|closed|reset"):
                while True:
                    bad.connection.recv(timeout=PATIENCE_S)
        page.show(live_view(1))
        assert good.next_frame()[0]["frame"] == 1


def test_the_timeline_and_its_pictures(page: LivePage) -> None:
    with viewer(page) as seen:
        page.show(live_view(1, tracks=(4,), score=0.5))
        while not (entries := seen.next_text("timeline")["entries"]) or not entries[0]["picture"]:
            pass
        assert [entry["track_id"] for entry in entries] == [4]
        answer, body = ask(page, "/thumbnail/4.jpg")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")
        assert cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR) is not None
    for path in ("/thumbnail/5.jpg", "/thumbnail/x.jpg", "/thumbnail/../page.py", "/thumbnail/", "/thumbnail/-1.jpg"):
        assert ask(page, path)[0].status == 404


def test_the_delay_up_to_the_screen_is_told(page: LivePage) -> None:
    with viewer(page) as seen:
        page.show(live_view(0))
        seen.next_frame()
        seen.drawn(0)
        while (delay_ms := seen.next_text("figures")["delay_ms"]) is None:
            pass
        assert 0 < delay_ms < 1000 * PATIENCE_S


# what browsers may do


class Recorder:
    """Named as what it is: a stand-in for the recorder of a live run."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def start_recording(self) -> bool:
        return self._note("start", True)

    def stop_recording(self) -> bool:
        return self._note("stop", False)

    def _note(self, call: str, recording: bool) -> bool:
        assert self.gate.wait(PATIENCE_S)
        self.calls.append(call)
        if self.error is not None:
            raise self.error
        return recording


def test_a_browser_starts_and_stops_a_recording() -> None:
    recorder = Recorder()
    with LivePage(port=0, without_token=True, controls=recorder) as page, viewer(page) as seen:
        seen.say(command="start_recording")
        assert seen.next_text("notice")["text"] == "Recording."
        seen.say(command="stop_recording")
        assert seen.next_text("notice")["text"] == "Recording has ended."
        seen.say(command="_note")
        recorder.error = WriteError("the disk is full; make room")
        seen.say(command="start_recording")
        assert seen.next_text("notice")["text"] == "the disk is full; make room"
    assert recorder.calls == ["start", "stop", "start"]


def test_a_request_that_takes_long_holds_up_neither_pictures_nor_is_it_repeated() -> None:
    recorder = Recorder()
    recorder.gate.clear()
    with LivePage(port=0, without_token=True, controls=recorder) as page, viewer(page) as seen:
        seen.say(command="start_recording")
        seen.say(command="start_recording")
        assert "busy" in seen.next_text("notice")["text"]
        page.show(live_view(1))
        assert seen.next_frame()[0]["frame"] == 1
        recorder.gate.set()
        assert seen.next_text("notice")["text"] == "Recording."
    assert recorder.calls == ["start"]


def test_without_controls_a_browser_can_only_look(page: LivePage) -> None:
    with connect(f"ws://{page.address}/live") as connection:
        seen = Viewer(connection)
        assert seen.next_text("hello")["controls"] is False
        seen.say(command="start_recording")
        page.show(live_view(1))
        assert seen.next_frame()[0]["frame"] == 1
        assert all(text["type"] != "notice" for text in seen.texts)


# who may come in


def test_the_page_and_its_files_ask_for_nothing_from_elsewhere(page: LivePage) -> None:
    scripts = ("page", "view", "marks", "panels", "connection", "home", "token")
    for path in ("/", "/page.css", "/icon.svg", *(f"/{name}.js" for name in scripts)):
        answer, body = ask(page, path)
        assert answer.status == 200
        # What names another place: none but the namespace of SVG.
        assert set(re.findall(rb"https?://[\w.]+", body)) <= {b"http://www.w3.org"}
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Server"] is None
    for path in ("/index.html", "/page.py", "/../page.py", "/%2e%2e/page.py", "/nothing"):
        assert ask(page, path)[0].status == 404


@pytest.mark.parametrize("path", ["/", "/live", "/page.js", "/thumbnail/1.jpg"])
def test_a_name_of_another_site_is_refused(page: LivePage, path: str) -> None:
    assert ask(page, path, Host="attacker.example:8000")[0].status == 403


def test_another_sites_page_gets_no_pictures(page: LivePage) -> None:
    for origin, status in (("http://attacker.example", 403), ("http://127.0.0.1:1", 403), ("null", 403)):
        with pytest.raises(InvalidStatus) as caught, viewer(page, Origin=origin):
            pass
        assert caught.value.response.status_code == status
    with viewer(page, Origin=f"http://{page.address}"):
        pass


def test_with_a_token_nothing_is_shown_without_it() -> None:
    with LivePage(port=0, token=TOKEN) as page:
        page.show(live_view(1))
        for path in ("/", "/thumbnail/1.jpg", "/?token=", f"/?token={TOKEN}x", "/index.html"):
            answer, body = ask(page, path)
            assert answer.status == 401
            assert answer.headers["Set-Cookie"] is None
            assert b"Token" in body
        for headers in ({}, {"Cookie": f"polypstream_{page.address.port}={TOKEN}"}):
            with pytest.raises(InvalidStatus) as caught, viewer(page, **headers):
                pass
            assert caught.value.response.status_code == 401


def test_the_token_is_changed_for_a_cookie() -> None:
    with LivePage(port=0, token=TOKEN) as page:
        assert page.url == f"http://{page.address}/?token={TOKEN}"
        home, cookie = enter(page)
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and TOKEN not in cookie
        # Browsers send cookies to all ports of a host: only who knows the path is sent this one.
        assert f"Path={home}" in cookie and len(home) > 20 and TOKEN not in home
        kept = {"Cookie": cookie.partition(";")[0]}
        assert ask(page, home, **kept)[0].status == 200
        assert ask(page, home)[0].status == ask(page, "/", **kept)[0].status == 401
        page.show(live_view(2))
        with viewer(page, home, **kept) as seen:
            assert seen.next_frame()[0]["frame"] == 2


def test_what_a_browser_keeps_is_of_no_use_in_the_next_run() -> None:
    """Who takes the port after the end, and is asked by a page that is still open, learns the cookie and the path."""
    kept = []
    for _ in range(2):
        with LivePage(port=0, token=TOKEN) as page:
            kept.append((page.address.port, *enter(page)))
            if len(kept) == 2:
                _, home, cookie = kept[0]
                value = cookie.partition(";")[0].partition("=")[2]
                old = {"Cookie": f"polypstream_{page.address.port}={value}"}
                assert ask(page, home, **old)[0].status == ask(page, kept[1][1], **old)[0].status == 401
    assert kept[0][1] != kept[1][1]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_the_page_is_only_to_be_read(page: LivePage, method: str) -> None:
    connection = HTTPConnection(page.address.host, page.address.port, timeout=PATIENCE_S)
    connection.request(method, "/", headers={"Origin": "http://attacker.example"})
    answer = connection.getresponse()
    assert answer.status == 405
    assert answer.headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_every_page_has_a_token_unless_it_is_asked_for_without(host: str) -> None:
    with LivePage(host, port=0) as page:
        address, _, token = page.url.partition("?token=")
        shown = "127.0.0.1" if host == "0.0.0.0" else host
        assert address == f"http://{shown}:{page.address.port}/"
        assert len(token) >= 24
        here = dataclasses.replace(page.address, host="127.0.0.1")
        connection = HTTPConnection(here.host, here.port, timeout=PATIENCE_S)
        connection.request("GET", "/")
        assert connection.getresponse().status == 401


def test_a_page_without_token_is_for_this_machine_only(page: LivePage) -> None:
    assert "token" not in page.url and ask(page, "/")[0].status == 200
    for host, token, why in (("0.0.0.0", None, "other machines can reach it"), ("127.0.0.1", TOKEN, "not both")):
        with pytest.raises(InputError, match=why):
            LivePage(host, port=0, token=token, without_token=True)


def test_no_secret_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), LivePage(port=0, token=TOKEN) as page:
        home, cookie = enter(page)
        cookie = cookie.partition(";")[0]
        with viewer(page, home, Cookie=cookie) as seen:
            page.show(live_view(1))
            seen.next_frame()
        ask(page, f"/?token={TOKEN}&x=[", Host="[")
    mine = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("stream"))
    assert TOKEN not in mine and cookie.partition("=")[2] not in mine and home not in mine
    assert caplog.records, "the test's own client logs, so the page's log was listened to"


def test_more_browsers_than_there_is_room_for_are_told_so(page: LivePage) -> None:
    with ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(viewer(page))
        with pytest.raises(InvalidStatus) as caught, viewer(page):
            pass
        assert caught.value.response.status_code == 503
    with viewer(page):
        pass


# the end


def test_a_taken_port_is_refused_before_anything_is_started() -> None:
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"{port}.*taken"):
            LivePage(port=port)
    assert not {thread for thread in set(threading.enumerate()) - before if thread.name.startswith("page")}


def test_browsers_are_told_that_the_run_has_ended(page: LivePage) -> None:
    with viewer(page) as seen:
        page.show(live_view(1))
        seen.next_frame()
        page.close()
        seen.wait_for_state("ended")
        with pytest.raises(Exception, match="1001|going away"):
            for _ in range(100):  # what was on its way when the run ended comes first
                seen.connection.recv(timeout=PATIENCE_S)


def test_closing_ends_the_threads_and_frees_the_port() -> None:
    before = set(threading.enumerate())
    page = LivePage(port=0, without_token=True)
    mute = socket.create_connection((page.address.host, page.address.port))  # as browsers keep in store
    with connect(f"ws://{page.address}/live", max_size=None):
        page.show(live_view(0))
        page.close()
    page.close()
    page.show(live_view(1))
    page.refresh(live_view(1))
    page.idle(RUNNING)
    left = {thread for thread in set(threading.enumerate()) - before if thread.name.startswith("page")}
    assert not left
    mute.close()
    with LivePage(port=page.address.port):
        pass


def test_a_view_that_cannot_be_encoded_does_not_end_the_page(page: LivePage, caplog: pytest.LogCaptureFixture) -> None:
    with viewer(page) as seen:
        good = live_view(0)
        empty = dataclasses.replace(good.frame, picture=Picture.of(np.zeros((0, 0, 3), np.uint8)))
        page.show(dataclasses.replace(good, frame=empty, detections=()))

        def answered() -> bool:
            try:
                message = seen.connection.recv(timeout=0)
            except TimeoutError:
                return False
            return isinstance(message, bytes)

        show_until(page, answered, first=1)
