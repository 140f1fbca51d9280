"""Real live media for tests, all on loopback: numbered video, a UDP sender, a lossy relay, servers, and a witness."""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from engine.arrays import Image
from stream.frame import Frame
from stream.live.sources.capture import Capture, CaptureSettings
from stream.live.states.time_code import draw_time_code, read_time_code
from stream.live.states.view import LiveState
from tests.kit.media import make_video

WAIT_S = 40.0  # until a test gives up; generous, as machines may be busy
_SYSTEM_PYTHON = "/usr/bin/python3"
_RTSP_PACKAGES = "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good"
_TS_PACKET = 188


def coded_picture(number: int, size_wh: tuple[int, int] = (320, 240)) -> Image:
    """A grey picture with its number as a time code."""
    image = np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)
    draw_time_code(image, number)
    return image


def coded_video(path: Path, *, frames: int = 50, size: tuple[int, int] = (320, 240), rate: int = 25) -> Path:
    """H.264 with a key frame every 12 frames and a time code in each picture."""
    options = {"preset": "ultrafast", "g": "12", "threads": "1"}  # one slice a frame
    return make_video(path, frames=frames, size=size, rate=rate, draw=coded_picture, options=options)


class Witness:
    """Runs a capture and remembers what it told."""

    def __init__(self, source: str, *, settings: CaptureSettings | None = None, stop_at: int | None = None) -> None:
        self.states: list[tuple[LiveState, str]] = []
        self.frames: list[tuple[int, Fraction, float, tuple[int, int]]] = []
        self.codes: list[int | None] = []
        self._changed = threading.Condition()
        self.damaged = 0
        self.capture = Capture(
            source, on_frame=self._frame, on_state=self._state, on_damage=self._damage, settings=settings
        )
        self._stop_at = stop_at

    def _frame(self, frame: Frame) -> None:
        with self._changed:
            self.frames.append((frame.index, frame.pts, frame.captured_s, frame.resolution_wh))
            self.codes.append(read_time_code(frame.image))
            self._changed.notify_all()
        if self._stop_at == len(self.frames):
            self.capture.stop()

    def _damage(self, pieces: int) -> None:
        self.damaged += pieces

    def _state(self, state: LiveState, reason: str) -> None:
        with self._changed:
            self.states.append((state, reason))
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, WAIT_S), f"no {what}; states: {self.states}"

    def wait_for_frames(self, count: int) -> None:
        """Until so many more frames have come."""
        target = len(self.frames) + count
        self.wait_for(lambda: len(self.frames) >= target, f"{count} more frames")

    def wait_for_state(self, state: LiveState, *, since: int = 0) -> int:
        """Until a state was told after the first `since`; returns how many states there were up to it."""
        self.wait_for(lambda: any(told is state for told, _ in self.states[since:]), state.value)
        return next(place for place, (told, _) in enumerate(self.states) if place >= since and told is state) + 1

    @property
    def told(self) -> list[LiveState]:
        """The states without repetition."""
        states = [state for state, _ in self.states]
        return [state for place, state in enumerate(states) if place == 0 or states[place - 1] is not state]

    def __enter__(self) -> Witness:
        self.capture.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.capture.stop()


@contextmanager
def rtsp_server(file: Path, *, port: int = 0, login: tuple[str, str] | None = None) -> Iterator[RtspServer]:
    """GStreamer's RTSP server; the test is left out where it is not installed."""
    server = RtspServer(file, port=port, login=login)
    try:
        yield server
    finally:
        server.kill()


class RtspServer:
    """A process that serves a file at /scope."""

    def __init__(self, file: Path, *, port: int, login: tuple[str, str] | None) -> None:
        if not shutil.which(_SYSTEM_PYTHON):
            pytest.skip(f"no {_SYSTEM_PYTHON}, with which the RTSP server is run")
        command = [_SYSTEM_PYTHON, str(Path(__file__).with_name("rtsp_server.py")), str(file), str(port)]
        self.process = subprocess.Popen(
            [*command, *(login or ())], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        line = self.process.stdout.readline()
        if not line:
            reason = self.process.stderr.read().strip().splitlines()[-1:]
            self.kill()
            missing = ("No module named 'gi'", "not available", "cannot do without")
            if reason and any(words in reason[0] for words in missing):
                pytest.skip(
                    "no RTSP server: apt install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good"
                )
            raise AssertionError(f"the RTSP server failed: {reason}")
        self.port = int(line)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


class UdpSender(threading.Thread):
    """Encodes numbered pictures in real time and sends them as MPEG-TS over UDP, until stopped."""

    def __init__(self, port: int, *, size: tuple[int, int] = (320, 240), rate: int = 25, first: int = 0) -> None:
        super().__init__(daemon=True)
        self._port, self._size, self._rate = port, size, rate
        self.number = first
        self._stop_asked = threading.Event()

    def run(self) -> None:
        address = f"udp://127.0.0.1:{self._port}?pkt_size={7 * _TS_PACKET}"
        with av.open(address, "w", format="mpegts") as output:
            options = {"preset": "ultrafast", "tune": "zerolatency", "g": "12", "threads": "1"}
            video = output.add_stream("libx264", rate=self._rate, options=options)
            video.width, video.height = self._size
            video.pix_fmt = "yuv420p"
            began_s = time.monotonic()
            sent = 0
            while not self._stop_asked.wait(max(0.0, began_s + sent / self._rate - time.monotonic())):
                frame = av.VideoFrame.from_ndarray(coded_picture(self.number, self._size), "bgr24")
                frame.pts, frame.time_base = sent, Fraction(1, self._rate)
                output.mux(video.encode(frame))
                sent += 1
                self.number += 1
            output.mux(video.encode(None))

    def __enter__(self) -> UdpSender:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_asked.set()
        self.join()


class LossyRelay(threading.Thread):
    """Passes datagrams on and loses a share of them, the same ones in each run."""

    def __init__(self, to_port: int, *, lost: float, seed: int = 1) -> None:
        super().__init__(daemon=True)
        self._inlet = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._inlet.bind(("127.0.0.1", 0))
        self._inlet.settimeout(0.2)
        self.port: int = self._inlet.getsockname()[1]
        self._to, self._lost, self._random = ("127.0.0.1", to_port), lost, random.Random(seed)
        self.passed = self.dropped = 0
        self._stop_asked = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.is_set():
            try:
                data = self._inlet.recv(65536)
            except TimeoutError:
                continue
            if self._random.random() < self._lost:
                self.dropped += 1
            else:
                self.passed += 1
                self._inlet.sendto(data, self._to)
        self._inlet.close()

    def __enter__(self) -> LossyRelay:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_asked.set()
        self.join()


def free_udp_port() -> int:
    """A port that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def silent_server() -> Iterator[int]:
    """A TCP server that accepts, reads, and never sends; gives its port."""
    stopped = threading.Event()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        taken: list[socket.socket] = []

        def accept() -> None:
            while not stopped.is_set():
                try:
                    taken.append(listener.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            stopped.set()
            thread.join()
            for connection in taken:
                connection.close()


@contextmanager
def http_server(
    send: Callable[[BaseHTTPRequestHandler], None], *, context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """A web server, with TLS where a context is given, that lets `send` answer every GET; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):  # the client went away
                send(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that do not trust it hang up
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send_motion_jpeg(handler: BaseHTTPRequestHandler) -> None:
    """Answers with numbered JPEG pictures, one after the other, until the client goes away: for `http_server`."""
    handler.send_response(200)
    handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
    handler.end_headers()
    for number in itertools.count():
        data = cv2.imencode(".jpg", coded_picture(number))[1].tobytes()
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        handler.wfile.write(head.encode() + data + b"\r\n")
        time.sleep(0.02)  # the pace of a camera


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a few lines in a fresh Python in the project's folder."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
