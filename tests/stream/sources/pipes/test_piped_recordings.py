"""Every frame of what FFmpeg and GStreamer write into a pipe, and what is said where there is none."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.errors import SourceError
from stream.sources.opening import open_source
from tests.kit.media import make_video, picture_number
from tests.kit.pipe_writers import ffmpeg, ffmpeg_pattern, gstreamer, standard_input, writing
from tests.kit.programs import POLYPSTREAM, surroundings
from tests.kit.tiny_bundle import make_tiny_bundle

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="standard input is changed by POSIX calls")


def _numbers(command: list[str], source: str = "-") -> list[int]:
    with writing(command) as writer:
        assert writer.stdout is not None
        with standard_input(writer.stdout), open_source(source) as opened:
            return [picture_number(frame.image) for frame in opened]


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("numbered") / "a.mkv", frames=40, audio="aac")


@pytest.mark.parametrize(
    ("output", "source"),
    [
        (("-c", "copy", "-f", "nut"), "-"),
        (("-c", "copy", "-f", "matroska"), "-"),
        (("-c:v", "copy", "-an", "-f", "mpegts"), "-"),
        (("-an", "-f", "yuv4mpegpipe"), "-"),
        (("-c:v", "rawvideo", "-pix_fmt", "uyvy422", "-an", "-f", "nut"), "-"),
        (("-an", "-f", "rawvideo", "-pix_fmt", "nv12"), "-?size=128x96&format=nv12&rate=25"),
        (("-an", "-f", "rawvideo", "-c:v", "v210", "-pix_fmt", "yuv422p10le"), "-?size=128x96&format=v210"),
    ],
)
def test_every_frame_of_what_ffmpeg_writes(output: tuple[str, ...], source: str, numbered: Path) -> None:
    command = [ffmpeg(), "-v", "error", "-i", str(numbered), "-fps_mode", "passthrough", *output, "-"]
    assert _numbers(command, source) == list(range(40))


@pytest.mark.parametrize("muxer", ["y4menc", "matroskamux streamable=true"])
def test_every_frame_of_what_gstreamer_writes(muxer: str) -> None:
    program = gstreamer("videotestsrc", muxer.split()[0], "fdsink")
    picture = "video/x-raw,format=I420,width=64,height=48,framerate=25/1"
    line = ["videotestsrc", "num-buffers=30", "!", picture, "!", *muxer.split(), "!", "fdsink", "fd=1"]
    with writing([program, "-q", *line]) as writer:
        assert writer.stdout is not None
        with standard_input(writer.stdout), open_source("-") as opened:
            assert [frame.index for frame in opened] == list(range(30))


def test_sound_is_left_out_and_said(numbered: Path, caplog: pytest.LogCaptureFixture) -> None:
    with writing([ffmpeg(), "-v", "error", "-i", str(numbered), "-c", "copy", "-f", "nut", "-"]) as writer:
        assert writer.stdout is not None
        with standard_input(writer.stdout), open_source("-") as source:
            assert not source.info.has_audio and source.info.frame_count is None
    assert "the sound that comes through standard input is left out" in caplog.text


def _opened(data: bytes, source: str, tmp_path: Path) -> tuple[int, str | None]:
    """Frames that a pipe with so many bytes gives, and why it broke off."""
    (tmp_path / "bytes").write_bytes(data)
    command = ["cat", str(tmp_path / "bytes")]
    with writing(command) as writer:
        assert writer.stdout is not None
        with standard_input(writer.stdout), open_source(source) as opened:
            return len(list(opened)), opened.problems.broke_off


def test_a_pipe_that_ends_within_a_frame_says_so_with_its_bytes(tmp_path: Path) -> None:
    raw = "-?size=64x48&format=gray"
    assert _opened(bytes(3072 * 5), raw, tmp_path) == (5, None)
    frames, why = _opened(bytes(3072 * 5 + 100), raw, tmp_path)
    assert frames == 5 and why is not None
    assert "15,460 bytes are 5 frames of 64x48 gray (3,072 bytes each) and 100 bytes more; check size= and" in why
    header, frame = b"YUV4MPEG2 W64 H48 F25:1 Ip C420jpeg\n", b"FRAME\n" + bytes(64 * 48 * 3 // 2)
    assert _opened(header + 4 * frame, "-", tmp_path) == (4, None)
    frames, why = _opened(header + 4 * frame + frame[:1000], "-", tmp_path)
    assert why is not None and "are 4 frames of 64x48 yuv420p (4,614 bytes each) and 1,000 bytes more" in why


def test_a_pipe_without_a_whole_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="1,000 bytes are 0 frames of 64x48 gray"):
        _opened(bytes(1000), "-?size=64x48&format=gray", tmp_path)
    with pytest.raises(SourceError, match="holds no video that can be read so; give Matroska, NUT"):
        _opened(os.urandom(100_000), "-", tmp_path)
    with pytest.raises(SourceError, match="nothing came through standard input, which ended"):
        _opened(b"", "-", tmp_path)


def test_a_terminal_is_no_pipe() -> None:
    leader, follower = pty.openpty()
    try:
        with (
            os.fdopen(follower, "rb", closefd=False) as terminal,
            standard_input(terminal),
            pytest.raises(SourceError, match="standard input is a terminal"),
        ):
            open_source("-")
    finally:
        os.close(leader)
        os.close(follower)


def _detect(folder: Path, *arguments: str, writer: subprocess.Popen[bytes]) -> subprocess.Popen[str]:
    command = [*POLYPSTREAM, "detect", *arguments, "--model", "tiny", "--events", "e.jsonl"]
    return subprocess.Popen(
        command, cwd=folder, env=surroundings(), stdin=writer.stdout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_detect_reads_a_pipe(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "tiny")
    output = ("-f", "rawvideo", "-pix_fmt", "uyvy422")
    with writing(ffmpeg_pattern(*output, seconds=2, paced=False)) as writer:
        detect = _detect(tmp_path, "-?size=320x240&format=uyvy422&rate=25", writer=writer)
        said, _ = detect.communicate(timeout=120)
    assert detect.returncode == 0, said
    assert len((tmp_path / "e.jsonl").read_text().splitlines()) == 50
    record = json.loads((tmp_path / "e.run.json").read_text())
    assert record["source"]["path"] == "standard input" and record["counts"]["frames"] == 50


@pytest.mark.slow
def test_a_silent_pipe_is_said_and_detect_can_be_interrupted(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "tiny")
    with writing(["sleep", "1000"]) as writer:
        detect = _detect(tmp_path, "-", writer=writer)
        assert detect.stdout is not None
        assert "nothing has come through standard input yet" in detect.stdout.readline()
        detect.send_signal(signal.SIGTERM)
        said, _ = detect.communicate(timeout=60)
    assert detect.returncode == 130, said


@pytest.mark.slow
def test_a_pipe_that_falls_silent_does_not_hold_up_an_interrupt(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "tiny")
    with writing(ffmpeg_pattern("-f", "yuv4mpegpipe")) as writer:
        detect = _detect(tmp_path, "-", writer=writer)
        deadline_s = time.monotonic() + 60
        while not list(tmp_path.glob("e.partial*")) and time.monotonic() < deadline_s:
            time.sleep(0.1)
        writer.send_signal(signal.SIGSTOP)
        detect.send_signal(signal.SIGTERM)
        said, _ = detect.communicate(timeout=60)
    assert detect.returncode == 130, said
    assert list(tmp_path.glob("e.partial*")) and (tmp_path / "e.run.json").is_file()
