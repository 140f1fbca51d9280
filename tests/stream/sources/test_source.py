"""Which sources are opened, and how others are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.errors import SourceError
from stream.sources.opening import open_source
from stream.sources.source import SourceProblems
from tests.kit.media import make_pictures, make_video


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("camera:0", "camera:0"),
        ("rtsp://doctor:secret@10.0.0.7:554/stream?token=secret", "rtsp://10.0.0.7:554 is"),
        ("RTSP://doctor:sec@ret@host/x", "RTSP://host is"),
        ("http://host/secret/path.m3u8", "http://host is"),
        ("udp://@239.0.0.1:1234", "udp://239.0.0.1:1234 is"),
        ("https://user:secret@host", "https://host is"),
    ],
)
def test_live_sources_are_refused_without_showing_secrets(source: str, shown: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(source)
    message = str(caught.value)
    assert message.startswith(shown)
    assert "polypstream live" in message
    assert "\n" not in message
    assert not any(secret in message for secret in ("secret", "sec@ret", "ret@", "doctor", "user"))


def test_a_missing_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no such file or folder: .*missing\.mp4"):
        open_source(tmp_path / "missing.mp4")
    with pytest.raises(SourceError, match="the source is empty"):
        open_source("")


@pytest.mark.parametrize("name", ["a\0b.mp4", "x" * 5000])
def test_an_impossible_name_is_refused(name: str) -> None:
    with pytest.raises(SourceError):
        open_source(name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(SourceError, match="not a regular file"):
        open_source(tmp_path / "a.mp4")


def test_a_file_url_is_a_file(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a b.mp4", frames=2)
    with open_source(path.as_uri()) as source:
        assert source.info.path == path


def test_a_file_may_be_named_like_a_camera(tmp_path: Path) -> None:
    make_pictures(tmp_path, ["camera:0.png"])
    with open_source(tmp_path / "camera:0.png") as source:
        assert len(list(source)) == 1


def test_problems_are_false_when_there_are_none() -> None:
    assert not SourceProblems()
    assert SourceProblems(corrupt_frames=1)
    assert SourceProblems(broke_off="x")
