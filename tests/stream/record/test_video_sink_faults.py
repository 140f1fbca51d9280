"""Annotated video when the process or the disk fails: real faults, in processes of their own where they need one."""

from __future__ import annotations

import signal
import subprocess
import sys
from fractions import Fraction as F
from pathlib import Path

import pytest

from engine.errors import WriteError
from stream.record.video_sink import VideoSink
from stream.sources.opening import open_source
from tests.kit.full_disk import fill_disk
from tests.kit.media import make_video, picture_number
from tests.stream.record.test_video_sink import info, read
from tests.stream.sources.test_video_source import noisy

ROOT = Path(__file__).resolve().parents[3]
WRITER = """
import sys
from fractions import Fraction as F
from pathlib import Path
from tests.stream.record.test_video_sink import VideoSink, info
from tests.stream.sources.test_video_source import noisy

def write(path, count):
    sink = VideoSink(Path(path), info=info())
    for index in range(count):
        sink.write(noisy(index, (128, 96)), F(index, 25))
    return sink
"""


def test_what_a_killed_run_wrote_plays(tmp_path: Path) -> None:
    script = WRITER + "write(sys.argv[1], 100)\nprint('written', flush=True)\nsys.stdin.read()\n"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "out.mp4")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.kill()
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == ["out.partial.mp4"]
    frames, _ = read(tmp_path / "out.partial.mp4")
    assert len(frames) > 60  # 100 less half a second in work and what the encoder's threads hold
    assert [picture_number(frame.image) for frame in frames] == list(range(len(frames)))
    assert [frame.pts for frame in frames] == [F(index, 25) for index in range(len(frames))]


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="this system has no limit of file sizes")
def test_what_fits_on_the_disk_plays(tmp_path: Path) -> None:
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))\n"
    done = subprocess.run(
        [sys.executable, "-c", WRITER + limit + "write(sys.argv[1], 255).close()", str(tmp_path / "out.mp4")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "WriteError: cannot write" in done.stderr
    assert "File too large; what could be written is in" in done.stderr
    partial = tmp_path / "out.partial.mp4"
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == [partial.name]
    assert partial.stat().st_size == 400_000
    with open_source(partial) as source:
        numbers = [picture_number(frame.image) for frame in source]
    assert len(numbers) > 20
    assert numbers[:-3] == list(range(len(numbers) - 3))


def test_a_full_disk_is_named_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_disk(monkeypatch, tmp_path / "out.partial.mp4")
    with (
        pytest.raises(WriteError, match=r"cannot write .*out\.mp4: No space left on device") as caught,
        VideoSink(tmp_path / "out.mp4", info=info()) as sink,
    ):
        for index in range(200):
            sink.write(noisy(index, (128, 96)), F(index, 25))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.mp4").exists()


def test_a_disk_that_fills_while_the_file_is_completed_keeps_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk(monkeypatch, tmp_path / "out.joining.mp4")
    source = make_video(tmp_path / "a.mp4", audio="aac", draw=noisy)
    with open_source(source) as opened:
        sink = VideoSink(tmp_path / "out.mp4", info=opened.info)
        for frame in opened:
            sink.write(frame.image, frame.pts)
    with pytest.raises(WriteError, match=r"No space left on device; .* is in .*out\.partial\.mp4"):
        sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "out.partial.mp4"]
    assert [picture_number(frame.image) for frame in read(sink.partial_path)[0]] == list(range(25))
    assert sink.close() == sink.abort() == sink.partial_path
