"""What a SOURCE means, what may be shown of it, and what times its frames get."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import SourceError
from engine.text.redaction import redacted
from stream.live.cameras.modes import Wish
from stream.live.sources.address import (
    CameraRequest,
    LiveKind,
    PatternRequest,
    parse_camera,
    parse_live_source,
    parse_pattern,
)
from stream.live.sources.clock import StreamClock


@pytest.mark.parametrize(
    ("source", "kind", "name"),
    [
        ("camera:0", LiveKind.CAMERA, "camera:0"),
        ("camera:1?width=640&height=480", LiveKind.CAMERA, "camera:1?width=640&height=480"),
        ("pattern:", LiveKind.PATTERN, "pattern:"),
        ("rtsp://u:p@10.0.0.7:554/a?t=p", LiveKind.STREAM, "rtsp://10.0.0.7:554"),
        ("udp://@239.0.0.1:1234", LiveKind.STREAM, "udp://239.0.0.1:1234"),
        ("udp://:1234", LiveKind.STREAM, "udp://:1234"),  # any address of this machine
        ("HTTPS://host/x", LiveKind.STREAM, "HTTPS://host"),
        ("exam.mp4", LiveKind.FILE, "exam.mp4"),
        ("-", LiveKind.PIPE, "standard input"),
        ("-?size=1920x1080&format=uyvy422", LiveKind.PIPE, "standard input"),
        ("file:///tmp/a%20b.mp4", LiveKind.FILE, str(Path("/tmp/a b.mp4"))),
        (r"C:\exams\a.mp4", LiveKind.FILE, r"C:\exams\a.mp4"),
    ],
)
def test_sources_are_understood(source: str, kind: LiveKind, name: str) -> None:
    address = parse_live_source(source)
    assert (address.kind, address.name) == (kind, name)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "camera:",
        "camera:?width=3",
        "camera:0?width=640",  # without height
        "camera:0?width=0&height=480",
        "camera:0?speed=3",
        "camera:0?format=",
        "camera:0?size=big",
        "camera:0?rate=0",
        "pattern:big",
        "pattern:1920x1080@0",
        "pattern:1920x1080@1/0",
        "pattern:8x8",
        "pattern:640x480@1001",
        "ftp://u:secret@host/x",
        "rtsp://",
        "rtsp://u:secret@",
        "rtsp:/u:secret@host/x",
        "udp://host",  # without port
        "http://host:99999/secret",
    ],
)
def test_sources_that_cannot_be_understood_are_refused_in_one_line(source: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_live_source(source)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


def test_options_of_cameras_and_patterns() -> None:
    asked = CameraRequest(0, Wish("mjpeg", (1920, 1080), 50.0))
    assert parse_camera("0?fps=50&height=1080&width=1920&fourcc=MJPG") == asked
    assert parse_camera("0?format=mjpg&size=1920x1080&rate=50") == asked
    assert parse_camera("/dev/video2") == CameraRequest("/dev/video2")
    assert parse_camera("DeckLink Mini?format=uyvy") == CameraRequest("DeckLink Mini", Wish("uyvy422"))
    assert parse_pattern("") == PatternRequest((1920, 1080), Fraction(25))
    assert parse_pattern("640x480@30000/1001") == PatternRequest((640, 480), Fraction(30000, 1001))
    assert parse_pattern("@59.94") == PatternRequest((1920, 1080), Fraction("59.94"))


_plain = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)
_secret = st.text(st.characters(codec="ascii", exclude_characters="\r\n"), min_size=1, max_size=8).map(
    lambda text: f"\N{SNOWMAN}{text}\N{SNOWMAN}"  # told apart from everything that may be shown
)


@given(
    st.sampled_from(["rtsp", "http", "udp", "RTSPS"]),
    _secret,
    _secret,
    _plain,
    st.none() | st.integers(1, 65535),
    _secret,
    _secret,
)
def test_redaction_shows_no_secret_wherever_it_stands(
    scheme: str, user: str, password: str, host: str, port: int | None, path: str, token: str
) -> None:
    place = host if port is None else f"{host}:{port}"
    for source in (
        f"{scheme}://{user}:{password}@{place}/{path}?token={token}",
        f"{scheme}://{place}/user={user}&password={password}",
        f"{scheme}://{user}@{place}",
        f"{scheme}://{place}?token={token}",
        f"{scheme}://{place}#{token}",
    ):
        shown = redacted(source)
        assert "\N{SNOWMAN}" not in shown
        assert shown in (f"{scheme}://{place}", f"{scheme}://...")
    assert redacted(f"{scheme}://{place}/{host}") == f"{scheme}://{place}"


@given(st.lists(st.tuples(st.none() | st.floats(-1e6, 1e6), st.floats(0, 100)), min_size=1, max_size=50))
def test_times_of_streams_always_rise(steps: list[tuple[float | None, float]]) -> None:
    clock = StreamClock()
    arrivals = itertools.accumulate(step for _, step in steps)
    times = [clock.next(stamp, arrived) for (stamp, _), arrived in zip(steps, arrivals, strict=True)]
    assert times[0] == 0
    assert all(later > earlier for earlier, later in itertools.pairwise(times))


@given(st.floats(-1e5, 1e5), st.floats(0.9999, 1.0001), st.lists(st.floats(0, 0.2), min_size=2, max_size=300))
def test_times_of_streams_follow_stamps_not_arrivals(start: float, drift: float, delays: list[float]) -> None:
    clock = StreamClock()
    times = [clock.next(start + index / 25 * drift, index / 25 + delay) for index, delay in enumerate(delays)]
    steps = [float(later - earlier) for earlier, later in itertools.pairwise(times)]
    assert all(abs(step - 0.04) < 0.005 for step in steps)  # although arrivals are up to 0.2 s late
    assert abs(float(times[-1]) - len(steps) / 25) < 0.3


def test_times_of_streams_survive_a_jump_of_their_clock() -> None:
    clock = StreamClock()
    stamps = [0.0, 0.04, 0.08, 95443.7, 95443.74, 0.0, 0.04]
    times = [clock.next(stamp, index / 25) for index, stamp in enumerate(stamps)]
    assert [round(float(moment), 3) for moment in times] == [0, 0.04, 0.08, 0.12, 0.16, 0.2, 0.24]
