"""`polypstream detect` with marks as a track, from the command line to files that play."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from engine.interrupts import INTERRUPTED
from polypstream import cli
from stream.sources.video import VideoSource
from tests.kit.media import make_pictures, make_video, numbered_picture, packet_times
from tests.kit.programs import POLYPSTREAM, surroundings
from tests.kit.tiny_bundle import make_tiny_bundle
from tests.stream.record.test_recording import mucosa_with_spot
from tests.stream.record.track.test_sink import assert_copied, lines_of_track, packets_of

FRAMES = 40
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a video, a model, and what a run with candidates and marks as a track wrote."""
    folder = tmp_path_factory.mktemp("run")
    make_tiny_bundle(folder / "tiny")
    make_video(
        folder / "exam.mp4", frames=FRAMES, size=(160, 128), draw=mucosa_with_spot, audio="aac", options={"bf": "2"}
    )
    output, events = folder / "marked.mkv", folder / "e.jsonl"
    assert detect(folder, folder / "exam.mp4", "--output", output, "--events", events, "--candidates") == 0
    return folder


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(run, tmp_path / "copy")


def detect(folder: Path, *arguments: str | Path) -> int:
    return cli.main(["detect", *map(str, arguments), "--model", str(folder / "tiny"), "--runtime", "onnxruntime"])


def test_the_recording_stays_and_its_marks_are_those_of_the_events(run: Path) -> None:
    for kind in ("video", "audio"):
        assert_copied(run / "exam.mp4", run / "marked.mkv", kind)
    boxes = [json.loads(line)["detections"] for line in (run / "e.jsonl").read_text().splitlines()]
    lines = lines_of_track(run / "marked.mkv")
    assert all(boxes) and len(boxes) == FRAMES
    # A box that moves has an outline of its own in every frame.
    assert FRAMES <= sum(line.split(b",")[1] == b"3" for line in lines) <= sum(map(len, boxes))
    assert any(b"polypstream" in line for line in lines)
    record = json.loads((run / "e.run.json").read_text())
    assert record["counts"]["video_frames"] == FRAMES
    assert record["encoder"] is None
    assert "track" in {stage["name"] for stage in record["timings"]["stages"]}
    assert "encode" not in {stage["name"] for stage in record["timings"]["stages"]}


def test_decided_anew_nothing_is_decoded(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: VideoSource) -> None:
        raise AssertionError("a frame is decoded")

    monkeypatch.setattr(VideoSource, "_next_frame", refuse)
    events, output = copied / "e.jsonl", copied / "anew.mkv"
    assert detect(copied, copied / "exam.mp4", "--from", events, "--output", output, "--marks", "track") == 0
    assert packets_of(copied / "anew.mkv", "video") == packets_of(copied / "marked.mkv", "video")
    # Event lines round to a tenth of a pixel.
    for anew, first in zip(lines_of_track(copied / "anew.mkv"), lines_of_track(copied / "marked.mkv"), strict=True):
        assert re.sub(rb"\d+", b"#", anew) == re.sub(rb"\d+", b"#", first)
        numbers = [map(int, re.findall(rb"\d+", line)) for line in (anew, first)]
        assert max(abs(one - other) for one, other in zip(*numbers, strict=True)) <= 1


def test_another_video_is_told_apart(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_video(copied / "other.mp4", frames=FRAMES, size=(160, 128), rate=30, draw=mucosa_with_spot)
    make_video(copied / "short.mp4", frames=20, size=(160, 128), draw=mucosa_with_spot)
    for name, frame in (("other.mp4", 1), ("short.mp4", 20)):
        output = copied / f"of-{name}.mkv"
        assert detect(copied, copied / name, "--from", copied / "e.jsonl", "--output", output) == 2
        assert f"is of another video: frame {frame} is at" in capsys.readouterr().err
        assert not output.exists()


def test_a_run_that_was_interrupted_is_not_taken_for_the_whole(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied / "e.run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "outcome": "interrupted"}))
    assert detect(copied, copied / "exam.mp4", "--from", copied / "e.jsonl", "--output", copied / "anew.mkv") == 2
    assert "did not come to its end (interrupted)" in capsys.readouterr().err


def _pictures(folder: Path) -> Path:
    return make_pictures(folder / "frames", ["1.png", "2.png"])


REFUSED: list[tuple[Callable[[Path], Path], list[str], str]] = [
    (
        lambda folder: folder / "exam.mp4",
        ["--output", "out.mp4", "--marks", "track"],
        "name it out.mkv, or burn them in",
    ),
    (lambda folder: folder / "exam.mp4", ["--output", "out.mkv", "--marks", "burned"], "name it out.mp4"),
    (lambda folder: folder / "exam.mp4", ["--output", "out.mp4", "--marks", "both"], "marks are burned or track"),
    (lambda folder: folder / "exam.mp4", ["--events", "out.jsonl", "--marks", "track"], "name it with --output"),
    (lambda folder: folder / "exam.mp4", ["--output", "out.avi"], "must end in"),
    (_pictures, ["--output", "out.mkv"], "is no video file"),
    (lambda folder: folder / "exam.mp4", ["--output", "out.mp4", "--encoder", "x265"], "take one of auto, x264, nvenc"),
    (lambda folder: folder / "exam.mp4", ["--output", "out.mkv", "--encoder", "x264"], "without encoding"),
]


@pytest.mark.parametrize(("make", "arguments", "said"), REFUSED)
def test_bad_input(
    copied: Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[Path], Path],
    arguments: list[str],
    said: str,
) -> None:
    source = make(copied)
    named = [copied / one if one.startswith("out.") else one for one in arguments]
    assert detect(copied, source, *named) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert not [path for path in copied.iterdir() if path.name.startswith("out.")]


@pytest.fixture(scope="module")
def long_exam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording that takes a while."""
    pictures = [numbered_picture(number, (640, 480)) for number in range(8)]
    return make_video(
        tmp_path_factory.mktemp("long") / "exam.mp4",
        frames=600,
        size=(640, 480),
        draw=lambda number, _: pictures[number % len(pictures)],
        options={"preset": "ultrafast", "g": "25"},
        audio="aac",
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signal to one process")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_what_a_run_that_ends_early_wrote_plays(
    tmp_path: Path, run: Path, long_exam: Path, end: signal.Signals
) -> None:
    command = [*POLYPSTREAM, "detect", str(long_exam), "--model", str(run / "tiny"), "--output"]
    command += [str(tmp_path / "out.mkv"), "--events", str(tmp_path / "out.jsonl")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=surroundings()) as process:
        events = tmp_path / "out.partial.jsonl"
        while process.poll() is None and (not events.exists() or events.read_bytes().count(b"\n") < 300):
            time.sleep(0.02)
        process.send_signal(end)
        _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == (INTERRUPTED if end is signal.SIGINT else -end), err
    kept = tmp_path / "out.partial.mkv"
    with av.open(str(kept)) as container:
        decoded = sum(1 for _ in container.decode(video=0))
    assert 100 < decoded == len(packet_times(kept)) < 600
    assert len(packet_times(kept, "audio")) > 100
    given, got = packets_of(long_exam, "video"), packets_of(kept, "video")
    assert [data for data, _ in got] == [data for data, _ in given[:decoded]]
    assert len(lines_of_track(kept)) > 10
