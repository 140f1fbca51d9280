"""Which stream of a live source is taken."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from av.stream import Disposition as D

from engine.errors import SourceError
from polypstream.cli import _parser
from stream.live.command import _settings
from stream.live.outputs.outputs import OutputSettings
from stream.live.run import LiveRunSettings, run_live
from stream.live.sources.address import parse_live_source
from stream.live.sources.capture import Capture, CaptureSettings
from stream.live.sources.opening import open_live_source
from tests.kit.live_media import http_server
from tests.kit.media import picture_number
from tests.kit.odd_files import Film, write_streams
from tests.kit.tiny_bundle import make_tiny_bundle


def numbers(source: str, stream: int | None = None) -> list[int]:
    with open_live_source(parse_live_source(source), realtime=False, stream=stream) as opened:
        return [picture_number(frame.image) for frame in opened.frames()]


@pytest.mark.parametrize(("stream", "expected"), [(None, [5, 6, 7]), (0, [99]), (1, [5, 6, 7])])
def test_a_file(tmp_path: Path, stream: int | None, expected: list[int], caplog: pytest.LogCaptureFixture) -> None:
    thumbnail, film = Film([99], (64, 48), codec="mjpeg"), Film([5, 6, 7], disposition=D.default)
    path = write_streams(tmp_path / "exam.mkv", [thumbnail, film])
    assert numbers(str(path), stream) == expected
    assert ("--stream N takes another one" in caplog.text) == (stream is None)


@pytest.mark.parametrize(("stream", "expected"), [(None, [5, 6, 7]), (0, [90, 91, 92])])
def test_a_network_stream(
    tmp_path: Path, stream: int | None, expected: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """A server that sends a small picture beside the large one."""
    data = write_streams(tmp_path / "a.ts", [Film([90, 91, 92], (64, 48)), Film([5, 6, 7])]).read_bytes()

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "video/mp2t")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    with http_server(send) as port:
        assert numbers(f"http://127.0.0.1:{port}/geheim.ts", stream) == expected
    assert ("is smaller; --stream N" in caplog.text) == (stream is None)
    assert "geheim" not in caplog.text


@pytest.mark.parametrize("source", ["camera:0", "pattern:"])
def test_a_camera_has_no_streams(source: str) -> None:
    with pytest.raises(SourceError, match=f"--stream 1: {source} has one picture"):
        Capture(
            source,
            on_frame=lambda frame: None,
            on_state=lambda state, why: None,
            settings=CaptureSettings(stream=1),
        )


@pytest.mark.parametrize(("source", "stream"), [("exam.mkv", 7), ("pattern:", 0)])
def test_a_run_refuses_what_is_not_there(
    tmp_path: Path, source: str, stream: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_tiny_bundle(tmp_path / "tiny")
    write_streams(tmp_path / "exam.mkv", [Film([1, 2])])
    settings = LiveRunSettings(
        source, OutputSettings(events=Path("e.jsonl")), model="tiny", capture=CaptureSettings(stream=stream)
    )
    with pytest.raises(SourceError, match=f"--stream {stream}: {source}"):
        run_live(settings)
    assert {path.name for path in tmp_path.iterdir()} == {"exam.mkv", "tiny"}


def test_the_command_hands_the_number_on() -> None:
    arguments = _parser().parse_args(["live", "pattern:", "--stream", "1", "--events", "e.jsonl"])
    assert _settings(arguments, "pattern:").capture.stream == 1
