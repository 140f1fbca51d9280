"""The player in real browsers: the frame that it names is the one in the picture, whatever the rate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the review page needs the extra `review`")
pytest.importorskip("websockets", reason="browsers are driven with the extra `serve`")

from stream.review.media.cache import FileCache
from stream.review.media.making import make_file
from stream.review.media.plan import How
from tests.kit.browser_tab import BrowserTab
from tests.kit.chromium import Tab, chromium_program, open_chromium
from tests.kit.firefox import firefox_program, open_firefox
from tests.kit.media import make_video
from tests.kit.player_page import serve_player
from tests.kit.rates import RATES, make_rate, material_of

_FRAMES = 250
_RATES = (*RATES, "uneven")
_COPIES = {"mpeg2": ("old.mpg", "mpeg2video"), "avi": ("old.avi", "mpeg4")}

#: Plays from a frame on at a speed for a while; returns what `log` holds: frames with the numbers in their pictures.
_PLAY = """(async () => {
    await player.seek(%d);
    log.length = 0;
    player.setRate(%g);
    await player.play();
    const until = performance.now() + 20000;
    while (log.length < %d && player.playing && performance.now() < until) {
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await player.pause();
    return log;
})()"""
#: Steps and jumps to frames, a pair of the wanted frame with what was shown for each.
_GO = """(async (moves) => {
    const seen = [];
    let wanted = player.frame;
    for (const [how, value] of moves) {
        wanted = how === 'seek' ? value : Math.max(0, Math.min(%d, wanted + value));
        await player[how](value);
        seen.push([wanted, player.frame, code()]);
    }
    return seen;
})(%s)"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("clips")
    clips = {}
    for rate in _RATES:
        material = material_of(make_rate(folder, rate, frames=_FRAMES))
        clips[rate] = material.path, material.times_s
    for name, (file, codec) in _COPIES.items():
        material = material_of(make_video(folder / file, codec=codec, frames=120, options={"g": "12"}))
        with FileCache(folder / "copies", most_bytes=1e9).making(f"{name}.mp4") as target:
            make_file(material, target, How.ENCODED, lambda _: None)
        clips[name] = folder / "copies" / f"{name}.mp4", material.times_s
    with serve_player(clips) as url:
        yield url


@pytest.fixture(scope="module")
def chromium(page: str) -> Iterator[Tab]:
    if chromium_program() is None:
        pytest.skip("no Chromium here (set POLYPSTREAM_CHROMIUM to its program)")
    with open_chromium() as browser:
        tab = browser.new_tab()
        tab.open(page)
        tab.wait_for("'openClip' in window")
        yield tab


@pytest.fixture(scope="module")
def firefox(page: str) -> Iterator[BrowserTab]:
    if firefox_program() is None:
        pytest.skip("no Firefox here (set POLYPSTREAM_FIREFOX to its program)")
    with ExitStack() as stack:
        tab = stack.enter_context(open_firefox())
        tab.open(page)
        tab.wait_for("'openClip' in window")
        if not tab.evaluate("document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.64001f\"')"):
            pytest.skip("this Firefox plays no H.264 (libavcodec is missing)")
        yield tab


@pytest.mark.slow
@pytest.mark.parametrize("clip", [*_RATES, *_COPIES])
def test_chromium_shows_the_frame_that_the_player_names(chromium: Tab, clip: str) -> None:
    seen = _play(chromium, clip, speeds=((0, 2, 40), (60, 8, 10))) + _go(chromium, clip, jumps=6, steps=8)
    assert len(seen) > 50
    assert _wrong(seen) == []
    assert chromium.evaluate("events") == []


@pytest.mark.slow
@pytest.mark.parametrize("clip", ["29.97", "uneven"])
def test_firefox_shows_the_frame_that_the_player_names_when_it_stands(firefox: BrowserTab, clip: str) -> None:
    _play(firefox, clip, speeds=((0, 1, 10),))
    assert firefox.evaluate("player.frame === code() && player.frame > 0")
    assert _wrong(_go(firefox, clip, jumps=5, steps=6)) == []
    assert firefox.evaluate("events") == []


@pytest.mark.long
@pytest.mark.parametrize("clip", _RATES)
def test_no_frame_of_many_is_wrong_in_chromium(chromium: Tab, clip: str) -> None:
    seen = _play(chromium, clip, speeds=((0, 0.5, 60), (60, 1, 80), (0, 4, 40))) + _go(
        chromium, clip, jumps=70, steps=80
    )
    assert len(seen) >= 250
    assert _wrong(seen) == []


@pytest.mark.long
@pytest.mark.parametrize("clip", _RATES)
def test_no_frame_of_many_is_wrong_in_firefox_when_it_stands(firefox: BrowserTab, clip: str) -> None:
    firefox.evaluate(f"openClip('{clip}')")
    assert _wrong(_go(firefox, clip, jumps=125, steps=125)) == []


@pytest.mark.slow
def test_calls_that_overtake_each_other_end_at_the_last_one(chromium: Tab) -> None:
    chromium.evaluate("openClip('25')")
    chromium.evaluate("Promise.all([player.seek(30), player.seek(60), player.step(5), player.step(-1)])")
    assert chromium.evaluate("[player.frame, code()]") == [64, 64]
    chromium.evaluate("player.seek(9999)")
    assert chromium.evaluate("[player.frame, code(), player.playing]") == [249, 249, False]
    chromium.evaluate("player.seek(-5)")
    assert chromium.evaluate("player.frame") == 0
    assert chromium.evaluate("(player.setRate(99), player.rate)") == 16
    assert chromium.evaluate("(player.setRate(0), player.rate)") == 0.1


@pytest.mark.slow
def test_what_cannot_be_played_is_said(chromium: Tab) -> None:
    assert chromium.evaluate(
        "openClip('25').then(() => player.open({url: 'clips/none', times: new Float64Array(3), "
        "width: 1, height: 1})).catch((error) => error.message)"
    ).startswith("This browser cannot")
    assert chromium.evaluate("events[0][0]") == "error"


@pytest.mark.slow
def test_boxes_are_picked_drawn_and_moved_with_pointers_and_keys(chromium: Tab) -> None:
    chromium.evaluate("openClip('25')")
    chromium.evaluate("player.seek(10)")
    chromium.evaluate(
        "player.setBoxes((frame) => frame !== 10 ? [] : ["
        "{box: [20, 40, 60, 80], text: '1', style: 'selected', finding: '1'},"
        " {box: [90, 40, 120, 60], text: '2', style: 'found', finding: '2'}])"
    )
    place = chromium.evaluate("(({x, y}) => [x, y])(document.getElementById('player').getBoundingClientRect())")

    def drag(*points: tuple[float, float]) -> None:
        kinds = ["mousePressed", *["mouseMoved"] * (len(points) - 1), "mouseReleased"]
        for kind, (x, y) in zip(kinds, [*points, points[-1]], strict=True):
            at = {"x": place[0] + 5 * x, "y": place[1] + 5 * y}  # the player shows each pixel as five
            chromium.ask("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **at)

    def key(name: str, *, shift: bool = False) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            chromium.ask("Input.dispatchKeyEvent", type=kind, key=name, modifiers=8 if shift else 0)

    drag((105, 50))
    drag((40, 60), (50, 65), (60, 70))  # the selected one, by its inside
    drag((60, 80), (70, 90))  # its corner
    chromium.evaluate("player.draw()")
    drag((10, 10), (20, 20), (30, 30))
    chromium.evaluate("player.edit()")
    key("ArrowRight")
    key("ArrowDown", shift=True)
    key("Enter")
    chromium.evaluate("player.draw()")
    key("ArrowLeft")
    key("Escape")
    assert chromium.evaluate("events") == [
        ["picked", {"finding": "2"}],
        ["moved", {"frame": 10, "finding": "1", "box": [40, 50, 80, 90]}],
        ["moved", {"frame": 10, "finding": "1", "box": [20, 40, 70, 90]}],
        ["drawn", {"frame": 10, "box": [10, 10, 30, 30]}],
        ["moved", {"frame": 10, "finding": "1", "box": [21.3, 40, 61.3, 81.3]}],
    ]
    assert chromium.evaluate("(player.setZoom(4, 105, 50), player.zoom)") == 4
    drag((64, 48))  # the middle of the player, where the second box is by now
    drag((64, 4), (64, 40))  # nothing lies there: the picture moves
    drag((64, 4))  # which shows what was above it
    assert chromium.evaluate("events.slice(5)") == [["picked", {"finding": "2"}]]


@pytest.mark.slow
def test_boxes_belong_to_the_frame_in_the_picture(chromium: Tab) -> None:
    """Reads the boxes back: the one of each frame lies where its number says, in the same moment as its picture."""
    chromium.evaluate("openClip('25')")
    chromium.evaluate(
        "player.setBoxes((frame) => [{box: [10 + frame % 100, 50, 14 + frame % 100, 54], text: '', style: 'reader'}])"
    )
    wrong = chromium.evaluate("""(async () => {
        const marks = document.querySelector('.player-marks');
        const wrong = [];
        player.addEventListener('frame', ({ detail }) => {
            const x = Math.round(((10 + (code() % 100) + 2) / 128) * marks.width);
            const y = Math.round((50 / 96) * marks.height - (2 * marks.height) / 480);
            const [red, , , alpha] = marks.getContext('2d').getImageData(x, y, 1, 1).data;
            if (red < 200 || alpha < 200) wrong.push([detail.frame, code()]);
        });
        player.setRate(2);
        await player.play();
        await new Promise((resolve) => setTimeout(resolve, 1500));
        await player.pause();
        return [wrong, player.frame];
    })()""")
    assert wrong[0] == []
    assert wrong[1] > 0
    chromium.evaluate("player.setMarks(false)")
    data = "document.querySelector('.player-marks').getContext('2d').getImageData(0, 0, 640, 480).data"
    assert chromium.evaluate(f"{data}.every((value) => value === 0)")


def _play(tab: BrowserTab, clip: str, *, speeds: tuple[tuple[int, float, int], ...]) -> list[list[int]]:
    """Frames and numbers while a clip plays, for each (first frame, speed, frames to see)."""
    tab.evaluate(f"openClip('{clip}')")
    return [pair for speed in speeds for pair in tab.evaluate(_PLAY % speed)]


def _go(tab: BrowserTab, clip: str, *, jumps: int, steps: int) -> list[Any]:
    last = (_FRAMES if clip in _RATES else 120) - 1
    moves: list[tuple[str, int]] = [("seek", (7 + 97 * number) % last) for number in range(jumps)]
    moves += [("seek", last // 2), *(("step", -1 if number % 3 == 2 else 1) for number in range(steps))]
    return list(tab.evaluate(_GO % (last, [list(move) for move in moves])))


def _wrong(seen: list[Any]) -> list[Any]:
    return [numbers for numbers in seen if len(set(numbers)) != 1]
