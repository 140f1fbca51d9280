"""Whom a live source is sent a password, what is taken from the network, and what a refused password leads to."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from engine.errors import InputError, LoginRefusedError, SourceError, UntrustedError
from polypstream import cli
from stream.live.sources.address import parse_live_source
from stream.live.sources.capture import CaptureSettings
from stream.live.sources.opening import open_live_source
from stream.live.states.view import LiveState
from tests.kit.live_media import (
    Witness,
    coded_video,
    free_udp_port,
    http_server,
    rtsp_server,
    send_motion_jpeg,
)
from tests.kit.media import make_video
from tests.kit.tiny_bundle import make_tiny_bundle
from tests.kit.tls_servers import Certificate, make_certificate, refusing_rtsp_server

QUICK = CaptureSettings(first_delay_s=0.05, longest_delay_s=0.2, refused_delay_s=0.1)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate of this machine that no authority signed."""
    return make_certificate(tmp_path_factory.mktemp("own"), "own", names="DNS:localhost,IP:127.0.0.1")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate of another machine."""
    return make_certificate(tmp_path_factory.mktemp("other"), "other", names="DNS:other.example,IP:10.9.9.9")


class Door:
    """A web server's answers, and the users that asked."""

    def __init__(self, status: int = 200, location: str = "") -> None:
        self.status, self.location = status, location
        self.asked: list[str | None] = []

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.headers.get("Authorization"))
        if self.status == 200:
            send_motion_jpeg(handler)
            return
        handler.send_response(self.status)
        if self.location:
            handler.send_header("Location", self.location)
        handler.send_header("WWW-Authenticate", 'Basic realm="x"')
        handler.send_header("Content-Length", "0")
        handler.end_headers()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("trusted", [False, True], ids=["unknown authority", "another machine's"])
def test_nothing_is_sent_to_a_web_server_that_cannot_be_verified(
    own: Certificate, other: Certificate, host: str, trusted: bool
) -> None:
    shown = other if trusted else own
    settings = replace(QUICK, source_ca=other.file if trusted else None)
    door = Door()
    with (
        http_server(door, context=shown.server_side()) as port,
        Witness(f"https://doctor:geheim@{host}:{port}/cam", settings=settings) as witness,
    ):
        witness.wait_for_state(LiveState.ENDED)
    assert door.asked == []
    assert isinstance(witness.capture.failure, UntrustedError)
    message = str(witness.capture.failure)
    assert f"https://{host}:{port}" in message and "--source-ca" in message and "geheim" not in message


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_hospitals_own_authority_is_trusted_when_it_is_given(own: Certificate, host: str) -> None:
    door = Door()
    with (
        http_server(door, context=own.server_side()) as port,
        Witness(f"https://{host}:{port}/cam", settings=replace(QUICK, source_ca=own.file)) as witness,
    ):
        witness.wait_for_frames(3)
    assert witness.capture.failure is None


def test_nothing_is_sent_to_an_rtsps_server_that_cannot_be_verified(own: Certificate) -> None:
    with refusing_rtsp_server(context=own.server_side()) as door:
        with Witness(f"rtsps://doctor:geheim@localhost:{door.port}/scope", settings=QUICK) as witness:
            witness.wait_for_state(LiveState.ENDED)
        assert door.requests == [] and isinstance(witness.capture.failure, UntrustedError)
        trusting = replace(QUICK, source_ca=own.file, refused_tries=1)
        with Witness(f"rtsps://doctor:geheim@localhost:{door.port}/scope", settings=trusting) as witness:
            witness.wait_for_state(LiveState.ENDED)
        assert door.logins == 1 and isinstance(witness.capture.failure, LoginRefusedError)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_authority_that_cannot_be_used_is_said_before_anything_begins(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    bundle = make_tiny_bundle(tmp_path / "model")
    arguments = ["live", "https://localhost:1/x", "--source-ca", str(file), "--model", str(bundle.folder)]
    assert cli.main([*arguments, "--events", str(tmp_path / "e.jsonl")]) == 2
    assert "--source-ca" in capsys.readouterr().err
    with pytest.raises(InputError, match="--source-ca"):
        Witness("https://localhost:1/x", settings=CaptureSettings(source_ca=file))


@pytest.mark.parametrize("status", [401, 403])
def test_a_web_server_that_refuses_the_user_is_asked_rarely_and_not_for_ever(status: int) -> None:
    door = Door(status)
    settings = replace(QUICK, refused_delay_s=0.4)
    began_s = time.monotonic()
    with http_server(door) as port, Witness(f"http://doctor:geheim@127.0.0.1:{port}/cam", settings=settings) as witness:
        witness.wait_for_state(LiveState.ENDED)
    assert time.monotonic() - began_s >= 0.8  # two waits
    assert sum(asked is not None for asked in door.asked) <= 3
    assert len(door.asked) <= 6
    assert isinstance(witness.capture.failure, LoginRefusedError)
    assert "user or password refused" in witness.states[-1][1] and "3 tries" in witness.states[-1][1]
    assert "geheim" not in repr(witness.states)


@pytest.mark.parametrize("scheme", ["Basic", "Digest"])
def test_an_rtsp_server_that_refuses_the_user_is_not_asked_for_ever(scheme: str) -> None:
    with refusing_rtsp_server(scheme=scheme) as door:
        with Witness(f"rtsp://doctor:geheim@127.0.0.1:{door.port}/scope", settings=QUICK) as witness:
            witness.wait_for_state(LiveState.ENDED)
        assert door.logins == 3
    assert isinstance(witness.capture.failure, LoginRefusedError)


def test_a_real_rtsp_server_that_refuses_the_password(tmp_path: Path) -> None:
    video = coded_video(tmp_path / "a.mp4", frames=50)
    with (
        rtsp_server(video, login=("doctor", "geheim")) as server,
        Witness(f"rtsp://doctor:falsch@127.0.0.1:{server.port}/scope", settings=QUICK) as witness,
    ):
        witness.wait_for_state(LiveState.ENDED)
    assert isinstance(witness.capture.failure, LoginRefusedError)
    assert "user or password refused" in str(witness.capture.failure)


def test_a_password_that_is_refused_later_ends_the_run_as_a_fault(tmp_path: Path) -> None:
    class Once(Door):
        def __call__(self, handler: BaseHTTPRequestHandler) -> None:
            if self.asked:
                self.status = 401
            self.asked.append(None)
            if self.status == 401:
                super().__call__(handler)
                return
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.write(stream)

    stream = coded_video(tmp_path / "a.ts", frames=25).read_bytes()
    with (
        http_server(Once()) as port,
        Witness(f"http://doctor:geheim@127.0.0.1:{port}/cam.ts", settings=QUICK) as witness,
    ):
        witness.wait_for_state(LiveState.ENDED)
    failure = witness.capture.failure
    assert len(witness.frames) > 10 and failure is not None
    assert not isinstance(failure, InputError) and "user or password refused" in str(failure)


@contextmanager
def answering(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """A web server with one answer; gives its port and the paths that were asked for."""
    paths: list[str] = []

    def send(handler: BaseHTTPRequestHandler) -> None:
        paths.append(handler.path)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    with http_server(send) as port:
        yield port, paths


@pytest.mark.parametrize("kind", ["hls", "concat", "dash"])
def test_a_web_servers_playlist_asks_no_other_server(tmp_path: Path, kind: str) -> None:
    with answering(coded_video(tmp_path / "a.ts", frames=12).read_bytes()) as (port, asked):
        elsewhere = f"http://127.0.0.1:{port}/a.ts"
        playlist = {
            "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{elsewhere}\n#EXT-X-ENDLIST\n",
            "concat": f"ffconcat version 1.0\nfile '{elsewhere}'\n",
            "dash": f"<?xml version='1.0'?><MPD type='static'><Period><BaseURL>{elsewhere}</BaseURL></Period></MPD>",
        }[kind]
        with answering(playlist.encode()) as (first, _), pytest.raises(SourceError, match="playlist"):
            open_live_source(parse_live_source(f"http://127.0.0.1:{first}/live.m3u8"))
    assert asked == []


def test_a_web_server_that_refers_elsewhere_is_not_followed() -> None:
    elsewhere = Door()
    with (
        http_server(elsewhere) as port,
        http_server(Door(302, f"http://127.0.0.1:{port}/cam")) as first,
        pytest.raises(SourceError, match="refers to another address"),
    ):
        open_live_source(parse_live_source(f"http://doctor:geheim@127.0.0.1:{first}/cam"))
    assert elsewhere.asked == []


@pytest.mark.parametrize(("ending", "codec"), [("h264", "libx264"), ("mpg", "mpeg1video")])
def test_a_datagram_reaches_no_demuxer_but_that_of_transport_streams(tmp_path: Path, ending: str, codec: str) -> None:
    data = make_video(tmp_path / f"a.{ending}", frames=25, codec=codec).read_bytes()
    port, stopped = free_udp_port(), threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for begin in itertools.cycle(range(0, len(data), 1316)):
                if stopped.wait(0.002):
                    return
                sender.sendto(data[begin : begin + 1316], ("127.0.0.1", port))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with pytest.raises(SourceError, match="no answer in time"):
            open_live_source(parse_live_source(f"udp://127.0.0.1:{port}"), open_timeout_s=1.0)
    finally:
        stopped.set()
        thread.join()


def test_a_camera_that_is_an_address_or_a_playlist_is_none(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="without camera:") as caught:
        parse_live_source("camera:rtsp://doctor:geheim@host/scope")
    assert "geheim" not in str(caught.value)
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\na.ts\n")
    with pytest.raises(SourceError, match="playlist"):
        open_live_source(parse_live_source(f"camera:{playlist}"))
