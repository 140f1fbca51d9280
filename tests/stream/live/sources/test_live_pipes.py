"""Live from a pipe and from a file that grows: real programs write, are killed and stalled; the newest frame wins."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import pytest

from engine.errors import DecodeError, InputError, SourceError
from polypstream.cli import _parser
from stream.frame import Frame
from stream.live.command import _settings
from stream.live.sources.address import parse_live_source
from stream.live.sources.capture import Capture, CaptureSettings
from stream.live.sources.container import ContainerSource
from stream.live.sources.piped import PipeSource
from stream.live.states.view import LiveState
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.pipes.feed import PipeFeed
from stream.sources.pipes.growing import Begin, Follow
from tests.kit.live_media import Witness, coded_video
from tests.kit.pipe_writers import ffmpeg_pattern, gstreamer, standard_input, writing
from tests.kit.programs import POLYPSTREAM, surroundings
from tests.kit.tiny_bundle import make_tiny_bundle
from tests.kit.woven import Weave, write_woven

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="standard input is changed by POSIX calls")
C, R, S, E = LiveState.CONNECTING, LiveState.RUNNING, LiveState.STALLED, LiveState.ENDED


@pytest.mark.parametrize(
    ("output", "source"),
    [
        (("-c:v", "rawvideo", "-pix_fmt", "uyvy422", "-f", "nut"), "-"),
        (("-f", "rawvideo", "-pix_fmt", "nv12"), "-?size=320x240&format=nv12&rate=25"),
    ],
)
def test_ffmpeg_that_is_killed_ends_the_run(output: tuple[str, ...], source: str) -> None:
    with writing(ffmpeg_pattern(*output)) as writer:
        assert writer.stdout is not None
        with standard_input(writer.stdout), Witness(source) as witness:
            witness.wait_for_frames(5)
            writer.kill()
            witness.wait_for_state(E)
    assert witness.states[-1][1].startswith("standard input ended")
    assert all(size == (320, 240) for *_, size in witness.frames)
    assert [index for index, *_ in witness.frames] == list(range(len(witness.frames)))


def test_ffmpeg_that_stalls_is_said_and_waited_for() -> None:
    with writing(ffmpeg_pattern("-f", "yuv4mpegpipe")) as writer:
        assert writer.stdout is not None
        with standard_input(writer.stdout), Witness("-", settings=CaptureSettings(stalled_after_s=0.5)) as witness:
            witness.wait_for_frames(5)
            writer.send_signal(signal.SIGSTOP)
            seen = witness.wait_for_state(S, since=witness.wait_for_state(R))
            before = len(witness.frames)
            writer.send_signal(signal.SIGCONT)
            witness.wait_for_state(R, since=seen)
            witness.wait_for_frames(5)
    assert len(witness.frames) > before and LiveState.RECONNECTING not in witness.told


def test_gstreamer_writes_into_the_pipe_to_its_end() -> None:
    program = gstreamer("videotestsrc", "matroskamux", "fdsink")
    picture = "video/x-raw,format=UYVY,width=320,height=240,framerate=25/1"
    line = ["videotestsrc", "num-buffers=40", "is-live=true", "!", picture, "!", "matroskamux", "streamable=true"]
    with writing([program, "-q", *line, "!", "fdsink", "fd=1"]) as writer:
        assert writer.stdout is not None
        with standard_input(writer.stdout), Witness("-") as witness:
            witness.wait_for_state(E)
    assert 0 < len(witness.frames) <= 40 and witness.capture.failure is None
    assert witness.states[-1] == (E, "standard input ended")


def test_an_end_within_a_frame_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(bytes(64 * 48 * 10 + 7))
    with standard_input(tmp_path / "raw"), Witness("-?size=64x48&format=gray&rate=25") as witness:
        witness.wait_for_state(E)
    assert len(witness.frames) == 10 and isinstance(witness.capture.failure, DecodeError)
    assert "10 frames of 64x48 gray (3,072 bytes each) and 7 bytes more" in witness.states[-1][1]


@pytest.mark.parametrize(
    ("data", "source", "said"),
    [
        (b"", "-", "nothing came through standard input, which ended"),
        (bytes(1000), "-?size=64x48&format=gray", "1,000 bytes are 0 frames of 64x48 gray"),
        (b"no video at all" * 1000, "-", "holds no video that can be read so"),
    ],
)
def test_a_pipe_without_frames_is_unusable(data: bytes, source: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(data)
    with standard_input(tmp_path / "bytes"), Witness(source) as witness:
        witness.wait_for_state(E)
    assert witness.frames == [] and isinstance(witness.capture.failure, SourceError)
    assert said in str(witness.capture.failure)


@pytest.mark.parametrize(
    "output",
    [
        ("-c:v", "rawvideo", "-pix_fmt", "uyvy422", "-f", "nut"),  # each frame stands alone
        ("-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-f", "nut"),
    ],
)
def test_a_slow_reader_does_not_hold_up_the_writer(output: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    """Each frame is looked at for a third of a second, and 25 come in that time every second."""
    left_out: list[int] = []
    with writing(ffmpeg_pattern(*output, seconds=4)) as writer:
        assert writer.stdout is not None
        began_s = time.monotonic()
        feed = PipeFeed(writer.stdout.fileno(), most_bytes=1 << 28)
        frames: list[Frame] = []
        with PipeSource(parse_live_source("-"), feed=feed) as source:
            source.on_left_out = left_out.append
            for frame in source.frames():
                time.sleep(0.3)
                frames.append(frame)
                if len(frames) == 8:
                    break
            lasted_s = time.monotonic() - began_s
            assert writer.wait(timeout=30) == 0  # it wrote all that it had, though few of its frames were taken
    assert sum(left_out) > 20 and len(frames) == 8
    assert frames[-1].time_s > 0.5 * lasted_s  # the newest wins: times do not fall behind
    assert caplog.text.count("comes faster than it can be decoded") == 1


@pytest.mark.slow
def test_the_command_shows_what_comes_and_records_what_it_left_out(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "tiny")
    output = ("-c:v", "rawvideo", "-pix_fmt", "uyvy422", "-f", "nut")
    with writing(ffmpeg_pattern(*output, seconds=5)) as writer:
        run = subprocess.run(
            [*POLYPSTREAM, "live", "-", "--model", "tiny", "--events", "e.jsonl"],
            cwd=tmp_path, env=surroundings(), stdin=writer.stdout, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
    assert run.returncode == 0, run.stderr
    record = json.loads((tmp_path / "e.run.json").read_text())
    assert record["source"] == "standard input" and record["counts"]["shown"] > 0
    assert record["counts"]["shown"] + record["counts"]["dropped"].get("source", 0) == 125
    assert record["deinterlacing"]["wanted"] == "auto"


def test_the_fields_of_a_frame_are_shown_half_a_frame_apart(tmp_path: Path) -> None:
    path = write_woven(tmp_path / "a.ts", Weave.TOP_FIRST, frames=30, flagged=False)
    shown_s = []
    with ContainerSource(
        parse_live_source("udp://127.0.0.1:1"), av.open(str(path)), stream=None, deinterlace=Deinterlace.FIELD
    ) as source:
        frames = []
        for frame in source.frames():
            frames.append(frame)
            shown_s.append(time.monotonic())
        record = source.deinterlacing
    assert len(frames) == 60 and [frame.index for frame in frames] == list(range(60))
    assert all(later.pts > earlier.pts for earlier, later in itertools.pairwise(frames))
    pairs = list(zip(range(20, 60, 2), range(21, 60, 2), strict=True))  # after those that were held back
    for first, second in pairs:
        assert frames[second].captured_s - frames[first].captured_s == pytest.approx(0.02, abs=1e-4)
        # The first one is asked for when the one before it was taken, and may itself be taken late on a busy machine.
        assert shown_s[second] - shown_s[first - 1] >= 0.0199
    assert record["pictures_show"] == "interlaced, top field first" and record["deinterlaced_pictures"] == 60


@pytest.mark.parametrize("ending", ["ts", "mkv"])
@pytest.mark.parametrize("begin", Begin)
def test_a_file_is_followed_as_it_grows(ending: str, begin: Begin, tmp_path: Path) -> None:
    whole = coded_video(tmp_path / f"whole.{ending}", frames=50).read_bytes()
    path = tmp_path / f"a.{ending}"
    path.write_bytes(whole[: len(whole) // 3])
    written = threading.Event()

    def write_on() -> None:
        with path.open("ab", buffering=0) as file:
            for place in range(len(whole) // 3, len(whole), 1500):
                file.write(whole[place : place + 1500])
                time.sleep(0.02)
        written.set()

    settings = CaptureSettings(follow=Follow(begin, quiet_s=2.0), stalled_after_s=0.5)
    with Witness(str(path), settings=settings) as witness:
        witness.wait_for_frames(1)
        threading.Thread(target=write_on, daemon=True).start()
        witness.wait_for_state(E)
    assert written.is_set()
    assert witness.states[-1] == (E, f"{path} has not grown for 2 s") and witness.capture.failure is None
    assert witness.codes == list(range(50))  # what is there at the start is less than a tail


def test_a_file_that_cannot_be_followed_says_which_can(tmp_path: Path) -> None:
    path = coded_video(tmp_path / "a.mp4", frames=10)
    path.write_bytes(path.read_bytes()[:-500])  # its index is not written yet
    with Witness(str(path), settings=CaptureSettings(follow=Follow(quiet_s=0.3))) as witness:
        witness.wait_for_state(E)
    assert "cannot be followed: MPEG-TS, Matroska and fragmented MP4 can" in str(witness.capture.failure)


def test_only_files_are_followed() -> None:
    for source in ("camera:0", "-", "pattern:", "udp://:1234"):
        with pytest.raises(SourceError, match="is no file that grows"):
            Capture(
                source,
                on_frame=lambda frame: None,
                on_state=lambda state, why: None,
                settings=CaptureSettings(follow=Follow()),
            )


def test_the_command_hands_its_options_on() -> None:
    parse = _parser().parse_args
    asked = ["live", "a.ts", "--follow", "--follow-from", "start", "--follow-wait", "3", "--deinterlace", "field"]
    capture = _settings(parse([*asked, "--events", "e.jsonl"]), "a.ts").capture
    assert capture.follow == Follow(Begin.START, 3.0) and capture.deinterlace is Deinterlace.FIELD
    assert _settings(parse(["live", "a.ts", "--events", "e.jsonl"]), "a.ts").capture.follow is None
    assert parse(["live", "-?size=64x48&format=gray", "--show"]).source == ["-?size=64x48&format=gray"]
    for option in (["--follow-from", "end"], ["--follow-wait", "3"]):
        with pytest.raises(InputError, match=f"{option[0]} has no effect without --follow"):
            _settings(parse(["live", "a.ts", "--events", "e.jsonl", *option]), "a.ts")


def test_a_terminal_is_no_source(tmp_path: Path) -> None:
    leader, follower = os.openpty()
    run = subprocess.run(
        [*POLYPSTREAM, "live", "-", "--events", "e.jsonl"],
        cwd=tmp_path, env=surroundings(), stdin=follower, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    os.close(leader)
    os.close(follower)
    assert run.returncode == 2 and "standard input is a terminal" in run.stderr
    assert list(tmp_path.iterdir()) == []
