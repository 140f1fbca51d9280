"""What stands beside the pictures of a recording, or between them, does not come out. And what an interrupt leaves."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest
from av.sidedata.sidedata import Type

from polypstream.cli import main
from tests.kit.burned_in import make_clip

_CAPTION = b"MUELLER OLGA "
_PATIENCE_S = 120.0


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs FFmpeg's program")
def test_subtitles_and_attachments_are_gone(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "plain.mp4", "octagon", frames=4, tags=False)
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:00,400\nOlga Mueller\n")
    (tmp_path / "letter.txt").write_text("Dear Mrs Mueller")
    source, output = tmp_path / "a.mkv", tmp_path / "clean.mp4"
    inputs = ["-i", clip, "-i", tmp_path / "a.srt", "-attach", tmp_path / "letter.txt"]
    kept = ["-map", "0", "-map", "1", "-c", "copy", "-metadata:s:t", "mimetype=text/plain", source]
    subprocess.run(["ffmpeg", "-v", "error", *map(str, [*inputs, *kept])], check=True)
    held = source.read_bytes()
    assert b"Olga Mueller" in held and b"Dear Mrs Mueller" in held
    assert main(["deidentify", str(source), "--output", str(output), "--without-ocr"]) == 0
    with av.open(str(output)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    assert not any(name in output.read_bytes() for name in (b"Olga", b"Mueller", b"letter"))
    dropped = json.loads((tmp_path / "clean.mp4.deid.json").read_text())["dropped"]
    assert {"stream 2: subtitle", "stream 3: attachment", "sound"} <= set(dropped)


def test_closed_captions_between_the_pictures_are_gone(tmp_path: Path) -> None:
    """Captions (CTA-708, of ATSC A/53) travel in the stream of pictures; FFmpeg's encoders copy them by themselves."""
    plain = make_clip(tmp_path / "plain.mp4", "octagon", frames=4, tags=False)
    source, output = tmp_path / "a.mp4", tmp_path / "clean.mp4"
    with av.open(str(plain)) as read, av.open(str(source), "w") as written:
        video = read.streams.video[0]
        stream = written.add_stream_from_template(video)
        for packet in read.demux(video):
            if packet.dts is None:
                continue
            made = av.Packet(_caption_unit() + bytes(packet))
            made.pts, made.dts, made.time_base, made.duration = (
                packet.pts,
                packet.dts,
                packet.time_base,
                packet.duration,
            )
            made.is_keyframe, made.stream = packet.is_keyframe, stream
            written.mux(made)
    assert _captions(source) == 4
    assert main(["deidentify", str(source), "--output", str(output), "--without-ocr"]) == 0
    assert _captions(output) == 0 and b"GA94" not in output.read_bytes()


def _caption_unit() -> bytes:
    """A unit of an H.264 stream in an MP4 with captions: supplemental information of registered user data."""
    pairs = b"".join(b"\xfc" + _CAPTION[at : at + 2].ljust(2) for at in range(0, len(_CAPTION), 2))
    data = b"\xb5\x00\x31GA94\x03" + bytes([0x40 | len(pairs) // 3, 0xFF]) + pairs + b"\xff"
    unit = bytes([6, 4, len(data)]) + data + b"\x80"
    return len(unit).to_bytes(4, "big") + unit


def _captions(path: Path) -> int:
    """How many frames carry captions."""
    with av.open(str(path)) as container:
        return sum(Type.A53_CC in frame.side_data for frame in container.decode(video=0))


@pytest.mark.skipif(sys.platform == "win32", reason="signals as on Linux and Macs")
@pytest.mark.slow
def test_an_interrupt_keeps_what_is_finished_and_leaves_nothing_else(tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    clip = make_clip(tmp_path / "clip.mp4", "octagon", frames=8)
    for number in range(30):
        shutil.copy(clip, source / f"{number}.mp4")
    arguments = ["deidentify", str(source), "--output", str(output), "--without-ocr"]
    command = [sys.executable, "-m", "polypstream", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            end_s = time.monotonic() + _PATIENCE_S
            while not (output / "0002.mp4.deid.json").exists() and time.monotonic() < end_s:
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=_PATIENCE_S)
            assert process.returncode == 130, said
        finally:
            process.kill()
    assert "run the same again" in said[1] and "Traceback" not in said[1]
    done = sorted(output.glob("*.mp4"))
    assert 2 <= len(done) < 30
    kept = {path.name for path in output.iterdir() if path.is_file() and not path.name.startswith(".")}
    assert kept == {path.name for path in done} | {f"{path.name}.deid.json" for path in done}
    for number in range(len(done) + 1, 30):
        (source / f"{number}.mp4").unlink()
    before = {path: path.stat().st_mtime_ns for path in done}
    assert main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in done} == before
    assert len(list(output.glob("*.mp4"))) == len(done) + 1
