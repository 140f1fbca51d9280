"""`polypstream doctor FILE`: what is in a file, and what of it would be taken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from av.stream import Disposition as D

from polypstream.cli import main
from tests.kit.media import make_pictures, numbered_picture
from tests.kit.odd_files import Film, Tone, write_heif, write_streams


def doctor(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], str]:
    status = main(["doctor", str(path), *arguments])
    said = capsys.readouterr()
    return status, said.out.splitlines(), said.err


def test_the_streams_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    streams: list[Film | Tone] = [
        Film([99], (64, 48), codec="mjpeg"),
        Film(range(25), disposition=D.default),
        Tone(channels=1),
        Tone(),
    ]
    path = write_streams(tmp_path / "exam.mp4", streams)
    status, lines, _ = doctor(path, capsys)
    assert status == 0
    assert lines[0] == f"{path} (mov,mp4,m4a,3gp,3g2,mj2)"
    assert lines[1] == "  stream 0: video: mjpeg, 64x48, 0.04 s, 1 frame"
    assert lines[2] == "  stream 1: video: h264, 128x96, 1.00 s, default, 25 frames"
    assert lines[3].startswith("  stream 2: audio: aac, 1 channel, 1.0")
    assert lines[5] == "taken: stream 1, 128x96, 1.00 s"
    assert "has 1 frame only; --stream N takes another one" in lines[6]
    assert "has fewer channels" in lines[7] or "is not the default" in lines[7]
    assert lines[8].startswith("  sound: stream ")


def test_a_file_of_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines, err = doctor(write_streams(tmp_path / "a.mp4", [Tone()]), capsys)
    assert status == 2
    assert lines[1].startswith("  stream 0: audio: aac, 2 channels")
    assert lines[2].startswith("taken: nothing; ") and "holds no video" in lines[2]
    assert err.startswith("polypstream: ") and err.count("\n") == 1


def test_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_pictures(tmp_path, ["1.png", "2.png", "3.jpg"])
    (tmp_path / "notes.txt").write_text("no picture")
    _, lines, _ = doctor(tmp_path, capsys)
    assert lines[1:] == [
        "  1 x .jpg",
        "  2 x .png",
        "  left out: 1 x .txt (notes.txt)",
        "taken: its 3 pictures, 128x96, 8 bits a channel",
    ]


def test_pages_and_depth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = np.stack([numbered_picture(number)[:, :, 0].astype(np.uint16) * 16 for number in range(3)])
    tifffile.imwrite(tmp_path / "scan.tif", pages, photometric="minisblack")
    _, lines, _ = doctor(tmp_path / "scan.tif", capsys)
    assert lines[-1] == "taken: its 3 pages, 128x96, 12 bits a channel"


def test_tiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = numbered_picture(1, (384, 256))
    status, lines, _ = doctor(write_heif(tmp_path / "a.avif", picture, columns=3, rows=2), capsys)
    assert status == 0
    assert "  one picture of 6 tiles" in lines and lines[-1].startswith("taken: the picture, 384x256")
    path = write_heif(tmp_path / "a.heic", picture, columns=3, rows=2, codec="hvc1")
    status, lines, _ = doctor(path, capsys)
    assert status == 2 and "a picture of 6 tiles" in lines[-1]


def test_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_streams(tmp_path / "exam.mkv", [Film([99], (64, 48), codec="mjpeg"), Film(range(25)), Tone()])
    status, lines, _ = doctor(path, capsys, "--json")
    found = json.loads("\n".join(lines))
    assert status == 0
    assert [(one["index"], one["kind"], one["codec"]) for one in found["streams"]] == [
        (0, "video", "mjpeg"),
        (1, "video", "h264"),
        (2, "audio", "aac"),
    ]
    assert (found["taken"]["stream"], found["taken"]["audio_stream"], found["error"]) == (1, 2, None)
    assert "has 1 frame only" in found["taken"]["why"][0]


@pytest.mark.parametrize(("source", "named"), [("none.mp4", "no such file"), ("rtsp://u:secret@host/x", "rtsp://host")])
def test_what_is_no_file(source: str, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", source]) == 2
    said = capsys.readouterr().err
    assert named in said and "secret" not in said
