"""Every kind of live source with real parts on loopback, and their faults."""

from __future__ import annotations

import itertools
import logging
import signal
import threading
import time
from dataclasses import replace
from fractions import Fraction
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import cv2
import pytest

from engine.errors import SourceError
from stream.live.sources.address import parse_live_source
from stream.live.sources.capture import CaptureSettings
from stream.live.sources.opening import open_live_source
from stream.live.sources.pacing import Pacer
from stream.live.states.view import LiveState
from stream.sources.opening import open_source
from tests.kit.live_media import (
    LossyRelay,
    UdpSender,
    Witness,
    coded_picture,
    coded_video,
    free_udp_port,
    http_server,
    rtsp_server,
    run_python,
    send_motion_jpeg,
    silent_server,
)
from tests.kit.media import damage_file, make_video
from tests.kit.tiny_bundle import make_tiny_bundle

# Patient enough for a busy machine, and quick to come back.
QUICK = CaptureSettings(first_delay_s=0.05, longest_delay_s=0.3)
C, R, S, N, E = (
    LiveState.CONNECTING,
    LiveState.RUNNING,
    LiveState.STALLED,
    LiveState.RECONNECTING,
    LiveState.ENDED,
)


def test_a_pacer_counts_from_its_first_frame_and_lets_late_ones_go_at_once() -> None:
    interrupted = threading.Event()
    pacer = Pacer(interrupted)
    began_s = time.monotonic()
    assert pacer.wait_for(100.0) and pacer.wait_for(100.2)
    assert time.monotonic() - began_s >= 0.2
    assert pacer.wait_for(99.0)
    interrupted.set()
    assert not pacer.wait_for(1e6)


def test_the_pattern_moves_and_numbers_its_frames() -> None:
    address = parse_live_source("pattern:320x240@50")
    with open_live_source(address) as source:
        frames = list(itertools.islice(source.frames(), 30))
    assert [frame.index for frame in frames] == list(range(30))
    assert [frame.pts for frame in frames] == [Fraction(index, 50) for index in range(30)]
    assert all(frame.resolution_wh == (320, 240) for frame in frames)
    # Each is available no earlier than it is due.
    assert all(frame.captured_s - frames[0].captured_s >= frame.time_s - 1e-6 for frame in frames)
    assert all(cv2.PSNR(frame.image[40:], frames[0].image[40:]) > 10 for frame in frames)  # one and the same scene


def test_the_pattern_runs_as_fast_as_it_is_taken() -> None:
    with Witness("pattern:192x144@1", settings=CaptureSettings(realtime=False), stop_at=100) as witness:
        witness.wait_for_state(E)
    assert witness.codes[:100] == list(range(100))
    assert len(witness.frames) == 100  # nothing after stop
    assert witness.states[-1] == (E, "stopped")


def test_a_file_is_played_in_real_time_to_its_end(tmp_path: Path) -> None:
    video = coded_video(tmp_path / "a.mp4", frames=25)
    with Witness(str(video)) as witness:
        witness.wait_for_state(E)
    assert witness.told == [C, R, E]
    assert witness.codes == list(range(25))
    assert [pts for _, pts, _, _ in witness.frames] == [Fraction(index, 25) for index in range(25)]
    began_s = witness.frames[0][2]
    assert all(captured_s - began_s >= float(pts) - 1e-6 for _, pts, captured_s, _ in witness.frames)
    assert witness.capture.failure is None


def test_a_file_that_breaks_off_is_played_up_to_there(tmp_path: Path) -> None:
    video = coded_video(tmp_path / "a.ts", frames=50)
    whole = video.with_suffix(".mkv")
    coded_video(whole, frames=50)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with Witness(str(whole), settings=CaptureSettings(realtime=False)) as witness:
        witness.wait_for_state(E)
    assert 5 < len(witness.frames) < 50
    assert "cut short" in witness.states[-1][1] and witness.capture.failure is not None


def test_a_missing_file_ends_the_run_with_its_error() -> None:
    with Witness("nowhere.mp4") as witness:
        witness.wait_for_state(E)
    assert witness.told == [C, E]
    assert isinstance(witness.capture.failure, SourceError)
    assert "no such file" in witness.states[-1][1]


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A coded video that outlasts what a test does with it."""
    return coded_video(tmp_path_factory.mktemp("minute") / "a.mp4", frames=1500)


def test_rtsp_server_killed_and_restarted(minute: Path) -> None:
    with rtsp_server(minute) as server:
        port = server.port
        with Witness(f"rtsp://127.0.0.1:{port}/scope", settings=QUICK) as witness:
            witness.wait_for_frames(10)
            server.kill()
            seen = witness.wait_for_state(N)
            with rtsp_server(minute, port=port):
                witness.wait_for_state(R, since=seen)
                witness.wait_for_frames(10)
    indices = [index for index, *_ in witness.frames]
    times = [pts for _, pts, *_ in witness.frames]
    assert indices == list(range(len(indices)))
    assert all(later > earlier for earlier, later in itertools.pairwise(times))
    # The new connection begins at the start of the file, and every picture was whole.
    codes = witness.codes
    again = codes.index(0, 1)
    assert codes == [*range(again), *range(len(codes) - again)]
    # The run's times tell of the gap.
    gap_s = witness.frames[again][2] - witness.frames[again - 1][2]
    assert abs(float(times[again] - times[again - 1]) - gap_s) < 0.6
    assert witness.told[-1] is E and set(witness.told[:-1]) <= {C, R, S, N}


def test_rtsp_server_that_hangs_is_noticed_and_left(minute: Path) -> None:
    with rtsp_server(minute) as server:
        source = f"rtsp://127.0.0.1:{server.port}/scope"
        settings = CaptureSettings(reconnect_after_s=2.0, first_delay_s=0.05, longest_delay_s=0.3)
        with Witness(source, settings=settings) as witness:
            witness.wait_for_frames(5)
            server.signal(signal.SIGSTOP)
            seen = witness.wait_for_state(S)
            told_s = time.monotonic()
            seen = witness.wait_for_state(N, since=seen)
            server.signal(signal.SIGCONT)
            witness.wait_for_state(R, since=seen)
            witness.wait_for_frames(5)
    last_s = max(captured_s for _, _, captured_s, _ in witness.frames if captured_s < told_s)
    assert told_s - last_s >= 1.5
    indices = [index for index, *_ in witness.frames]
    assert indices == list(range(len(indices)))  # the reader left behind handed on nothing


def test_credentials_open_the_stream_and_are_shown_nowhere(
    minute: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with rtsp_server(minute, login=("doctor", "geheim")) as server:
        place = f"127.0.0.1:{server.port}/scope"
        with Witness(f"rtsp://doctor:geheim@{place}", settings=QUICK) as good:
            good.wait_for_frames(3)
        with Witness(f"rtsp://doctor:falsch@{place}?token=marke", settings=QUICK) as bad:
            bad.wait_for_state(N)
    with Witness(f"rtsp://doctor:geheim@{place}?token=marke", settings=QUICK) as gone:
        gone.wait_for_state(N)
    assert good.capture.name == f"rtsp://127.0.0.1:{server.port}"
    written = "".join(capfd.readouterr()) + caplog.text
    for witness in (good, bad, gone):
        written += repr(witness.states) + repr(witness.capture.failure) + repr(witness.capture._address)
    assert not any(secret in written for secret in ("doctor", "geheim", "falsch", "marke"))


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_server_that_accepts_and_never_sends(scheme: str) -> None:
    settings = CaptureSettings(stalled_after_s=0.5, connect_s=1.5, first_delay_s=0.05, longest_delay_s=0.2)
    with silent_server() as port, Witness(f"{scheme}://doctor@127.0.0.1:{port}/geheim", settings=settings) as witness:
        seen = witness.wait_for_state(S)
        seen = witness.wait_for_state(N, since=seen)
        witness.wait_for_state(S, since=seen)  # and the next opening is noticed as well
    assert witness.frames == [] and witness.told[0] is C and witness.told[-1] is E
    assert not any(secret in reason for _, reason in witness.states for secret in ("doctor", "geheim"))


def test_udp_with_lost_packets() -> None:
    port = free_udp_port()
    with (
        Witness(f"udp://127.0.0.1:{port}", settings=QUICK) as witness,
        LossyRelay(port, lost=0.05) as relay,
        UdpSender(relay.port, size=(640, 480), rate=50),
    ):
        witness.wait_for_frames(100)
    assert relay.dropped > 0
    codes = [code for code in witness.codes if code is not None]
    assert len(codes) > 20 and codes == sorted(codes)
    assert R in witness.told
    assert witness.damaged > 0


def test_damage_in_a_stream_over_http_is_counted_and_passed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make_video(tmp_path / "a.ts", codec="mpeg2video", frames=60, draw=coded_picture, size=(320, 240))
    damage_file(path, begin=0.4, end=0.5)

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(path.read_bytes())

    with http_server(send) as port, Witness(f"http://u:geheim@127.0.0.1:{port}/a.ts", settings=QUICK) as witness:
        witness.wait_for_frames(30)
        witness.wait_for(lambda: witness.damaged > 0, "damage")
    assert "damaged" in caplog.text and "geheim" not in caplog.text


def test_damage_in_a_file_is_counted_as_the_file_counts_it(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mpg", codec="mpeg1video", frames=60, options={"b": "4M", "g": "6"})
    damage_file(path, begin=0.45, end=0.5)
    with open_source(path) as source:
        frames = len(list(source))
        damaged = source.problems.corrupt_packets + source.problems.corrupt_frames
    with Witness(str(path), settings=replace(QUICK, realtime=False)) as witness:
        witness.wait_for_state(E)
    assert len(witness.frames) == frames and witness.damaged == damaged > 0


def test_udp_sender_that_stops_and_starts_again_with_another_size_and_rate() -> None:
    port = free_udp_port()
    with Witness(f"udp://127.0.0.1:{port}", settings=QUICK) as witness:
        with UdpSender(port):
            witness.wait_for_frames(20)
        seen = witness.wait_for_state(S)
        with UdpSender(port, size=(640, 360), rate=50, first=1000):
            witness.wait_for_state(R, since=seen)
            witness.wait_for(lambda: witness.frames[-1][3] == (640, 360), "frame of the new size")
            witness.wait_for_frames(20)
    assert witness.frames[0][3] == (320, 240)
    assert {size for *_, size in witness.frames} == {(320, 240), (640, 360)}
    assert witness.codes[-1] is not None and witness.codes[-1] >= 1000


def test_size_and_rate_change_in_the_middle_of_a_stream(tmp_path: Path) -> None:
    first = coded_video(tmp_path / "a.ts", frames=24).read_bytes()
    second = coded_video(tmp_path / "b.ts", frames=48, size=(640, 360), rate=50).read_bytes()
    held = threading.Event()

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "video/mp2t")
        handler.end_headers()
        handler.wfile.write(first + second)
        held.wait(60)  # the connection stays open: nothing tells the receiver that the stream changed

    with http_server(send) as port, Witness(f"http://127.0.0.1:{port}/live.ts", settings=QUICK) as witness:
        # All but the last two: the end of a frame is only known from the next one, in the container and in the stream.
        # The decoder holds none back.
        witness.wait_for(lambda: witness.codes.count(45) == 1, "last frame but two")
        held.set()
    assert [size for *_, size in witness.frames[:24]] == [(320, 240)] * 24
    assert witness.codes[:60] == [*range(24), *range(36)]
    assert all(size == (640, 360) for *_, size in witness.frames[24:60])
    times = [pts for _, pts, *_ in witness.frames]
    assert all(later > earlier for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_frames_that_were_sent_out_of_order_are_put_into_order(tmp_path: Path, codec: str) -> None:
    options = {"bf": "2", "b": "2M", "threads": "1"}
    video = make_video(tmp_path / "a.ts", frames=40, size=(320, 240), codec=codec, options=options, draw=coded_picture)

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "video/mp2t")
        handler.end_headers()
        handler.wfile.write(video.read_bytes())

    with http_server(send) as port, Witness(f"http://127.0.0.1:{port}/live.ts", settings=QUICK) as witness:
        witness.wait_for_frames(36)  # the decoder still holds the last ones when the connection breaks
    assert witness.codes[:36] == list(range(36))


def test_motion_jpeg_over_http() -> None:
    with http_server(send_motion_jpeg) as port, Witness(f"http://127.0.0.1:{port}/cam.mjpg", settings=QUICK) as witness:
        witness.wait_for_frames(30)
    assert witness.codes[:30] == list(range(30))


def test_a_recording_on_a_web_server_is_played_in_real_time_and_ends(tmp_path: Path) -> None:
    data = coded_video(tmp_path / "a.mp4", frames=25).read_bytes()

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "video/mp4")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    with http_server(send) as port, Witness(f"http://127.0.0.1:{port}/exam.mp4", settings=QUICK) as witness:
        witness.wait_for_state(E)
    assert witness.codes == list(range(25))
    assert witness.frames[-1][2] - witness.frames[0][2] >= 24 / 25 - 1e-6
    assert witness.told == [C, R, E] and witness.capture.failure is None


def test_a_camera_that_is_unplugged_comes_back(tmp_path: Path) -> None:
    """A file stands in for the camera: OpenCV's own reader runs on it, and its end is what unplugging looks like."""
    video = coded_video(tmp_path / "camera.mp4", frames=20)
    aside = tmp_path / "unplugged.mp4"
    with Witness(f"camera:{video}?width=320&height=240&fps=25", settings=QUICK) as witness:
        witness.wait_for_frames(1)
        video.rename(aside)
        witness.wait_for(lambda: any("cannot be opened" in reason for _, reason in witness.states), "failed opening")
        seen = len(witness.states)
        aside.rename(video)
        witness.wait_for_state(R, since=seen)
        witness.wait_for_frames(5)
    assert any("gives no more pictures" in reason for _, reason in witness.states)
    assert [index for index, *_ in witness.frames] == list(range(len(witness.frames)))


def test_jumps_of_the_wall_clock_do_no_harm(tmp_path: Path) -> None:
    """The wall clock is a stand-in that jumps by years from call to call: a test must not set the machine's."""
    video = coded_video(tmp_path / "a.mp4", frames=25)
    code = """
import datetime, itertools, sys, time
jumps = itertools.cycle([0.0, 4e9, -1e9, 1.7e9])
time.time = lambda: next(jumps)
time.time_ns = lambda: int(next(jumps) * 1e9)
import threading
from stream.live.sources.capture import Capture
times, ended = [], threading.Event()
capture = Capture(sys.argv[1], on_frame=lambda frame: times.append(frame.captured_s),
                  on_state=lambda state, reason: ended.set() if state.value == "ended" else None)
capture.start()
assert ended.wait(60)
print(len(times), times == sorted(times), 0.95 <= times[-1] - times[0] < 20, capture.failure)
"""
    done = run_python(code, str(video))
    assert done.stdout.split() == ["25", "True", "True", "None"], done.stderr


def test_the_command_writes_no_credentials_anywhere(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "model")
    written = tmp_path / "written"
    written.mkdir()
    with http_server(send_motion_jpeg) as port:
        source = f"http://doctor:geheim@127.0.0.1:{port}/cam-kennwort.mjpg?token=marke"
        arguments = ["live", source, "-v", "--duration", "2", "--model", str(bundle.folder)]
        arguments += ["--events", str(written / "e.jsonl"), "--record", str(written / "r.mp4")]
        done = run_python("import sys; from polypstream import cli; sys.exit(cli.main(sys.argv[1:]))", *arguments)
    assert done.returncode == 0, done.stderr
    texts = {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    texts |= {file.name: file.read_bytes() for file in written.iterdir()}
    assert {"e.jsonl", "e.run.json", "r.mp4"} <= set(texts)
    assert f"127.0.0.1:{port}".encode() in texts["e.run.json"]
    for name, text in texts.items():
        assert not any(secret in text for secret in (b"doctor", b"geheim", b"kennwort", b"marke")), name


def test_a_program_ends_well_while_the_pattern_is_still_being_rendered() -> None:
    """A thread inside OpenCV that outlives the interpreter would abort the program."""
    code = """
import threading
from stream.live.sources.capture import Capture
came = threading.Event()
capture = Capture("pattern:", on_frame=lambda frame: came.set(), on_state=lambda state, reason: None)
capture.start()
assert came.wait(60)
capture.stop(wait_s=60)
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
