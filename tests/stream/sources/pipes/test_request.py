"""What `-` means, and how large frames of raw video are."""

from __future__ import annotations

from fractions import Fraction

import pytest

from engine.errors import SourceError
from stream.sources.pipes.request import RawVideo, is_pipe, parse_pipe


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("-", None),
        ("-?size=1920x1080&format=uyvy422&rate=50", RawVideo((1920, 1080), "uyvy422", Fraction(50))),
        ("-?size=720x576&format=UYVY", RawVideo((720, 576), "uyvy422", Fraction(25))),
        ("-?format=v210&size=1280x720&rate=60000/1001", RawVideo((1280, 720), "v210", Fraction(60000, 1001))),
        ("-?format=i420&size=64x48&rate=29.97", RawVideo((64, 48), "yuv420p", Fraction("29.97"))),
    ],
)
def test_pipes_are_understood(source: str, expected: RawVideo | None) -> None:
    assert is_pipe(source) and parse_pipe(source) == expected


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("-?", "give size=, format= and rate="),
        ("-?size=1920x1080", "needs format= too"),
        ("-?rate=50", "needs size= and format= too"),
        ("-?size=big&format=uyvy422", "size=big is no size"),
        ("-?size=1920x1080&format=strange", "format=strange is no pixel format"),
        ("-?size=1920x1080&format=vaapi", "format=vaapi is no pixel format"),  # a surface in a GPU
        ("-?size=1920x1080&format=uyvy422&rate=0", "rate=0 is no rate"),
        ("-?size=1920x1080&format=uyvy422&rate=1/0", "rate=1/0 is no rate"),
        ("-?size=1920x1080&format=uyvy422&speed=3", "speed is not known"),
        ("-?size=99999x99999&format=gray", "too large"),
    ],
)
def test_others_are_refused_in_one_line(source: str, said: str) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        parse_pipe(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["", "a-", "--", "-x", "./-", None])
def test_what_is_no_pipe(source: object) -> None:
    assert not is_pipe(source)


@pytest.mark.parametrize(
    ("layout", "size_wh", "expected"),
    [
        ("uyvy422", (1920, 1080), 4147200),
        ("nv12", (1920, 1080), 3110400),
        ("yuv420p", (5, 3), 15 + 2 * 6),  # chroma of odd sizes is rounded up
        ("yuv422p10le", (1920, 1080), 8294400),
        ("bgr24", (7, 3), 63),
        ("gray", (7, 3), 21),
        ("gray10le", (7, 3), 42),
        ("v210", (1280, 720), 27 * 128 * 720),  # lines of whole blocks of 48 pixels
    ],
)
def test_bytes_of_a_frame(layout: str, size_wh: tuple[int, int], expected: int) -> None:
    assert RawVideo(size_wh, layout).frame_bytes == expected
