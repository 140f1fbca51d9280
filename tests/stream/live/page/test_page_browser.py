"""The page in a real Chromium: what is drawn, what is said, what the buttons do."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("websockets", reason="the page needs the extra `serve`")

from websockets.sync.client import connect

from stream.live.page.page import LivePage
from stream.live.states.view import LiveState
from tests.kit.chromium import Chromium, Tab, chromium_program, open_chromium
from tests.kit.live_views import RUNNING, live_view

pytestmark = pytest.mark.skipif(
    chromium_program() is None, reason="no Chromium here (set POLYPSTREAM_CHROMIUM to its program)"
)
TOKEN = "a-token-for-the-tests"
LIVE = "document.body.dataset.state === 'running'"
#: The number that the drawn picture carries (`tests.kit.media.numbered_picture`).
PICTURE_NUMBER = """(() => {
    const canvas = document.getElementById('picture');
    const {width, height} = canvas;
    let number = 0;
    for (let bit = 0; bit < 8; bit++) {
        const [red] = canvas.getContext('2d').getImageData((2 * bit + 1) * width / 16, height / 8, 1, 1).data;
        if (red > 128) number += 1 << bit;
    }
    return number;
})()"""
#: Left, top, right, bottom of all that is drawn in a track's colour, as shares of the picture.
MARKED = """(() => {
    const canvas = document.getElementById('marks');
    const {width, height} = canvas;
    const {data} = canvas.getContext('2d').getImageData(0, 0, width, height);
    let [left, top, right, bottom] = [width, height, -1, -1];
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
        const at = 4 * (y * width + x);
        if (data[at + 3] > 200 && data[at] < 40 && data[at + 1] > 220 && data[at + 2] > 220) {
            left = Math.min(left, x); right = Math.max(right, x);
            top = Math.min(top, y); bottom = Math.max(bottom, y);
        }
    }
    return right < 0 ? null : [left / width, top / height, right / width, bottom / height];
})()"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def tab(chromium: Chromium) -> Tab:
    made = chromium.new_tab()
    made.resize(1000, 700)
    return made


@pytest.fixture
def page() -> Iterator[LivePage]:
    with LivePage(port=0, without_token=True) as page:
        yield page


@contextmanager
def feeding(page: LivePage, status: Callable[[], dict[str, Any]] = dict, **settings: Any) -> Iterator[None]:
    """Shows numbered frames all the while, so that the page stays live.

    Args:
        page: to feed.
        status: fields of the run's status, asked for with every frame.
        settings: of `live_view`.
    """
    stop = threading.Event()

    def feed() -> None:
        index = 0
        while not stop.wait(0.04):
            page.show(live_view(index, **settings, **status()))
            index += 1

    thread = threading.Thread(target=feed, name="feeder")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_the_picture_its_number_and_its_box(page: LivePage, tab: Tab) -> None:
    tab.open(page.url)
    for index in (5, 6, 130):
        page.show(live_view(index))
        tab.wait_for(f"{PICTURE_NUMBER} === {index}")
        # The outline runs around the box (0.3, 0.4, 0.5, 0.7), never in it; the label stands above.
        left, top, right, bottom = tab.evaluate(MARKED)
        assert 0.28 < left < 0.3 < 0.5 < right < 0.53
        assert 0.28 < top < 0.4 and 0.7 < bottom < 0.72
    assert tab.console == []


def test_boxes_vanish_with_the_polyp_and_marks_can_be_hidden(page: LivePage, tab: Tab) -> None:
    tab.open(page.url)
    page.show(live_view(1))
    tab.wait_for(MARKED)
    page.show(live_view(2, tracks=()))
    tab.wait_for(f"{PICTURE_NUMBER} === 2 && {MARKED} === null")
    page.show(live_view(3))
    tab.wait_for(MARKED)
    tab.evaluate("document.getElementById('toggle-marks').click()")
    assert tab.evaluate(MARKED) is None
    assert tab.evaluate("document.getElementById('toggle-marks').getAttribute('aria-pressed')") == "false"
    page.show(live_view(4))
    tab.wait_for(f"{PICTURE_NUMBER} === 4")
    assert tab.evaluate(MARKED) is None
    tab.evaluate("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'm', bubbles: true}))")
    assert tab.evaluate(MARKED) is not None


def test_newer_marks_are_drawn_on_the_same_frame_only(page: LivePage, tab: Tab) -> None:
    tab.open(page.url)
    page.show(live_view(1, tracks=()))
    tab.wait_for(f"{PICTURE_NUMBER} === 1")
    page.refresh(live_view(0))
    page.refresh(live_view(1))
    tab.wait_for(MARKED)
    page.refresh(live_view(1, tracks=()))
    tab.wait_for(f"{MARKED} === null")


def test_a_picture_that_is_not_live_says_so(page: LivePage, tab: Tab) -> None:
    tab.open(page.url)
    for state, words in (
        (LiveState.CONNECTING, "Connecting to the source"),
        (LiveState.STALLED, "The source sends no pictures"),
        (LiveState.RECONNECTING, "The source was lost"),
        (LiveState.ENDED, "The run has ended"),
    ):
        with feeding(page):
            tab.wait_for(LIVE)
        page.idle(dataclasses.replace(RUNNING, state=state, reason="the cable is loose"))
        tab.wait_for(f"document.body.dataset.state === '{state.value}'")
        assert words in tab.text
        assert ("the cable is loose" in tab.text) == (state is not LiveState.ENDED)
        assert float(tab.evaluate("getComputedStyle(document.getElementById('frame')).opacity")) < 0.5


def test_a_picture_that_grows_old_is_not_called_live(page: LivePage, tab: Tab) -> None:
    tab.open(page.url)
    with feeding(page):
        tab.wait_for(LIVE)
    tab.wait_for("document.body.dataset.state === 'late'")  # the run says nothing at all, as when it hangs
    assert "No new pictures arrive" in tab.text


def test_detection_off_is_said_on_the_picture(page: LivePage, tab: Tab) -> None:
    tab.open(page.url)
    with feeding(page, tracks=(), detection_on=False, detection_reason="the detector does not answer"):
        tab.wait_for(f"{LIVE} && !document.getElementById('banner').hidden")
        assert "Detection off: the detector does not answer" in tab.text
    with feeding(page):
        tab.wait_for(f"{LIVE} && document.getElementById('banner').hidden")


def test_the_end_of_the_run_and_a_new_one(tab: Tab) -> None:
    with LivePage(port=0, without_token=True) as page:
        port = page.address.port
        tab.open(page.url)
        with feeding(page):
            tab.wait_for(LIVE)
    tab.wait_for("document.body.dataset.state === 'ended'")
    assert "The run has ended" in tab.text
    with LivePage(port=port, without_token=True) as page, feeding(page):
        tab.wait_for(LIVE)


def test_the_timeline_and_the_figures(page: LivePage, tab: Tab) -> None:
    tab.open(page.url)
    loaded = "[...document.querySelectorAll('#entries img')].filter((image) => image.naturalWidth > 0).length === 2"
    measured = "document.getElementById('screen-delay').textContent.endsWith('ms')"
    with feeding(page, tracks=(1, 2), score=0.87, dropped={"detection busy": 12, "sink": 0}, frames_per_second=24.96):
        tab.wait_for(f"{loaded} && {measured}")
        for said in ("Polyp 1", "Polyp 2", "87 %", "0.5 ms", "40 ms", "25.0 /s", "Dropped 12: detection busy 12"):
            assert said in tab.text
    assert tab.evaluate("document.querySelectorAll('#strip span').length") == 2
    assert tab.console == []


def test_the_kind_of_each_polyp_and_why_there_is_none(page: LivePage, tab: Tab) -> None:
    tab.open(page.url)
    kinds: dict[int, tuple[tuple[str, float], ...]] = {1: (("neoplastic", 0.82), ("non_neoplastic", 0.18)), 2: ()}
    shown = "[...document.querySelectorAll('#entries .kind')].map((kind) => kind.textContent).join()"
    chip = "document.getElementById('classification')"
    page.show(live_view(0, tracks=(1, 2)))  # nobody asked for kinds
    tab.wait_for(f"{shown} === ','")
    assert tab.evaluate(f"{chip}.hidden") and "not assessed" not in tab.text
    view = live_view(1, tracks=(1, 2))
    known = tuple(dataclasses.replace(seen, classes=kinds[seen.track_id or 0]) for seen in view.detections)
    status = dataclasses.replace(view.status, classification_reason="the device is gone")
    page.show(dataclasses.replace(view, detections=known, status=status))
    tab.wait_for(f"{shown} === 'not assessed,neoplastic 82 %'")
    tab.wait_for(f"!{chip}.hidden && {chip}.textContent === 'Classification off: the device is gone'")
    assert tab.console == []


def test_the_recording_button(tab: Tab) -> None:
    class Recorder:
        """A stand-in for the recorder of a live run."""

        recording = False

        def start_recording(self) -> bool:
            self.recording = True
            return True

        def stop_recording(self) -> bool:
            self.recording = False
            return False

    recorder = Recorder()
    with (
        LivePage(port=0, without_token=True, controls=recorder) as page,
        feeding(page, lambda: {"recording": recorder.recording}),
    ):
        tab.open(page.url)
        tab.wait_for("!document.getElementById('record').hidden")
        for pressed, words in (("true", "Stop recording"), ("false", "Record")):
            tab.evaluate("document.getElementById('record').click()")
            tab.wait_for(f"document.getElementById('record').ariaPressed === '{pressed}'")
            assert words in tab.text
    assert not recorder.recording


def test_without_controls_there_is_no_recording_button(page: LivePage, tab: Tab) -> None:
    tab.open(page.url)
    with feeding(page):
        tab.wait_for(LIVE)
    assert tab.evaluate("document.getElementById('record').hidden")


def test_a_snapshot_is_the_picture_that_is_shown(page: LivePage, tab: Tab, tmp_path: Path) -> None:
    tab.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    tab.open(page.url)
    page.show(live_view(77))
    tab.wait_for(f"{PICTURE_NUMBER} === 77 && !document.getElementById('snapshot').disabled")
    tab.evaluate("document.getElementById('snapshot').click()")
    tab.wait_for("document.getElementById('toast').innerText.includes('77')")
    found = wait_for_file(tmp_path, "*.png")
    assert found.name.endswith("frame-77.png")
    assert found.read_bytes().startswith(b"\x89PNG")


def test_the_token_leaves_the_address_and_the_page_stays_open(tab: Tab) -> None:
    with LivePage(port=0, token=TOKEN) as page, feeding(page):
        tab.open(f"http://{page.address}/")
        tab.wait_for("document.querySelector('input[name=token]') !== null")
        tab.evaluate(f"document.querySelector('input').value = '{TOKEN}'; document.querySelector('form').submit()")
        tab.wait_for(LIVE)
        assert tab.evaluate("location.search") == "" and len(tab.evaluate("location.pathname")) > 20
        assert tab.evaluate("document.cookie") == ""  # HttpOnly
        assert TOKEN not in str(tab.ask("Page.getNavigationHistory")["entries"][1:])
        tab.open(f"http://{page.address}/")
        tab.wait_for(LIVE)


def test_a_page_that_hangs_goes_on_with_new_frames(page: LivePage, tab: Tab) -> None:
    tab.open(page.url)
    with feeding(page):
        tab.wait_for(LIVE)
        tab.ask("Debugger.enable")
        tab.ask("Debugger.pause")
        with connect(f"ws://{page.address}/live", max_size=None) as another:
            for _ in range(30):
                while isinstance(message := another.recv(timeout=120), str):
                    pass
                index = json.loads(message[4 : 4 + int.from_bytes(message[:4], "big")])["frame"]
                another.send(json.dumps({"drawn": index}))
        tab.ask("Debugger.disable")
        tab.wait_for(f"{LIVE} && {PICTURE_NUMBER} >= {min(index, 200)}")


def test_the_page_fits_a_phone(page: LivePage, tab: Tab) -> None:
    tab.resize(360, 740, scale=3, phone=True)
    tab.open(page.url)
    with feeding(page):
        tab.wait_for(LIVE)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    small = "[...document.querySelectorAll('button')].filter((one) => one.offsetHeight && one.offsetHeight < 44).length"
    assert tab.evaluate(small) == 0  # fingers need room


def test_every_control_has_a_name_and_texts_can_be_read(page: LivePage, tab: Tab) -> None:
    tab.open(page.url)
    with feeding(page):
        tab.wait_for(LIVE)
        nodes = tab.ask("Accessibility.getFullAXTree")["nodes"]
        weak = tab.evaluate(CONTRAST)
    buttons = [node for node in nodes if node.get("role", {}).get("value") == "button" and not node["ignored"]]
    assert len(buttons) >= 2
    assert all(node["name"]["value"] for node in buttons)
    assert weak == [], weak


#: Texts whose contrast with the ground behind them is below 4.5 (WCAG 2.2, 1.4.3, level AA).
CONTRAST = """(() => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const rgb = (colours) => {
        canvas.fillStyle = '#0a0d10';
        canvas.fillRect(0, 0, 1, 1);
        for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const luminance = (colour) => {
        const [r, g, b] = colour.map((part) => {
            const share = part / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const weak = [];
    for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!own || !element.offsetParent || element.matches(':disabled, :disabled *')) continue;
        const grounds = [];
        for (let at = element; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
        const ground = rgb(grounds);
        const text = rgb([...grounds, getComputedStyle(element).color]);
        const [low, high] = [luminance(ground), luminance(text)].sort((a, b) => a - b);
        const ratio = (high + 0.05) / (low + 0.05);
        if (ratio < 4.5) weak.push([element.textContent.trim(), ratio]);
    }
    return weak;
})()"""


def wait_for_file(folder: Path, pattern: str) -> Path:
    """The first file of a pattern, once it is there as a whole."""
    done = threading.Event()
    for _ in range(600):
        found = [path for path in folder.glob(pattern) if path.stat().st_size > 0]
        if found and not list(folder.glob("*.crdownload")):
            return found[0]
        done.wait(0.05)
    raise AssertionError(f"no {pattern} in {folder}")
