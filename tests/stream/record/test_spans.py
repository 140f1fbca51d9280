"""Pieces of videos, read from their middle: each frame of the whole recording once, at its time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import InputError, SourceError
from stream.frame import Frame
from stream.record.spans import WARMING_UP, Span, SpanSource
from stream.sources.opening import open_source
from stream.sources.source import SourceProblems
from tests.kit.media import make_pictures, make_video

FRAMES = 120  # 4.8 s


def read_span(path: Path, span: Span) -> tuple[list[Frame], list[Frame], SourceProblems]:
    """Frames of a span, those that warm up, and problems."""
    with open_source(path) as source:
        read = list(SpanSource(source, span))
        assert source.end_s is None or span.end_s is None
        warm = [frame for frame in read if frame.index == WARMING_UP]
        return read[len(warm) :], warm, source.problems


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("h264.mp4", {"options": {"g": "12", "bf": "3"}}),
        ("open.mkv", {"options": {"g": "12", "bf": "3", "x264-params": "open-gop=1"}}),
        ("hevc.mp4", {"codec": "libx265", "options": {"x265-params": "log-level=none:pools=1:keyint=12"}}),
        ("mpeg1.mpg", {"codec": "mpeg1video", "options": {"g": "12", "bf": "2"}, "audio": "mp2"}),
        ("mpeg2.vob", {"codec": "mpeg2video", "options": {"g": "12"}}),
        ("transport.ts", {"options": {"g": "12", "bf": "3"}, "audio": "aac"}),
        ("mpeg4.avi", {"codec": "mpeg4", "options": {"g": "12"}}),
        ("vp9.webm", {"codec": "libvpx-vp9", "options": {"g": "12", "cpu-used": "8", "deadline": "realtime"}}),
        ("moved.mov", {"options": {"g": "12"}, "container_options": {"movflags": "frag_keyframe"}}),
    ],
)
def test_spans_give_the_frames_of_the_whole_recording(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    path = make_video(tmp_path / name, frames=FRAMES, **options)
    with open_source(path) as source:
        whole = list(source)
        end_s = source.end_s
    assert len(whole) == FRAMES
    pieces: list[Frame] = []
    for start_s, stop_s in ((0.0, 1.5), (1.5, 3.0), (3.0, None)):
        frames, warm, problems = read_span(path, Span(start_s, stop_s, warm_up_s=1.0))
        assert not problems
        assert [frame.index for frame in frames] == list(range(len(frames)))
        assert bool(warm) == (start_s > 0)
        assert all(start_s - 1 <= frame.pts < start_s for frame in warm)
        pieces += frames
    assert [frame.pts for frame in pieces] == [frame.pts for frame in whole]
    for piece, frame in zip(pieces, whole, strict=True):
        np.testing.assert_array_equal(piece.image, frame.image)
    with open_source(path) as source:
        last = SpanSource(source, Span(3.0))
        assert list(last)
        assert last.end_s == end_s


@pytest.mark.parametrize(
    ("start_s", "end_s", "warm_up_s"),
    [(-1.0, None, 0.0), (2.0, 2.0, 0.0), (2.0, 1.0, 0.0), (0.0, 1.0, -1.0), (float("nan"), None, 0.0)],
)
def test_a_span_that_is_none_is_refused(start_s: float, end_s: float | None, warm_up_s: float) -> None:
    with pytest.raises(InputError, match="span must be"):
        Span(start_s, end_s, warm_up_s)


def test_pictures_have_no_middle(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "pictures", ["a.png", "b.png"])
    with open_source(folder) as source, pytest.raises(SourceError, match="only videos can be read from their middle"):
        SpanSource(source, Span(0.0))
